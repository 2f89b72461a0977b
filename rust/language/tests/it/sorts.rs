//! The printer's text of a sort is the sort's text in a protocol.

use antiphon_language::compile::compile;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules, check};
use antiphon_machine::text::Printer;
use antiphon_machine::{CodeImage, SortId, State};
use proptest::prelude::*;

/// The image of a protocol with one message, which has this payload, and the payload's sort.
fn compiled(payload: &str) -> (CodeImage, SortId) {
    let source = format!(
        "record Note {{ who: Text, mood: Mood? }}
enum Mood {{ glad, none }}
global protocol Tell(role A, role B) {{ note({payload}) from A to B; }}"
    );
    let modules = Modules::load(Source::new("tell.anti", &source), &NoModules);
    let report = check(&modules);
    let protocol = report.protocols.first();
    let protocol = protocol.unwrap_or_else(|| panic!("{source}\n{:?}", report.diagnostics));
    let image = compile(protocol, &Limits::default())
        .expect("a safe protocol")
        .image;
    let sort = match &image.roles[0].automaton.states[0] {
        State::Send { branches, .. } => branches[0].sort,
        State::Recv { .. } | State::End => panic!("role A sends first"),
    };
    (image, sort)
}

/// A sort in the notation of protocols, at most this deep.
fn sort(depth: u32) -> impl Strategy<Value = String> {
    let names = [
        "Unit", "Bool", "Nat", "Int", "Text", "Bytes", "Note", "Mood",
    ];
    let name = prop::sample::select(names.map(str::to_owned).to_vec());
    name.prop_recursive(depth, 32, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| format!("[{item}]")),
            inner.prop_map(|item| format!("{item}?")),
        ]
    })
}

/// Checks that the printed payload equals its source text, and that the printed text is read as the
/// same sort.
fn assert_same(payload: &str) {
    let (image, sort) = compiled(payload);
    let printer = Printer::new(&image).with_width(usize::MAX);
    let text = printer.sort(sort);
    assert_eq!(text, payload);
    let (again, same) = compiled(&text);
    assert_eq!((again.sorts, same), (image.sorts, sort));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_printed_sort_is_read_as_itself(sort in sort(12)) {
        assert_same(&sort);
    }

    #[test]
    fn a_printed_payload_list_is_read_as_itself(first in sort(4), second in sort(4)) {
        let (image, sort) = compiled(&format!("{first}, note: {second}"));
        let text = Printer::new(&image).with_width(usize::MAX).sort(sort);
        prop_assert_eq!(text, format!("({first}, note: {second})"));
    }
}
