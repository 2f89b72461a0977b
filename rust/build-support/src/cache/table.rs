//! A table of digests as one entry of the cache, for many small results with a common key.
//!
//! The entry has one file, `rows`: for each row the 32 bytes of its key and the 32 bytes of its
//! value, sorted by key.

use std::collections::BTreeMap;
use std::fs;

use super::{Cache, Check, Key};
use crate::console::Console;
use crate::{Problem, lock};

/// The bound on the rows of a table: twice the cases of the parity corpus, 4 MiB as a file.
pub const ROWS_MAX: usize = 65_536;

const ROWS: &str = "rows";
const DIGEST_LEN: usize = 32;
const ROW_LEN: usize = 2 * DIGEST_LEN;

type Digest = [u8; DIGEST_LEN];

/// A map from digests to digests, for example from a case to the model's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: BTreeMap<Digest, Digest>,
}

impl Table {
    /// Reads a table. It is empty if the entry is missing or damaged; a damaged entry is reported
    /// on the console.
    ///
    /// # Errors
    ///
    /// Fails if an existing entry cannot be read.
    pub fn load(
        cache: &Cache,
        kind: &str,
        key: &Key,
        console: &mut Console,
    ) -> Result<Self, Problem> {
        let Some(entry) = cache.get(kind, key, Check::Digests, console)? else {
            return Ok(Self::default());
        };
        let path = entry.path().join(ROWS);
        let bytes = fs::read(&path).map_err(Problem::file(&path))?;
        Ok(Self::decode(&bytes))
    }

    /// The value of a row.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<&Digest> {
        self.rows.get(key)
    }

    /// All rows, in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (Digest, Digest)> {
        self.rows.iter().map(|(key, value)| (*key, *value))
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the table has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row. Adding the same row again has no effect.
    ///
    /// # Errors
    ///
    /// Fails if the table is full, or if it has another value for this key.
    pub fn insert(&mut self, key: Digest, value: Digest) -> Result<(), Problem> {
        match self.rows.get(&key) {
            Some(present) if *present == value => return Ok(()),
            Some(_) => return Err(Problem::TableConflict { row: hex(&key) }),
            None => {}
        }
        if self.rows.len() >= ROWS_MAX {
            return Err(Problem::TableFull { rows_max: ROWS_MAX });
        }
        self.rows.insert(key, value);
        Ok(())
    }

    /// Stores the table. Rows that other processes have stored meanwhile are kept.
    ///
    /// # Errors
    ///
    /// Fails if the stored rows contradict these, if there are too many, or if a file cannot be
    /// written. Then the stored table stays as it was.
    pub fn save(
        &self,
        cache: &Cache,
        kind: &str,
        key: &Key,
        console: &mut Console,
    ) -> Result<(), Problem> {
        let place = cache.layout();
        fs::create_dir_all(&place).map_err(Problem::file(&place))?;
        // Held while the table is read, merged and replaced.
        let path = place.join(format!("{kind}.lock"));
        let _lock = lock::exclusive(&path)?;
        let mut merged = Self::load(cache, kind, key, console)?;
        for (row, value) in &self.rows {
            merged.insert(*row, *value)?;
        }
        cache.put(kind, key, |content| {
            let path = content.join(ROWS);
            fs::write(&path, merged.encode()).map_err(Problem::file(&path))
        })?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let parts = self.rows.iter().flat_map(|(key, value)| [key, value]);
        parts.flatten().copied().collect()
    }

    /// The bytes were verified by the manifest, so they are whole rows.
    fn decode(bytes: &[u8]) -> Self {
        let row = |row: &[u8]| {
            let (key, value) = row.split_at_checked(DIGEST_LEN)?;
            Some((key.try_into().ok()?, value.try_into().ok()?))
        };
        let rows = bytes.chunks_exact(ROW_LEN).take(ROWS_MAX);
        Self {
            rows: rows.filter_map(row).collect(),
        }
    }
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
