//! Bounds of images and of the machine, with texts too large to store as fixtures; and a check that
//! every code of projection, safety and resources is tested.

use std::collections::BTreeSet;

use crate::common::{Files, fixtures, read};
use antiphon_language::compile::{Compilation, compile_all};
use antiphon_language::diagnostic::{Code, Group};
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};

fn compiled(text: String) -> Compilation {
    let modules = Modules::load(
        Source {
            name: "large".into(),
            text: text.into(),
        },
        &NoModules,
    );
    compile_all(&modules, &Limits::default())
}

fn codes(compiled: &Compilation) -> BTreeSet<Code> {
    compiled
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

/// A protocol of two roles with the given body.
fn protocol(body: &str) -> String {
    format!("global protocol Large(role A, role B) {{\n{body}\n}}\n")
}

#[test]
fn the_table_of_labels_is_bounded() {
    let labels = |count: usize| {
        // A message of sort unit between two roles needs one operation at its receiver, so the
        // table of labels fills first.
        let message = |n| format!("m{n}() from A to B;");
        protocol(&(0..count).map(message).collect::<Vec<_>>().join("\n"))
    };
    let fits = compiled(labels(4_000));
    assert_eq!(codes(&fits), BTreeSet::new());
    assert!(fits.protocols[0].1.image.clone().verify().is_ok());
    assert_eq!(
        codes(&compiled(labels(4_097))),
        BTreeSet::from([Code::TableTooLong])
    );
}

#[test]
fn the_branches_of_a_choice_are_bounded() {
    let branches = |count: usize| {
        let branch = |n| format!("{{ m{n}() from A to B; }}");
        protocol(&format!(
            "choice at A {}",
            (0..count).map(branch).collect::<Vec<_>>().join(" or ")
        ))
    };
    let fits = compiled(branches(1_024));
    assert_eq!(codes(&fits), BTreeSet::new());
    assert!(fits.protocols[0].1.image.clone().verify().is_ok());
    let over = compiled(branches(1_025));
    assert!(
        codes(&over).contains(&Code::TooManyBranches),
        "{:?}",
        over.diagnostics
    );
}

#[test]
fn the_length_of_a_program_is_bounded() {
    // Each payload is produced and sent: two instructions at the sender.
    let messages = |count: usize| {
        format!(
            "{}aux global protocol Hundred(role A, role B) {{\n{}}}\n",
            protocol(&"do Hundred(A, B);\n".repeat(count / 100)),
            "m(Nat) from A to B;\n".repeat(100)
        )
    };
    let limits = Limits {
        configurations: 100,
        ..Limits::default()
    };
    let run = |count| {
        let text = messages(count);
        let source = Source {
            name: "large".into(),
            text: text.into(),
        };
        compile_all(&Modules::load(source, &NoModules), &limits)
    };
    let fits = run(30_000);
    assert_eq!(codes(&fits), BTreeSet::from([Code::Uncertified]));
    assert!(fits.protocols[0].1.image.clone().verify().is_ok());
    assert_eq!(
        codes(&run(40_000)),
        BTreeSet::from([Code::Uncertified, Code::CodeTooLong])
    );
}

#[test]
fn the_fields_of_a_record_are_bounded() {
    let fields = |count: usize| {
        let field = |n| format!("f{n}: Nat");
        format!(
            "record Wide {{ {} }}\n{}",
            (0..count).map(field).collect::<Vec<_>>().join(", "),
            protocol("m(Wide) from A to B;")
        )
    };
    assert_eq!(codes(&compiled(fields(1_024))), BTreeSet::new());
    assert_eq!(
        codes(&compiled(fields(1_025))),
        BTreeSet::from([Code::SortTooLarge])
    );
}

/// An error in a sort is an error in every protocol that uses the sort.
#[test]
fn a_protocol_with_an_invalid_sort_is_not_compiled() {
    for sort in ["record S { a: Nat, a: Nat }", "enum S { a, a }"] {
        let wrong = compiled(format!("{sort}\n{}", protocol("m([S]) from A to B;")));
        assert_eq!(codes(&wrong), BTreeSet::from([Code::DuplicateMember]));
        assert!(wrong.protocols.is_empty());
    }
}

#[test]
fn a_larger_budget_certifies_more_protocols() {
    let path = fixtures().join("err/217_uncertified.scr");
    let modules = Modules::load(read(&path), &Files);
    let small = compile_all(
        &modules,
        &Limits {
            configurations: 1_000,
            ..Limits::default()
        },
    );
    assert_eq!(codes(&small), BTreeSet::from([Code::Uncertified]));
    assert_eq!(small.protocols[0].1.certificate, None);
    // Seven pairs; a pair has four configurations with buffers of one.
    let limits = Limits {
        buffer: 1,
        buffer_max: 1,
        configurations: 20_000,
    };
    let large = compile_all(&modules, &limits);
    let certificate = large.protocols[0].1.certificate.as_ref();
    assert_eq!(
        certificate.map(|c| c.configurations()),
        Some(4_usize.pow(7))
    );
}

/// Codes that no fixture produces. Tests above produce the first four. A text with one of the
/// others fails an earlier check, so tests of `safety` produce them with automata written by hand.
const SHOWN_ELSEWHERE: [Code; 7] = [
    Code::TableTooLong,
    Code::TooManyBranches,
    Code::CodeTooLong,
    Code::SortTooLarge,
    Code::ReceptionError,
    Code::Deadlock,
    Code::OrphanMessage,
];

#[test]
fn every_projection_safety_and_resource_code_is_tested() {
    let mut shown = BTreeSet::new();
    for entry in std::fs::read_dir(fixtures().join("err")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "scr" || e == "anti") {
            let modules = Modules::load(read(&path), &Files);
            shown.extend(codes(&compile_all(&modules, &Limits::default())));
        }
    }
    for code in Code::ALL {
        let ours = match code.group() {
            Group::Projection | Group::Safety | Group::Resources => true,
            Group::Syntax | Group::Names | Group::Shape | Group::Unsupported => false,
        };
        if ours && *code != Code::NeverReceived {
            assert_ne!(
                shown.contains(code),
                SHOWN_ELSEWHERE.contains(code),
                "{code}"
            );
        }
    }
}

#[test]
fn all_protocols_of_a_text_share_the_exploration_budget() {
    // Each of these protocols alone exceeds the budget. From the ninth on, no budget is left.
    let one = std::fs::read_to_string(fixtures().join("err/217_uncertified.scr")).unwrap();
    let other = |n: u32| {
        let text = one.replace("Uncertified", &format!("Uncertified{n}"));
        text.replace("Pair", &format!("Pair{n}"))
    };
    let text: String = (0..12).map(other).collect();
    let source = Source {
        name: "many".into(),
        text: text.into(),
    };
    let limits = Limits {
        configurations: 1_000,
        ..Limits::default()
    };
    let compiled = compile_all(&Modules::load(source, &NoModules), &limits);
    assert_eq!(compiled.protocols.len(), 12, "{:?}", compiled.diagnostics);
    let visited = |n: usize| compiled.diagnostics[n].notes[0].clone();
    assert!(!visited(0).contains(" 0 configurations"), "{}", visited(0));
    assert!(visited(11).contains(" 0 configurations"), "{}", visited(11));
}
