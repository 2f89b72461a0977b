//! The keys of cache entries.

use std::fs;
use std::path::Path;

use crate::Problem;

/// The digest of all inputs of an entry, as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Collects the inputs of an entry. The order of the inputs counts.
#[derive(Clone, Debug)]
pub struct KeyBuilder(blake3::Hasher);

impl KeyBuilder {
    /// Starts a key. `name` names the result, with a version that is raised when the same inputs
    /// give another result.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(blake3::Hasher::new()).input("name", name)
    }

    /// Adds an input with its name.
    #[must_use]
    pub fn input(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            // With the length before each part, different lists of parts have different digests.
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds the content of a file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn file(self, name: &str, path: &Path) -> Result<Self, Problem> {
        let content = fs::read(path).map_err(Problem::file(path))?;
        Ok(self.input(name, content))
    }

    /// Adds all files below a directory, with their paths.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read.
    pub fn directory(mut self, name: &str, place: &Path) -> Result<Self, Problem> {
        for path in super::children(place)? {
            let below = path.file_name().unwrap_or_default().to_string_lossy();
            let below = format!("{name}/{below}");
            self = if path.is_dir() {
                self.directory(&below, &path)?
            } else {
                self.file(&below, &path)?
            };
        }
        Ok(self)
    }

    /// The key of the inputs added so far.
    #[must_use]
    pub fn finish(&self) -> Key {
        Key(self.0.finalize().to_hex().to_string())
    }
}
