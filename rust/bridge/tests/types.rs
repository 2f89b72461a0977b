//! The kernel's types against the model's.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use std::fs;
use std::path::Path;

use antiphon_bridge::types::{Registry, compare};

mod common;

#[test]
fn types_differ_exactly_as_the_registry_says() {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deviations.md");
    let registry = fs::read_to_string(registry).expect("the registry can be read");
    let registry = Registry::read(&registry).unwrap_or_else(|error| panic!("{error}"));
    let model = common::oracle()
        .schema()
        .unwrap_or_else(|error| panic!("{error}"));
    let report = compare(&model, &registry).unwrap_or_else(|error| panic!("{error}"));
    println!(
        "types: {} rows equal, {} deviations as registered",
        report.same, report.deviating
    );
    assert!(report.is_clean(), "{report:#?}");
}
