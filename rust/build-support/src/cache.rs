//! A cache of files outside the checkout, for results that take long to compute or to download.
//!
//! An entry is a directory of files. Its [`Key`] is the digest of all inputs of the result, so an
//! entry is never out of date. Entries are written under a temporary name and then renamed, so no
//! process sees an incomplete one. Each entry has a manifest with the digests of its files, which
//! is verified when the entry is used. A damaged entry is reported and treated as missing.
//!
//! The directory is that of the variable `ANTIPHON_CACHE`, which must be an absolute path. Without
//! the variable it is `antiphon` in the user's cache directory: `$XDG_CACHE_HOME` or `~/.cache`.
//! Below it:
//!
//! ```text
//! v1/KIND/KEY/manifest    digests of the files; its modification time is that of the last use
//! v1/KIND/KEY/content/    the files
//! v1/tmp/                 entries that are being written or removed
//! ```
//!
//! Several processes may use the cache at once. A process holds a shared lock on the directory of
//! an entry while it uses it, and an entry that is in use is not removed.

mod entry;
mod key;
mod manifest;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

pub use entry::Entry;
pub use key::{Key, KeyBuilder};
pub use table::{ROWS_MAX, Table};

use crate::Problem;
use crate::console::Console;
use entry::Locked;

/// The variable that names the directory of the cache.
pub const VARIABLE: &str = "ANTIPHON_CACHE";

/// The bound on the size of the cache, in bytes. A checkout needs 0.9 GB: Lean and Node 0.7, guest
/// kernel and QEMU 0.2, Lean modules 0.02. So the cache has room for an old and a new version of
/// each and for the modules of some hundred versions of the model.
pub const BYTES_MAX: u64 = 4 << 30;

/// The kind of the entries that have compiled dependencies.
pub const DEPENDENCIES: &str = "dependencies";

/// The bound on the size of all entries of the kind [`DEPENDENCIES`], in bytes. It is separate from
/// [`BYTES_MAX`], because one lock file has 1.3 GB of them: within the common bound they would
/// displace Lean modules and answers of the model, which take longer to make and are a hundredth of
/// the size. This has room for two lock files.
pub const DEPENDENCIES_BYTES_MAX: u64 = 3 << 30;

/// The bound on the number of entries: eighty modules for each of 75 versions of the model. The
/// search for old entries reads one file of each entry, and the bound keeps it short.
pub const ENTRIES_MAX: usize = 6_000;

/// The version of the layout. A change of the layout or of the manifest needs a new number.
const LAYOUT: &str = "v1";

/// The directory of entries that are being written or removed.
const TEMPORARY: &str = "tmp";

/// A temporary directory that is older than this was left by a process that was killed, since no
/// entry takes that long to write.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a process tries to replace an entry that other processes write at the same time. Each
/// failure means that another process was faster, so it is rarely needed twice.
const RENAMES_MAX: usize = 16;

/// How thoroughly an entry is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// All files are read and their digests compared.
    Digests,
    /// Only the presence and size of the files is compared. For a large entry that was verified in
    /// full before and is used often.
    Sizes,
}

/// A cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    bytes_max: u64,
    entries_max: usize,
    /// The kinds with their own bound on the size, in bytes.
    separate: BTreeMap<String, u64>,
}

/// The entries of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The number of entries.
    pub entries: usize,
    /// The size of their files in bytes.
    pub bytes: u64,
    /// When an entry was last used.
    pub last_use: SystemTime,
}

/// An entry found in the directory.
struct Found {
    kind: String,
    path: PathBuf,
    bytes: u64,
    last_use: SystemTime,
}

impl Cache {
    /// The cache of this user, or one in `fallback` if the environment names no directory.
    ///
    /// # Errors
    ///
    /// Fails if [`VARIABLE`] is a relative path: the programs of one run have different working
    /// directories, so each would use another cache.
    pub fn locate(fallback: &Path) -> Result<Self, Problem> {
        let root = root(|name| std::env::var_os(name))?;
        let root = root.unwrap_or_else(|| fallback.to_owned());
        let cache = Self::at(root, BYTES_MAX, ENTRIES_MAX);
        Ok(cache.with_separate_bound(DEPENDENCIES, DEPENDENCIES_BYTES_MAX))
    }

    /// A cache in a directory, which is created with the first entry, with these bounds.
    #[must_use]
    pub fn at(root: PathBuf, bytes_max: u64, entries_max: usize) -> Self {
        Self {
            root,
            bytes_max,
            entries_max,
            separate: BTreeMap::new(),
        }
    }

    /// Gives a kind its own bound on the size of its entries, in bytes. These entries do not count
    /// towards the common bound, and only these are removed when they exceed theirs.
    #[must_use]
    pub fn with_separate_bound(mut self, kind: &str, bytes_max: u64) -> Self {
        self.separate.insert(kind.to_owned(), bytes_max);
        self
    }

    /// The directory of the cache.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The common bound on the size of all files, in bytes. Kinds with their own bound do not count
    /// towards it.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// The kind's own bound on the size of its files, in bytes, if it has one.
    #[must_use]
    pub fn separate_bound(&self, kind: &str) -> Option<u64> {
        self.separate.get(kind).copied()
    }

    /// Finds and verifies an entry. Returns `None` if it is missing or damaged; a damaged entry is
    /// reported on the console, and [`Cache::put`] replaces it.
    ///
    /// # Errors
    ///
    /// Fails if an existing entry cannot be read.
    pub fn get(
        &self,
        kind: &str,
        key: &Key,
        check: Check,
        console: &mut Console,
    ) -> Result<Option<Entry>, Problem> {
        let path = self.path(kind, key);
        let Some(locked) = Locked::shared(&path)? else {
            return Ok(None);
        };
        match manifest::verify(&path, check) {
            Ok(()) => {
                manifest::touch(&path)?;
                Ok(Some(Entry::new(&path, locked)))
            }
            Err(damage) => {
                console.line(&format!(
                    "  damaged cache entry `{}`: {damage}; it is not used",
                    path.display()
                ));
                Ok(None)
            }
        }
    }

    /// Writes an entry: `fill` writes its files into an empty directory. An entry with this key is
    /// replaced, unless another process uses it and it is not damaged. Afterwards removes the
    /// entries that were not used for the longest time until the cache is within its bounds.
    ///
    /// # Errors
    ///
    /// Fails if `fill` does, or if a file cannot be written.
    pub fn put<E: From<Problem>>(
        &self,
        kind: &str,
        key: &Key,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Entry, E> {
        let stage = self.temporary()?;
        let content = stage.join(entry::CONTENT);
        fs::create_dir_all(&content).map_err(Problem::file(&content))?;
        let written = fill(&content).and_then(|()| Ok(self.publish(&stage, kind, key)?));
        if written.is_err() {
            remove(&stage)?;
        }
        written
    }

    fn publish(&self, stage: &Path, kind: &str, key: &Key) -> Result<Entry, Problem> {
        manifest::write(stage)?;
        let path = self.path(kind, key);
        let parent = self.layout().join(kind);
        fs::create_dir_all(&parent).map_err(Problem::file(&parent))?;
        // The lock belongs to the directory and not to its name, so the rename keeps it.
        let locked = Locked::shared(stage)?;
        let locked = locked.ok_or_else(|| Problem::absent(stage, "it was removed; try again"))?;
        for _ in 0..RENAMES_MAX {
            // A rename does not replace a directory that has files.
            match fs::rename(stage, &path) {
                Ok(()) => {
                    let entry = Entry::new(&path, locked);
                    self.trim()?;
                    return Ok(entry);
                }
                // Another process may have removed the other entry since.
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                Err(_) if path.exists() => {}
                Err(error) => return Err(Problem::file(&path)(error)),
            }
            if self.evict(&path)? {
                continue;
            }
            let Some(other) = Locked::shared(&path)? else {
                continue;
            };
            if manifest::verify(&path, Check::Digests).is_ok() {
                remove(stage)?;
                return Ok(Entry::new(&path, other));
            }
            self.discard(&path)?;
        }
        Err(Problem::absent(
            &path,
            "other processes replace it all the time",
        ))
    }

    /// The entry if it is in the cache, otherwise a new one that `fill` writes. Also returns
    /// whether it was in the cache.
    ///
    /// # Errors
    ///
    /// As [`Cache::get`] and [`Cache::put`].
    pub fn get_or_put<E: From<Problem>>(
        &self,
        kind: &str,
        key: &Key,
        console: &mut Console,
        fill: impl FnOnce(&Path, &mut Console) -> Result<(), E>,
    ) -> Result<(Entry, bool), E> {
        if let Some(entry) = self.get(kind, key, Check::Digests, console)? {
            return Ok((entry, true));
        }
        let entry = self.put(kind, key, |content| fill(content, console))?;
        Ok((entry, false))
    }

    /// The entries by kind.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be read.
    pub fn usage(&self) -> Result<BTreeMap<String, Usage>, Problem> {
        let mut kinds = BTreeMap::new();
        for found in self.entries()? {
            let usage = kinds.entry(found.kind).or_insert(Usage {
                entries: 0,
                bytes: 0,
                last_use: found.last_use,
            });
            usage.entries += 1;
            usage.bytes += found.bytes;
            usage.last_use = usage.last_use.max(found.last_use);
        }
        Ok(kinds)
    }

    /// Removes all entries that no process uses. Returns how many were removed and how many are in
    /// use.
    ///
    /// # Errors
    ///
    /// Fails if an entry cannot be removed.
    pub fn clear(&self) -> Result<(usize, usize), Problem> {
        let (mut removed, mut in_use) = (0, 0);
        for found in self.entries()? {
            if self.evict(&found.path)? {
                removed += 1;
            } else {
                in_use += 1;
            }
        }
        self.remove_abandoned()?;
        Ok((removed, in_use))
    }

    /// Removes the entries that were not used for the longest time until the bounds hold. Entries
    /// in use stay, so the cache may exceed its bounds as long as they are used.
    fn trim(&self) -> Result<(), Problem> {
        let mut common = Vec::new();
        let mut separate: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for found in self.entries()? {
            if self.separate.contains_key(&found.kind) {
                separate.entry(found.kind.clone()).or_default().push(found);
            } else {
                common.push(found);
            }
        }
        self.trim_group(common, self.bytes_max)?;
        for (kind, entries) in separate {
            let bytes_max = self.separate_bound(&kind).unwrap_or(self.bytes_max);
            self.trim_group(entries, bytes_max)?;
        }
        Ok(())
    }

    /// As [`Cache::trim`], for entries with a common bound.
    fn trim_group(&self, mut entries: Vec<Found>, bytes_max: u64) -> Result<(), Problem> {
        let mut bytes: u64 = entries.iter().map(|found| found.bytes).sum();
        let mut count = entries.len();
        if bytes <= bytes_max && count <= self.entries_max {
            return Ok(());
        }
        self.remove_abandoned()?;
        entries.sort_by_key(|found| found.last_use);
        for found in entries {
            if bytes <= bytes_max && count <= self.entries_max {
                break;
            }
            if self.evict(&found.path)? {
                bytes -= found.bytes;
                count -= 1;
            }
        }
        Ok(())
    }

    /// Removes an entry that no process uses. Returns whether the entry is gone.
    fn evict(&self, path: &Path) -> Result<bool, Problem> {
        let Some(_lock) = Locked::exclusive(path)? else {
            return Ok(!path.exists());
        };
        self.discard(path)?;
        Ok(true)
    }

    /// Removes an entry if it exists. It is renamed first, so that no process sees an incomplete
    /// entry.
    fn discard(&self, path: &Path) -> Result<(), Problem> {
        let target = self.temporary()?;
        match fs::rename(path, &target) {
            Ok(()) => remove(&target),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Problem::file(path)(error)),
        }
    }

    /// A path for a new temporary directory.
    fn temporary(&self) -> Result<PathBuf, Problem> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let parent = self.layout().join(TEMPORARY);
        fs::create_dir_all(&parent).map_err(Problem::file(&parent))?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Ok(parent.join(format!("{}-{number}", std::process::id())))
    }

    /// Removes temporary directories of processes that were killed.
    fn remove_abandoned(&self) -> Result<(), Problem> {
        for path in children(&self.layout().join(TEMPORARY))? {
            let age = fs::metadata(&path)
                .and_then(|data| data.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > TEMPORARY_AGE_MAX) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Found>, Problem> {
        let mut entries = Vec::new();
        for kind in children(&self.layout())? {
            let name = kind.file_name().unwrap_or_default().to_string_lossy();
            if name == TEMPORARY || !kind.is_dir() {
                continue;
            }
            for path in children(&kind)?.into_iter().filter(|path| path.is_dir()) {
                // An entry with an unreadable manifest is removed first.
                let (bytes, last_use) =
                    manifest::summary(&path).unwrap_or((0, SystemTime::UNIX_EPOCH));
                entries.push(Found {
                    kind: name.clone().into_owned(),
                    path,
                    bytes,
                    last_use,
                });
            }
        }
        Ok(entries)
    }

    fn layout(&self) -> PathBuf {
        self.root.join(LAYOUT)
    }

    fn path(&self, kind: &str, key: &Key) -> PathBuf {
        self.layout().join(kind).join(key.as_str())
    }
}

/// The directory of the cache, by the variables of the environment. An empty variable counts as
/// unset. Relative paths in the other two variables are ignored, as the XDG specification asks for.
///
/// # Errors
///
/// Fails if [`VARIABLE`] is a relative path.
fn root(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>, Problem> {
    let path = |name| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    if let Some(path) = path(VARIABLE) {
        return if path.is_absolute() {
            Ok(Some(path))
        } else {
            Err(Problem::RelativeCache { path })
        };
    }
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(user.map(|user| user.join("antiphon")))
}

/// The paths in a directory, sorted; none if it does not exist.
fn children(place: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Problem::file(place)(error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Removes a directory, which another process may be removing too.
fn remove(place: &Path) -> Result<(), Problem> {
    match fs::remove_dir_all(place) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Problem::file(place)(error)),
    }
}

#[cfg(test)]
mod tests;
