//! Snapshots of the exports of two protocols that together use every feature.

use std::path::Path;

use antiphon_language::automaton::Names;
use antiphon_language::compile::{Compiled, compile};
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules, check, export};

fn compiled(name: &str) -> (CheckedProtocol, Compiled) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/language/ok");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let modules = Modules::load(
        Source {
            name: name.into(),
            text: text.into(),
        },
        &NoModules,
    );
    let protocol = check(&modules).protocols.remove(0);
    let compiled = compile(&protocol, &Limits::default()).unwrap();
    (protocol, compiled)
}

/// All exports of a protocol, one after the other.
fn shown(name: &str) -> String {
    let (protocol, compiled) = compiled(name);
    let names = Names::of(&protocol);
    let mut parts = vec![
        export::disassemble(&compiled.image),
        export::sequence_diagram(&protocol),
    ];
    for automaton in &compiled.automata {
        parts.push(export::dot(automaton, &names));
        parts.push(export::state_diagram(automaton, &names));
    }
    parts.join("\n")
}

#[test]
fn exports_of_a_protocol_with_failures() {
    insta::assert_snapshot!(shown("037_else.anti"));
}

#[test]
fn exports_of_a_protocol_with_two_streams() {
    insta::assert_snapshot!(shown("035_exec.anti"));
}

/// Nested loops that are left in the middle, drawn from a graph that no longer has the `rec`
/// statements.
#[test]
fn sequence_diagrams_have_loops_and_alternatives() {
    for name in [
        "011_smtp.scr",
        "045_nested_recursion.scr",
        "046_recursion_then_more.scr",
    ] {
        let (protocol, _) = compiled(name);
        insta::assert_snapshot!(name, export::sequence_diagram(&protocol));
    }
}

/// The listings on `docs/compilation.md` are what its example compiles to.
#[test]
fn the_compilation_page_matches_the_compiler() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compilation.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let fence = format!("```{kind}\n");
        let parts = page.split(&fence).skip(1);
        parts
            .filter_map(|part| part.split("```").next())
            .map(str::to_owned)
            .collect()
    };
    let example = &blocks("antiphon")[0];
    let modules = Modules::load(Source::new("compilation.md", example), &NoModules);
    let protocol = check(&modules).protocols.remove(0);
    let compiled = compile(&protocol, &Limits::default()).unwrap();
    let names = Names::of(&protocol);
    let mut made = export::disassemble(&compiled.image);
    for automaton in &compiled.automata {
        made += &automaton.text(&names);
    }
    let listings = blocks("text");
    assert_eq!(listings.len(), 2);
    for listing in listings {
        assert!(made.contains(&listing), "not made:\n{listing}\nbut\n{made}");
    }
}
