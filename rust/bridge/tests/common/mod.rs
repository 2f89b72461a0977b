//! What the tests that run the model share.

use antiphon_bridge::oracle::Oracle;

/// The program that runs the model. It stands in the folder that cargo builds into: that of the test's own program, two
/// levels up.
pub fn oracle() -> Oracle {
    let program = std::env::current_exe().expect("a test knows its program");
    let target = program
        .ancestors()
        .nth(3)
        .expect("it is in target/debug/deps");
    Oracle::find(target).unwrap_or_else(|error| panic!("{error}"))
}
