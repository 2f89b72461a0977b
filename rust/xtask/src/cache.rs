//! `cargo xtask cache`: lists and clears the cache outside the checkout.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use antiphon_build_support::cache::{Cache, Usage};

use crate::problem::Problem;

/// Lists the entries of the cache by kind.
pub(crate) fn list(cache: &Cache) -> Result<ExitCode, Problem> {
    println!("{}", cache.root().display());
    let kinds = cache.usage()?;
    let now = SystemTime::now();
    let mut common = 0;
    for (kind, usage) in &kinds {
        let own = cache.separate_bound(kind);
        println!("{}", line(kind, usage, own, now));
        if own.is_none() {
            common += usage.bytes;
        }
    }
    let max = cache.bytes_max();
    println!(
        "{} of at most {}, without kinds that have their own bound",
        megabytes(common),
        megabytes(max)
    );
    Ok(ExitCode::SUCCESS)
}

/// Removes the entries that no process uses.
pub(crate) fn clear(cache: &Cache) -> Result<ExitCode, Problem> {
    let (removed, in_use) = cache.clear()?;
    println!(
        "{}: {removed} entries removed, {in_use} in use",
        cache.root().display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The line of a kind; `own` is its own bound in bytes, if it has one.
fn line(kind: &str, usage: &Usage, own: Option<u64>, now: SystemTime) -> String {
    let Usage {
        entries,
        bytes,
        last_use,
    } = usage;
    // A clock that was set back gives an age of zero.
    let age = now.duration_since(*last_use).unwrap_or_default();
    let (size, age) = (megabytes(*bytes), shown_age(age));
    let own = own.map_or_else(String::new, |max| format!(", at most {}", megabytes(max)));
    format!("  {kind:<14} {entries:>5} entries {size:>11}  last used {age}{own}")
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn shown_age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => "now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_listed_with_size_and_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let usage = |age| Usage {
            entries: 60,
            bytes: 16_250_000,
            last_use: now - Duration::from_secs(age),
        };
        assert_eq!(
            line("lean-module", &usage(300), None, now),
            "  lean-module       60 entries     16.2 MB  last used 5 min ago"
        );
        for (age, expected) in [(5, "now"), (7200, "2 h ago"), (3 * 86400, "3 days ago")] {
            assert!(line("x", &usage(age), None, now).ends_with(expected));
        }
        let bounded = line("x", &usage(0), Some(3_200_000_000), now);
        assert!(
            bounded.ends_with("last used now, at most 3200.0 MB"),
            "{bounded}"
        );
    }
}
