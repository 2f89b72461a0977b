//! Tests with hand-written automata: projection produces almost none that are unsafe.

use antiphon_machine::Automaton;
use antiphon_machine::safety::{
    BadConfiguration, CertificateError, Coverage, Move, SafetyCertificate, System,
};

use super::{Limits, Safety, ViolationKind, explore};
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

/// The automata of a machine's image.
fn machine(texts: &[&str]) -> Vec<Automaton> {
    system(texts).iter().map(LocalAutomaton::machine).collect()
}

fn check(certificate: &SafetyCertificate, texts: &[&str]) -> Result<Coverage, CertificateError> {
    let automata = machine(texts);
    certificate.check_system(&System::new(&automata, certificate.buffer_bound()))
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

/// The violation and its trace, in lines.
fn violation(texts: &[&str]) -> String {
    match explore(&system(texts), &Limits::default()) {
        Safety::Unsafe(violation) => {
            let kind = format!("{:?}", violation.kind)
                .replace("[Waiting {", "[\n  Waiting {")
                .replace(": Waiting {", ":\n  Waiting {")
                .replace(", Waiting {", ",\n  Waiting {");
            format!("{kind}\nafter [{}]", steps(&violation.trace))
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
fn ping_pong_has_six_safe_configurations() {
    // The start; x sent; x read; y sent (reading y returns to the start); z sent; z read.
    let certificate = certificate(&[PING, PONG], &Limits::default());
    assert_eq!(certificate.configurations(), 6);
    assert_eq!(certificate.buffer_bound(), 2);
    let coverage = check(&certificate, &[PING, PONG]);
    assert_eq!(coverage, Ok(Coverage::AtLeast { bound: 2 }));
}

#[test]
fn an_endless_sender_is_explored_until_its_buffer_is_full() {
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
        let coverage = check(&certificate, &[sender, receiver]).expect("it holds");
        let bound = u32::from(buffer);
        assert!(coverage.covers(bound) && !coverage.covers(bound + 1));
    }
}

#[test]
fn reports_an_unexpected_message() {
    let sender = "automaton A\n0 send B\n  x() -> 1\n  y() -> 1\n1 end\n";
    let receiver = "automaton B\n0 recv A\n  x() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[sender, receiver]), @"
    Bad(Reception { role: RoleId(1), from: RoleId(0), got: LabelId(1), expected: [LabelId(0)] })
    after [A!y B]
    ");
}

#[test]
fn reports_two_roles_that_wait_for_each_other() {
    let a =
        "automaton A\n0 send C\n  z() -> 1\n1 recv B\n  x() -> 2\n2 send B\n  y() -> 3\n3 end\n";
    let b = "automaton B\n0 recv A\n  y() -> 1\n1 send A\n  x() -> 2\n2 end\n";
    let c = "automaton C\n0 recv A\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @"
    Bad(Deadlock { waiting: [
      Waiting { role: RoleId(0), peer: RoleId(1), for_room: false },
      Waiting { role: RoleId(1), peer: RoleId(0), for_room: false }] })
    after [A!z C, C?z A]
    ");
}

#[test]
fn reports_a_message_to_a_role_that_is_done() {
    let a = "automaton A\n0 send B\n  x() -> 1\n1 send B\n  y() -> 2\n2 end\n";
    let b = "automaton B\n0 recv A\n  x() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b]), @"
    Bad(Orphan { from: RoleId(0), to: RoleId(1), label: LabelId(1) })
    after [A!x B, A!y B, B?x A]
    ");
}

#[test]
fn reports_a_role_that_never_moves_again() {
    let a = "automaton A\n0 send B\n  x() -> 1\n  y() -> 2\n1 send B\n  x() -> 1\n\
             2 send C\n  z() -> 3\n3 end\n";
    let b = "automaton B\n0 recv A\n  x() -> 1\n  y() -> 2\n1 recv A\n  x() -> 1\n2 end\n";
    let c = "automaton C\n0 recv A\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @"
    NoProgress { waiting:
      Waiting { role: RoleId(2), peer: RoleId(0), for_room: false } }
    after [A!x B]
    ");
}

#[test]
fn reports_a_message_that_is_never_read() {
    let a = "automaton A\n0 send B\n  x() -> 1\n1 send B\n  x() -> 1\n";
    let b = "automaton B\n0 recv A\n  x() -> 0\n";
    let c = "automaton C\n0 send B\n  z() -> 1\n1 end\n";
    insta::assert_snapshot!(violation(&[a, b, c]), @"
    NeverReceived { from: RoleId(2), to: RoleId(1), label: LabelId(2) }
    after [C!z B]
    ");
}

#[test]
fn buffers_grow_when_a_full_buffer_causes_a_violation() {
    // Both send three messages before they read: with capacity two they wait for room, with four
    // they do not.
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
        panic!("three messages do not fit into a buffer of two");
    };
    assert!(
        matches!(
            found.kind,
            ViolationKind::Bad(BadConfiguration::Deadlock { .. })
        ),
        "{found:?}"
    );
    assert_eq!(certificate(&[&a, &b], &Limits::default()).buffer_bound(), 4);
}

#[test]
fn exceeding_the_budget_certifies_nothing() {
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

/// Sixty-four roles that may all communicate with each other: rows of eight thousand numbers.
#[test]
fn wide_configurations_count_against_the_memory_bound() {
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
        panic!("there are infinitely many");
    };
    assert!(visited < 10_000, "{visited} rows of eight thousand numbers");
}

#[test]
fn certificate_bytes_are_stable_and_decode() {
    let certificate = certificate(&[PING, PONG], &Limits::default());
    let bytes = certificate.encode();
    let text = antiphon_codec::diagnostic(&decoded(&bytes)).replace(", h'", ",\n h'");
    insta::assert_snapshot!(text, @"
    [1, 2, 6, 6,
     h'0001010000000000020101000000020000020001020000000001030000030000030300000000']
    ");
    assert_eq!(SafetyCertificate::decode(&bytes), Ok(certificate));
}

fn decoded(bytes: &[u8]) -> antiphon_codec::Item {
    match antiphon_codec::decode_strict(bytes, &antiphon_codec::Limits::default()) {
        Ok(item) => item,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_forged_certificate_is_rejected() {
    let whole = certificate(&[PING, PONG], &Limits::default());
    let automata = machine(&[PING, PONG]);
    let system = System::new(&automata, whole.buffer_bound());
    let rows: Vec<&[u16]> = whole.rows().collect();
    for missing in 0..rows.len() {
        let mut rows = rows.clone();
        rows.remove(missing);
        let refused = SafetyCertificate::of(&system, rows).check_system(&system);
        assert!(
            matches!(
                refused,
                Err(CertificateError::NoStart | CertificateError::Open { .. })
            ),
            "{missing}: {refused:?}"
        );
    }
    let mut foreign = rows[5].to_vec();
    foreign[0] = 9;
    let forged = SafetyCertificate::of(&system, [&rows[..], &[&foreign]].concat());
    assert_eq!(
        forged.check_system(&system),
        Err(CertificateError::Foreign { index: 6 })
    );
    // Another protocol's certificate is rejected too.
    let deaf = "automaton B\n0 recv A\n  y() -> 1\n1 send A\n  y() -> 0\n  z() -> 2\n2 end\n";
    let refused = check(&whole, &[PING, deaf]);
    assert!(
        matches!(refused, Err(CertificateError::Bad { .. })),
        "{refused:?}"
    );
}

#[test]
fn any_changed_bit_of_a_certificate_is_detected() {
    let whole = certificate(&[PING, PONG], &Limits::default());
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
                let refused = check(&read, &[PING, PONG]);
                assert!(refused.is_err(), "byte {at} bit {bit}");
            }
        }
        assert!(SafetyCertificate::decode(&bytes[..at]).is_err());
    }
}
