//! Which mutant is active on a thread.
//!
//! A *mutant* is one deliberate error in a crate, such as a bound that is off by one, a missing
//! check, or two events in the wrong order. A comparison that finds no difference is evidence only
//! if it would find each mutant. The crates themselves have no mutants: the files in the
//! directories beside `src`, one directory for each crate, have edits that add them.
//! `cargo xtask mutants` applies the edits to a copy of the crates, adds this crate to the
//! dependencies of each edited one, and runs `rust/bridge/examples/mutants.rs` in the copy.
//!
//! ```
//! use antiphon_mutants::{active, with};
//!
//! assert!(with(7, || active(7)));
//! assert!(!active(7));
//! ```

use std::cell::Cell;

std::thread_local! {
    /// The number of the active mutant; 0 if none is active.
    static ACTIVE: Cell<u16> = const { Cell::new(0) };
}

/// Runs the closure with one mutant active on this thread. Afterwards, also after a panic, the
/// mutant that was active before is active again. No mutant has the number 0.
pub fn with<T>(number: u16, run: impl FnOnce() -> T) -> T {
    struct Restore(u16);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _restore = Restore(ACTIVE.replace(number));
    run()
}

/// Whether the mutant with this number is active on this thread.
#[inline]
pub fn active(number: u16) -> bool {
    ACTIVE.get() == number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers below 4 of the active mutants.
    fn all_active() -> Vec<u16> {
        (1..4).filter(|number| active(*number)).collect()
    }

    #[test]
    fn a_mutant_is_active_only_inside_with() {
        assert_eq!(all_active(), []);
        assert_eq!(with(1, all_active), [1]);
        with(1, || {
            let unwound = std::panic::catch_unwind(|| with(2, || panic!("the mutant panics")));
            assert!(unwound.is_err());
            assert_eq!(all_active(), [1], "the previous mutant is active again");
        });
        assert_eq!(all_active(), []);
    }

    #[test]
    fn a_mutant_is_active_on_its_own_thread_only() {
        let other = with(1, || std::thread::spawn(all_active).join());
        assert_eq!(other.expect("the thread ends"), []);
    }
}
