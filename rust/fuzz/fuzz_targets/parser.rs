//! Any text: it gives diagnostics or protocols, and the machine accepts what compiles.
#![no_main]

use antiphon_language::compile::compile;
use antiphon_language::diagnostic::{Diagnostic, render_all};
use antiphon_language::export::{disassemble, sequence_diagram};
use antiphon_language::safety::Limits;
use antiphon_language::source::{FileId, Source, Span};
use antiphon_language::{Modules, NoModules, check, decode, format, parse};
use libfuzzer_sys::fuzz_target;

/// Enough to find violations in a protocol of a page, and few enough for a thousand runs per
/// second.
const LIMITS: Limits = Limits {
    buffer: 2,
    buffer_max: 4,
    configurations: 500,
};

fuzz_target!(|input: &[u8]| {
    let source = decode("input", input).unwrap_or_else(|(_, source)| source);
    let parsed = parse(FileId(0), &source.text);
    for diagnostic in &parsed.diagnostics {
        inside(diagnostic.span, &source);
    }
    if parsed
        .diagnostics
        .iter()
        .all(|diagnostic| !diagnostic.is_error())
    {
        formats_to_itself(&source);
    }

    let modules = Modules::load(source.clone(), &NoModules);
    let checked = check(&modules);
    for diagnostic in &checked.diagnostics {
        inside(diagnostic.span, &source);
    }
    show(&checked.diagnostics, &modules);
    for protocol in &checked.protocols {
        let _ = sequence_diagram(protocol);
        match compile(protocol, &LIMITS) {
            Ok(compiled) => {
                let _ = disassemble(&compiled.image);
                let verified = compiled.image.verify();
                assert!(
                    verified.is_ok(),
                    "the verifier rejects a compiled image: {:?}",
                    verified.err()
                );
            }
            Err(diagnostics) => {
                assert!(!diagnostics.is_empty());
                show(&diagnostics, &modules);
            }
        }
    }
});

/// Renders the first few diagnostics. Rendering a hundred excerpts would take most of the time of a
/// run.
fn show(diagnostics: &[Diagnostic], modules: &Modules) {
    let first = diagnostics
        .get(..diagnostics.len().min(3))
        .unwrap_or(diagnostics);
    let text = render_all(first, modules.sources(), Default::default());
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "the report contains control characters: {text:?}"
    );
}

fn inside(span: Span, source: &Source) {
    assert!(
        source.text.get(span.range()).is_some(),
        "{span:?} splits a character or is out of range"
    );
}

/// Formatting must keep the text valid, and must be idempotent.
fn formats_to_itself(source: &Source) {
    let Some(once) = format(&parse(FileId(0), &source.text).ast) else {
        return;
    };
    let again = parse(FileId(0), &once);
    assert!(
        again.diagnostics.iter().all(|d| !d.is_error()),
        "formatting made the text invalid:\n{once}"
    );
    let twice = format(&again.ast).expect("formatted text can be formatted again");
    assert_eq!(once, twice);
}
