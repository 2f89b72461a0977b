//! Automata written by hand: projection makes none that are unsafe in most of these ways.

use super::{CertificateError, Limits, Move, Safety, SafetyCertificate, ViolationKind, explore};
use crate::automaton::{LocalAutomaton, Names};

fn names() -> Names {
    let table = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (roles, labels) = (table(&["A", "B", "C"]), table(&["x", "y", "z"]));
    Names::new(roles, labels, table(&["Unit"]), vec![], vec![])
}

fn system(texts: &[&str]) -> Vec<LocalAutomaton> {
    let names = names();
    let parse = |text: &&str| match LocalAutomaton::parse(text, &names) {
        Ok(automaton) => automaton,
        Err(error) => panic!("{error} in\n{text}"),
    };
    texts.iter().map(parse).collect()
}

/// The steps as `A!x B` (sends to) and `B?x A` (receives from).
fn steps(trace: &[Move]) -> String {
    let names = names();
    let step = |step: &Move| {
        let sign = if step.sends { '!' } else { '?' };
        let (role, peer) = (names.role(step.role), names.role(step.peer));
        format!("{role}{sign}{} {peer}", names.label(step.label))
    };
    trace.iter().map(step).collect::<Vec<_>>().join(", ")
}

fn violation(texts: &[&str]) -> String {
    match explore(&system(texts), &Limits::default()) {
        Safety::Unsafe(violation) => {
            format!("{:?} after [{}]", violation.kind, steps(&violation.trace))
        }
        other => format!("{other:?}"),
    }
}

fn certificate(texts: &[&str], limits: &Limits) -> SafetyCertificate {
    match explore(&system(texts), limits) {
        Safety::Safe(certificate) => certificate,
        other => panic!("{other:?}"),
    }
}

const PING: &str = "automaton A\n0 send B\n  x() -> 1\n1 recv B\n  y() -> 0\n  z() -> 2\n2 end\n";
const PONG: &str = "automaton B\n0 recv A\n  x() -> 1\n1 send A\n  y() -> 0\n  z() -> 2\n2 end\n";

#[test]
fn ping_pong_is_safe_in_exactly_these_configurations() {
    // Start; x sent; x read; y sent (y read is the start again); z sent; z read.
    let certificate = certificate(&[PING, PONG], &Limits::default());
    assert_eq!(certificate.configurations(), 6);
    assert_eq!(certificate.buffer_bound(), 2);
    assert_eq!(certificate.check(&system(&[PING, PONG])), Ok(()));
}

#[test]
fn a_sender_without_end_is_explored_up_to_its_full_buffer() {
    let sender = "automaton A\n0 send B\n  x() -> 0\n";
    let receiver = "automaton B\n0 recv A\n  x() -> 0\n";
    for buffer in 1..=5 {
        let limits = Limits {
            buffer,
            buffer_max: buffer,
            ..Limits::default()
        };
        let certificate = certificate(&[sender, receiver], &limits);
        assert_eq!(certificate.configurations(), usize::from(buffer) + 1);
    }
}

#[test]
fn a_message_that_is_not_expected() {
    let sender = "automaton A\n0 send B\n  x() -> 1\n  y() -> 1\n1 end\n";
    let receiver = "automaton B\n0 recv A\n  x() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[sender, receiver]), @r#"Reception { role: RoleId(1), from: RoleId(0), got: LabelId(1), expected: [LabelId(0)] } after [A!y B]"#);
}

#[test]
fn two_that_wait_for_each_other() {
    let a =
        "automaton A\n0 send C\n  z() -> 1\n1 recv B\n  x() -> 2\n2 send B\n  y() -> 3\n3 end\n";
    let b = "automaton B\n0 recv A\n  y() -> 1\n1 send A\n  x() -> 2\n2 end\n";
    let c = "automaton C\n0 recv A\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @r#"Deadlock { waiting: [Waiting { role: RoleId(0), peer: RoleId(1), for_room: false }, Waiting { role: RoleId(1), peer: RoleId(0), for_room: false }] } after [A!z C, C?z A]"#);
}

#[test]
fn a_message_to_one_that_is_done() {
    let a = "automaton A\n0 send B\n  x() -> 1\n1 send B\n  y() -> 2\n2 end\n";
    let b = "automaton B\n0 recv A\n  x() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b]), @r#"Orphan { from: RoleId(0), to: RoleId(1), label: LabelId(1) } after [A!x B, A!y B, B?x A]"#);
}

#[test]
fn one_that_is_forgotten() {
    let a = "automaton A\n0 send B\n  x() -> 1\n  y() -> 2\n1 send B\n  x() -> 1\n2 send C\n  z() -> 3\n3 end\n";
    let b = "automaton B\n0 recv A\n  x() -> 1\n  y() -> 2\n1 recv A\n  x() -> 1\n2 end\n";
    let c = "automaton C\n0 recv A\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @r#"NoProgress { waiting: Waiting { role: RoleId(2), peer: RoleId(0), for_room: false } } after [A!x B]"#);
}

#[test]
fn a_message_that_waits_for_ever() {
    let a = "automaton A\n0 send B\n  x() -> 1\n1 send B\n  x() -> 1\n";
    let b = "automaton B\n0 recv A\n  x() -> 0\n";
    let c = "automaton C\n0 send B\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @r#"NeverReceived { from: RoleId(2), to: RoleId(1), label: LabelId(2) } after [C!z B]"#);
}

#[test]
fn what_needs_more_room_is_given_more_room() {
    // Both send three before they read: with two places each they wait for room, with four they do
    // not.
    let both = |role: &str, peer: &str| {
        let mut text = format!("automaton {role}\n");
        for state in 0..6 {
            let word = if state < 3 { "send" } else { "recv" };
            text += &format!("{state} {word} {peer}\n  x() -> {}\n", state + 1);
        }
        text + "6 end\n"
    };
    let (a, b) = (both("A", "B"), both("B", "A"));
    let narrow = Limits {
        buffer_max: 2,
        ..Limits::default()
    };
    let Safety::Unsafe(found) = explore(&system(&[&a, &b]), &narrow) else {
        panic!("three do not fit into two");
    };
    assert!(
        matches!(found.kind, ViolationKind::Deadlock { .. }),
        "{found:?}"
    );
    assert_eq!(certificate(&[&a, &b], &Limits::default()).buffer_bound(), 4);
}

#[test]
fn over_the_budget_nothing_is_certified() {
    let limits = Limits {
        configurations: 3,
        ..Limits::default()
    };
    let safety = explore(&system(&[PING, PONG]), &limits);
    assert!(
        matches!(
            safety,
            Safety::Uncertified {
                visited: 3,
                buffer: 2
            }
        ),
        "{safety:?}"
    );
}

/// Sixty-four roles, each of which may speak with each other one: rows of eight thousand numbers.
#[test]
fn wide_configurations_are_few() {
    let table = |what: &str| (0..64).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
    let names = Names::new(table("R"), table("l"), vec!["Unit".into()], vec![], vec![]);
    let automaton = |role: usize| {
        let mut text = format!("automaton R{role}\n");
        for state in 0..63 {
            let peer = (role + state + 1) % 64;
            text += &format!("{state} send R{peer}\n  l0() -> {}\n", (state + 1) % 63);
        }
        match LocalAutomaton::parse(&text, &names) {
            Ok(automaton) => automaton,
            Err(error) => panic!("{error}"),
        }
    };
    let automata: Vec<_> = (0..64).map(automaton).collect();
    let Safety::Uncertified { visited, .. } = explore(&automata, &Limits::default()) else {
        panic!("there is no end to them");
    };
    assert!(visited < 10_000, "{visited} rows of eight thousand numbers");
}

#[test]
fn certificate_bytes_are_these_and_read_back() {
    let certificate = certificate(&[PING, PONG], &Limits::default());
    let bytes = certificate.encode();
    insta::assert_snapshot!(antiphon_codec::diagnostic(&decoded(&bytes)), @r#"[1, 2, 6, 6, h'0001010000000000020101000000020000020001020000000001030000030000030300000000']"#);
    assert_eq!(SafetyCertificate::decode(&bytes), Ok(certificate));
}

fn decoded(bytes: &[u8]) -> antiphon_codec::Item {
    match antiphon_codec::decode_strict(bytes, &antiphon_codec::Limits::default()) {
        Ok(item) => item,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_forged_certificate_is_refused() {
    let whole = certificate(&[PING, PONG], &Limits::default());
    let automata = system(&[PING, PONG]);
    for missing in 0..whole.states.len() {
        let mut forged = whole.clone();
        forged.states.remove(missing);
        let refused = forged.check(&automata);
        assert!(
            matches!(
                refused,
                Err(CertificateError::NoStart | CertificateError::Open { .. })
            ),
            "{missing}: {refused:?}"
        );
    }
    let mut forged = whole.clone();
    std::sync::Arc::make_mut(&mut forged.states[0])[0] = 9;
    assert_eq!(
        forged.check(&automata),
        Err(CertificateError::Foreign { index: 0 })
    );
    // Another protocol's certificate does not do, however it was come by.
    let deaf = "automaton B\n0 recv A\n  y() -> 1\n1 send A\n  y() -> 0\n  z() -> 2\n2 end\n";
    let refused = whole.check(&system(&[PING, deaf]));
    assert!(
        matches!(refused, Err(CertificateError::Bad { .. })),
        "{refused:?}"
    );
}

#[test]
fn every_damaged_byte_of_a_certificate_is_noticed() {
    let whole = certificate(&[PING, PONG], &Limits::default());
    let automata = system(&[PING, PONG]);
    let bytes = whole.encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(read) = SafetyCertificate::decode(&damaged) {
                assert_eq!(
                    read.encode(),
                    damaged,
                    "only one form of a certificate is read"
                );
                assert!(read.check(&automata).is_err(), "byte {at} bit {bit}");
            }
        }
        assert!(SafetyCertificate::decode(&bytes[..at]).is_err());
    }
}
