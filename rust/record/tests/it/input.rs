//! Comparing recordings of commands whose input was sent in part.

use std::sync::Arc;

use antiphon_machine::build::*;
use antiphon_machine::{
    Class, CodeImage, DeterminismMode, EffectHandler, EffectRequest, FailureKind, Instruction,
    LabelId, Operation, Outcome, Reply, RoleId, Sort, SortId, Value, VerifiedImage,
};
use antiphon_record::{CompareOptions, Compared, Likeness, Parting, compare};

use crate::runs::{header, recorded};
use Sent::{Cancel, Data, Detach, Eof, Signal};

/// A message of the feeder.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Data(&'static str),
    Signal(u64),
    Cancel,
    Eof,
    Detach,
    /// The feeder's host fails in place of a message, which ends the session by a fault.
    Fault,
}

const LABELS: [&str; 5] = ["stdin_data", "signal", "cancel", "stdin_eof", "detach"];
const DATA: LabelId = LabelId(0);
const SIGNAL: LabelId = LabelId(1);
const DETACH: LabelId = LabelId(4);

const UNIT: SortId = SortId(0);
const BYTES: SortId = SortId(1);
const NAT: SortId = SortId(2);
const CHOICE: SortId = SortId(3);

fn labels() -> impl Iterator<Item = LabelId> {
    (0..5).map(LabelId)
}

/// The registers of a message's payload and of the label chosen.
const PAYLOAD: u8 = 1;
const CHOSEN: u8 = 2;

/// `Feeder` sends any of the labels to `Sink`, again and again, until it sends `detach`.
fn input() -> Arc<VerifiedImage> {
    let branches = || {
        labels().map(|label| {
            let sort = match label {
                DATA => BYTES,
                SIGNAL => NAT,
                _ => UNIT,
            };
            go(label, sort, u32::from(label == DETACH))
        })
    };
    let table: Vec<_> = labels()
        .map(|label| (label, u32::from(label == DETACH)))
        .collect();
    let sink = [choose(PAYLOAD, &table), HALT];
    let roles = [
        role("Feeder", 3, feeder_code(), [to(B, branches()), END]),
        role("Sink", 2, sink, [from(A, branches()), END]),
    ];
    let image = CodeImage {
        labels: names(LABELS),
        sorts: vec![
            Sort::Unit,
            Sort::Bytes,
            Sort::Nat,
            Sort::Arm(labels().collect()),
        ],
        interfaces: vec![interface("host")],
        operations: operations(B),
        ..image("Input", roles)
    };
    Arc::new(image.verify().expect("a valid image"))
}

/// The operations of the feeder's host: the choice of a label, and the payloads.
fn operations(peer: RoleId) -> Vec<Operation> {
    let labels = labels().collect();
    let produce = |label| Class::Produce { label, peer };
    vec![
        operation("decide", Class::Decide { labels, peer }, &[], CHOICE),
        operation("data", produce(DATA), &[], BYTES),
        operation("signal", produce(SIGNAL), &[], NAT),
    ]
}

fn feeder_code() -> Vec<Instruction> {
    let numbers = labels().map(|label| u64::from(label.0));
    let table: Vec<_> = numbers.zip([2, 4, 6, 8, 10]).collect();
    let mut code = vec![invoke(0, &[], CHOSEN, None), branch(CHOSEN, &table)];
    for label in labels() {
        code.push(match label {
            DATA => invoke(1, &[], PAYLOAD, None),
            SIGNAL => invoke(2, &[], PAYLOAD, None),
            _ => set(PAYLOAD, Value::Unit),
        });
        let next = if label == DETACH { 12 } else { 0 };
        code.push(offer(CHOSEN, &[(label, PAYLOAD, next)]));
    }
    code.push(HALT);
    code
}

/// The feeder's host. Sends these messages, starting with the last one.
struct Feeder(Vec<Sent>);

impl EffectHandler for Feeder {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let next = *self
            .0
            .last()
            .expect("a script ends with `Detach` or `Fault`");
        let label = match next {
            Data(_) => "stdin_data",
            Signal(_) => "signal",
            Cancel => "cancel",
            Eof => "stdin_eof",
            Detach => "detach",
            Sent::Fault => {
                return Reply::Now(Outcome::failure(FailureKind::Denied, "the link is lost"));
            }
        };
        let has_payload = matches!(next, Data(_) | Signal(_));
        let is_decision = matches!(request.class(), Class::Decide { .. });
        if is_decision != has_payload {
            self.0.pop();
        }
        Reply::Now(match next {
            _ if is_decision => request.choose(label).expect("it is one of the labels"),
            Data(bytes) => Outcome::Success(Value::bytes(bytes.as_bytes())),
            Signal(number) => Outcome::success(number),
            Cancel | Eof | Detach | Sent::Fault => Outcome::done(),
        })
    }
}

fn sending(messages: &[Sent]) -> Vec<u8> {
    let host = Feeder(messages.iter().rev().copied().collect());
    recorded(&header(DeterminismMode::Full), &input(), 1, host).0
}

const WITH_TIME: CompareOptions = CompareOptions {
    time: true,
    lookahead_max: 1 << 20,
};

fn compared(left: &[u8], right: &[u8]) -> Compared {
    compare(left, right, &CompareOptions::default()).expect("two headers")
}

/// Checks that two recordings are equal in both orders, with this number of messages.
fn equal(left: &[Sent], right: &[Sent], messages: u64) {
    let (a, b) = (sending(left), sending(right));
    for (a, b) in [(&a, &b), (&b, &a)] {
        let found = compared(a, b);
        let text = found.text("left", "right");
        assert_eq!(found.likeness, Likeness::Equal, "{left:?} {right:?} {text}");
        assert_eq!(found.messages, messages, "{left:?} {right:?} {text}");
    }
}

/// Checks that two recordings differ in both orders, and returns the difference of the first order.
fn different(left: &[Sent], right: &[Sent]) -> Parting {
    let (a, b) = (sending(left), sending(right));
    let [first, _] = [(&a, &b), (&b, &a)].map(|(a, b)| match compared(a, b).likeness {
        Likeness::Different(parting) => *parting,
        other => panic!("{left:?} and {right:?} differ, got {other:?}"),
    });
    first
}

#[test]
fn input_after_the_end_of_the_command_is_ignored() {
    let short = [Data("abc"), Detach];
    // The messages are the run of input and `detach`.
    equal(&short, &[Data("abcdef"), Detach], 2);
    equal(&short, &[Data("abcdef"), Eof, Detach], 2);
    equal(&short, &[Data("abc"), Eof, Detach], 2);
    equal(
        &short,
        &[Data("a"), Data("bcd"), Data("ef"), Eof, Detach],
        2,
    );
}

#[test]
fn input_after_the_end_of_a_command_without_input_is_ignored() {
    equal(&[Detach], &[Detach], 1);
    equal(&[Detach], &[Data("abc"), Detach], 1);
    equal(&[Detach], &[Data("abc"), Data("def"), Eof, Detach], 1);
    equal(&[Detach], &[Eof, Detach], 1);
}

#[test]
fn bytes_that_both_recordings_sent_are_compared() {
    let found = different(
        &[Data("abc"), Detach],
        &[Data("abX"), Data("def"), Eof, Detach],
    );
    assert_eq!(found.path, "stdin_data");
    assert_eq!(found.offset, Some(2));
}

#[test]
fn finished_inputs_are_compared_as_a_whole() {
    let found = different(&[Data("abc"), Eof, Detach], &[Data("abcdef"), Eof, Detach]);
    assert_eq!(found.offset, Some(3));
    assert_eq!(found.left, "stdin_eof");
    assert_eq!(found.right, "stdin_data b\"abcdef\"");
}

#[test]
fn a_finished_input_differs_from_a_longer_interrupted_one() {
    let found = different(&[Data("abc"), Eof, Detach], &[Data("abcdef"), Detach]);
    assert_eq!(found.offset, Some(3));
    different(&[Eof, Detach], &[Data("abc"), Detach]);
}

#[test]
fn signals_are_compared_by_their_place_in_the_input() {
    let common = [Data("abc"), Signal(10)];
    let with = |more: &[Sent]| [&common, more].concat();
    // The messages are the input before the signal, the signal, the input after it and the end.
    equal(
        &with(&[Data("d"), Detach]),
        &with(&[Data("def"), Eof, Detach]),
        4,
    );
    equal(&with(&[Detach]), &with(&[Data("def"), Detach]), 3);
    equal(&with(&[Detach]), &with(&[Data("def"), Eof, Detach]), 3);

    // A signal that only one recording has, also after the end of the other's input.
    let found = different(
        &[Data("abc"), Detach],
        &[Data("abcdef"), Signal(10), Detach],
    );
    assert_eq!(
        (found.left.as_str(), found.right.as_str()),
        ("detach", "signal 10")
    );
    let found = different(
        &[Data("abc"), Detach],
        &[Data("abcdef"), Eof, Signal(2), Detach],
    );
    assert_eq!(found.right, "signal 2");
    // Another signal, and the same signal at another place.
    different(
        &with(&[Detach]),
        &[Data("abc"), Signal(12), Data("def"), Detach],
    );
    different(
        &with(&[Detach]),
        &[Data("abcdef"), Signal(10), Data("def"), Detach],
    );
}

#[test]
fn a_cancellation_is_compared_by_its_place_in_the_input() {
    equal(
        &[Data("abc"), Cancel, Detach],
        &[Data("abc"), Cancel, Data("def"), Eof, Detach],
        3,
    );
    let found = different(&[Data("abc"), Detach], &[Data("abcdef"), Cancel, Detach]);
    assert_eq!(found.right, "cancel");
    different(
        &[Data("abc"), Cancel, Detach],
        &[Data("abcdef"), Cancel, Detach],
    );
}

#[test]
fn input_after_a_fault_of_both_sessions_is_ignored() {
    let short = [Data("abc"), Sent::Fault];
    equal(&short, &short, 1);
    equal(&short, &[Data("abc"), Data("def"), Sent::Fault], 1);
    equal(&short, &[Data("abcdef"), Eof, Sent::Fault], 1);
    equal(&[Sent::Fault], &[Data("abc"), Sent::Fault], 0);

    let found = different(&short, &[Data("abX"), Sent::Fault]);
    assert_eq!(found.offset, Some(2));
    different(&short, &[Data("abcdef"), Signal(10), Sent::Fault]);
    // A command that ended, and one that did not.
    different(&short, &[Data("abcdef"), Detach]);
    different(&[Data("abcdef"), Sent::Fault], &[Data("abc"), Detach]);
}

#[test]
fn input_after_the_end_of_the_command_is_ignored_with_time_too() {
    let (a, b) = (
        sending(&[Data("abc"), Detach]),
        sending(&[Data("abc"), Data("def"), Eof, Detach]),
    );
    let found = compare(&a[..], &b[..], &WITH_TIME).expect("two headers");
    assert_eq!(found.likeness, Likeness::Equal);
}

#[test]
fn a_truncated_recording_is_compared_up_to_its_end() {
    let (a, b) = (
        sending(&[Data("abc"), Detach]),
        sending(&[Data("abc"), Data("def"), Eof, Detach]),
    );
    for len in 0..b.len() {
        for (left, right) in [(&a[..], &b[..len]), (&b[..len], &a[..])] {
            let Ok(found) = compare(left, right, &CompareOptions::default()) else {
                continue;
            };
            assert_eq!(found.likeness, Likeness::EqualUpTo, "cut at {len}");
        }
    }
    let lengths = |bytes: &[u8]| {
        let found = compared(bytes, bytes);
        (found.messages, found.sessions)
    };
    assert_eq!((lengths(&a), lengths(&b)), ((2, 1), (3, 1)));
}

#[test]
fn ignored_input_does_not_wait_for_the_other_recording() {
    let bytes: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let long: Vec<Sent> = std::iter::repeat_n(Data(bytes), 100)
        .chain([Detach])
        .collect();
    let (a, b) = (sending(&[Data("x"), Detach]), sending(&long));
    let options = CompareOptions {
        lookahead_max: 5_000,
        ..CompareOptions::default()
    };
    for (a, b) in [(&a, &b), (&b, &a)] {
        let found = compare(&a[..], &b[..], &options).expect("two headers");
        assert_eq!(found.likeness, Likeness::Equal);
    }
}
