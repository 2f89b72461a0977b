//! What is too large for an image or its machine: texts of a size that nobody keeps in a file, and
//! the codes of projection, safety and resources that no text can bring about.

mod common;

use std::collections::BTreeSet;

use antiphon_language::compile::{Whole, compile_all};
use antiphon_language::diagnostic::{Code, Group};
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};
use common::{Files, fixtures, read};

fn whole(text: String) -> Whole {
    let modules = Modules::load(
        Source {
            name: "large".into(),
            text: text.into(),
        },
        &NoModules,
    );
    compile_all(&modules, &Limits::default())
}

fn codes(whole: &Whole) -> BTreeSet<Code> {
    whole
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

/// A protocol of two roles with the body.
fn protocol(body: &str) -> String {
    format!("global protocol Large(role A, role B) {{\n{body}\n}}\n")
}

#[test]
fn labels_fill_their_table_and_no_more() {
    let labels = |count: usize| {
        // Two roles that tell each other units need an operation per label, so the labels are the
        // tighter table.
        let message = |n| format!("m{n}() from A to B;");
        protocol(&(0..count).map(message).collect::<Vec<_>>().join("\n"))
    };
    let fits = whole(labels(4_000));
    assert_eq!(codes(&fits), BTreeSet::new());
    assert!(fits.protocols[0].1.image.clone().verify().is_ok());
    assert_eq!(
        codes(&whole(labels(4_097))),
        BTreeSet::from([Code::TableTooLong])
    );
}

#[test]
fn a_choice_has_as_many_branches_as_an_image_takes() {
    let branches = |count: usize| {
        let branch = |n| format!("{{ m{n}() from A to B; }}");
        protocol(&format!(
            "choice at A {}",
            (0..count).map(branch).collect::<Vec<_>>().join(" or ")
        ))
    };
    let fits = whole(branches(1_024));
    assert_eq!(codes(&fits), BTreeSet::new());
    assert!(fits.protocols[0].1.image.clone().verify().is_ok());
    let over = whole(branches(1_025));
    assert!(
        codes(&over).contains(&Code::TooManyBranches),
        "{:?}",
        over.diagnostics
    );
}

#[test]
fn a_program_is_as_long_as_an_image_takes() {
    // Each message is asked for and sent: two instructions at its sender.
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
fn a_record_has_as_many_fields_as_an_image_takes() {
    let fields = |count: usize| {
        let field = |n| format!("f{n}: Nat");
        format!(
            "record Wide {{ {} }}\n{}",
            (0..count).map(field).collect::<Vec<_>>().join(", "),
            protocol("m(Wide) from A to B;")
        )
    };
    assert_eq!(codes(&whole(fields(1_024))), BTreeSet::new());
    assert_eq!(
        codes(&whole(fields(1_025))),
        BTreeSet::from([Code::SortTooLarge])
    );
}

/// A finding about a sort is a finding about every protocol that uses it: nothing is made of them.
#[test]
fn nothing_is_made_of_a_protocol_with_a_wrong_sort() {
    for sort in ["record S { a: Nat, a: Nat }", "enum S { a, a }"] {
        let wrong = whole(format!("{sort}\n{}", protocol("m([S]) from A to B;")));
        assert_eq!(codes(&wrong), BTreeSet::from([Code::DuplicateMember]));
        assert!(wrong.protocols.is_empty());
    }
}

#[test]
fn the_uncertified_are_certified_with_a_larger_budget() {
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
    // Seven pairs of six configurations each, with buffers of one of four.
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

/// Shown by the tests above, by hand-written automata (see `safety`), or by nothing that passes the
/// checks before.
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
fn every_code_of_projection_safety_and_resources_is_shown() {
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
fn the_work_for_a_text_is_bounded_however_many_protocols_it_has() {
    // Each of these alone has more configurations than the budget; from the ninth on nothing is
    // left to look with.
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
    let whole = compile_all(&Modules::load(source, &NoModules), &limits);
    assert_eq!(whole.protocols.len(), 12, "{:?}", whole.diagnostics);
    let visited = |n: usize| whole.diagnostics[n].notes[0].clone();
    assert!(!visited(0).contains(" 0 configurations"), "{}", visited(0));
    assert!(visited(11).contains(" 0 configurations"), "{}", visited(11));
}
