//! The protocols that come with the crate compile, verify and are formatted.

use antiphon_guest::protocols::{GUEST_COPY, GUEST_EXEC, GUEST_FILES};
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};

#[test]
fn the_shipped_protocols_compile_verify_and_are_certified() {
    for (name, text, protocols) in [
        ("guest_exec.anti", GUEST_EXEC, &["Exec"][..]),
        (
            "guest_files.anti",
            GUEST_FILES,
            &["CopyIn", "CopyOut", "Look"],
        ),
        (
            "guest_copy.anti",
            GUEST_COPY,
            &["LookAt", "PutInPlace", "Remove"],
        ),
    ] {
        let built = compile_source(Source::new(name, text), &NoModules, &Limits::default());
        let built = built.unwrap_or_else(|report| panic!("{report}"));
        assert!(built.warnings.diagnostics.is_empty(), "{}", built.warnings);
        let names: Vec<&str> = built
            .protocols
            .iter()
            .map(|(_, compiled)| compiled.image.name.as_str())
            .collect();
        assert_eq!(names, protocols);
        for (_, compiled) in built.protocols {
            assert!(compiled.certificate.is_some());
            compiled.image.verify().expect("a compiled image verifies");
        }
    }
}
