//! The kernel against the model in this process. Without a native Lean this test cannot be linked,
//! and CI checks its types only.

use antiphon_bridge::{hand, run};
use antiphon_lean_native::{Model, StartError};

/// One test, because the model can be started once in a process.
#[test]
fn the_model_in_this_process_has_the_kernels_output() {
    let model = Model::start().unwrap_or_else(|error| panic!("{error}"));
    for case in hand::cases() {
        let kernel = run::encode(&run::run(&case));
        let is_equal = model.run_case(&case.to_bytes()) == kernel;
        assert!(is_equal, "the outputs of `{}` differ", case.name);
    }
    let unreadable = model.run_case(&[0x80]);
    assert!(unreadable.ends_with(b"this case cannot be read"));
    assert_eq!(Model::start().err(), Some(StartError::StartedBefore));
}
