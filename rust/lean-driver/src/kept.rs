//! Results of Lean that are taken from the cache in place of running Lean again.
//!
//! The result of a file depends only on the file with all its imports, on Lean with its patches and
//! options, and on the files that its `main` reads. So a test need not run Lean twice on the same
//! input. Results are kept only if [`SHARD_VARIABLE`] is set, which `cargo xtask` sets for such
//! tests. A sixteenth of the results is never taken from the cache: the variable selects it.
//!
//! Only a successful run is kept: a check that accepted its file, or the output of a `main` that
//! was complete.

use std::fs;

use antiphon_build_support::cache::{Cache, Check, Key};
use antiphon_build_support::console::Console;

use crate::Problem;

/// The variable that lets [`run`](crate::run) and [`check`](crate::check()) take results from the
/// cache. Its value is the shard, 0 to 15, for which Lean is run although the result is known.
pub const SHARD_VARIABLE: &str = "ANTIPHON_LEAN_SHARD";

/// The number of shards.
const SHARDS: u8 = 16;

/// The kind of the cache entries.
const KIND: &str = "lean-results";

/// The file of an entry.
const FILE: &str = "result";

/// The end of every output of the model's programs: an output without it is not complete.
const COMPLETE: &[u8] = b"complete";

/// The most bytes of an output that is kept. Larger ones would displace the modules in the cache.
const OUTPUT_LEN_MAX: usize = 4 << 20;

/// The result of one input.
#[derive(Debug)]
pub(crate) struct Kept {
    cache: Cache,
    key: Key,
    is_asked: bool,
}

/// The shard that the environment selects; `None` if no result is to be kept.
pub(crate) fn shard() -> Option<u8> {
    let value = std::env::var(SHARD_VARIABLE).ok()?;
    value.parse().ok().filter(|shard| *shard < SHARDS)
}

impl Kept {
    /// The result of the input with this key.
    pub(crate) fn new(cache: &Cache, key: Key, shard: u8) -> Self {
        let digit = key.as_str().chars().next();
        let digit = digit.and_then(|digit| digit.to_digit(u32::from(SHARDS)));
        Self {
            cache: cache.clone(),
            is_asked: digit == Some(u32::from(shard)),
            key,
        }
    }

    /// The known result, unless Lean is to be run again.
    pub(crate) fn known(&self, console: &mut Console) -> Result<Option<Vec<u8>>, Problem> {
        if self.is_asked {
            return Ok(None);
        }
        self.stored(console)
    }

    fn stored(&self, console: &mut Console) -> Result<Option<Vec<u8>>, Problem> {
        let entry = self.cache.get(KIND, &self.key, Check::Digests, console)?;
        let Some(entry) = entry else {
            return Ok(None);
        };
        let path = entry.path().join(FILE);
        Ok(Some(fs::read(&path).map_err(Problem::file(&path))?))
    }

    /// Stores that a check accepted its file with these messages.
    pub(crate) fn keep_messages(&self, text: &str, console: &mut Console) -> Result<(), Problem> {
        match self.stored(console)? {
            Some(_) => Ok(()),
            None => self.store(text.as_bytes()),
        }
    }

    /// Stores the output of a successful run, if it is complete.
    ///
    /// # Errors
    ///
    /// Fails if another output is known for the same input.
    pub(crate) fn keep_output(&self, output: &[u8], console: &mut Console) -> Result<(), Problem> {
        let is_complete = output.trim_ascii_end().ends_with(COMPLETE);
        match self.stored(console)? {
            Some(known) if known != output => Err(Problem::TwoResults {
                key: self.key.as_str().to_owned(),
            }),
            None if is_complete && output.len() <= OUTPUT_LEN_MAX => self.store(output),
            Some(_) | None => Ok(()),
        }
    }

    fn store(&self, result: &[u8]) -> Result<(), Problem> {
        self.cache.put(KIND, &self.key, |content| {
            let path = content.join(FILE);
            fs::write(&path, result).map_err(Problem::file(&path))
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use antiphon_build_support::cache::KeyBuilder;

    use super::*;

    struct Place(Cache);

    impl Place {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("lean-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            Self(Cache::at(root, 1 << 30, 100))
        }

        /// The result of an input, with a shard that does not contain it, or with its own.
        fn kept(&self, input: &str, is_asked: bool) -> Kept {
            let key = KeyBuilder::new("test 1").input("input", input).finish();
            let own = u8::from_str_radix(&key.as_str()[..1], 16).expect("a digit");
            let shard = if is_asked { own } else { (own + 1) % SHARDS };
            Kept::new(&self.0, key, shard)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            // A directory that stays behind does no harm.
            let _ = fs::remove_dir_all(self.0.root());
        }
    }

    #[test]
    fn a_complete_output_is_known_except_in_its_shard() {
        let place = Place::new("known");
        let console = &mut Console::stdout();
        let kept = place.kept("a", false);
        assert_eq!(kept.known(console).expect("it can be read"), None);
        let output = b"one\ncomplete\n";
        kept.keep_output(output, console).expect("it can be kept");
        let known = kept.known(console).expect("it can be read");
        assert_eq!(known.as_deref(), Some(&output[..]));
        let asked = place.kept("a", true);
        assert_eq!(asked.known(console).expect("it can be read"), None);
        let other = place.kept("b", false);
        assert_eq!(other.known(console).expect("it can be read"), None);
    }

    #[test]
    fn an_incomplete_or_large_output_is_not_kept() {
        let place = Place::new("incomplete");
        let console = &mut Console::stdout();
        let large = [vec![b'x'; OUTPUT_LEN_MAX], COMPLETE.to_vec()].concat();
        for output in [b"" as &[u8], b"one\n", b"complete\nmore", &large] {
            let kept = place.kept("a", false);
            kept.keep_output(output, console).expect("nothing is kept");
            assert_eq!(kept.known(console).expect("it can be read"), None);
        }
    }

    #[test]
    fn another_output_for_the_same_input_is_an_error() {
        let place = Place::new("two");
        let console = &mut Console::stdout();
        let kept = place.kept("a", true);
        kept.keep_output(b"one complete", console)
            .expect("it is new");
        kept.keep_output(b"one complete", console)
            .expect("it is the same");
        let other = kept.keep_output(b"two complete", console);
        assert!(matches!(other, Err(Problem::TwoResults { .. })));
        let cut = kept.keep_output(b"one", console);
        assert!(matches!(cut, Err(Problem::TwoResults { .. })));
    }

    #[test]
    fn messages_of_an_accepted_file_are_known() {
        let place = Place::new("messages");
        let console = &mut Console::stdout();
        let kept = place.kept("a", false);
        kept.keep_messages("", console).expect("it can be kept");
        assert_eq!(kept.known(console).expect("it can be read"), Some(vec![]));
    }
}
