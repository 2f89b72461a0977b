//! Values, sorts, instructions and faults as text.

use antiphon_machine::build::{
    self, HALT, branch, check, choose, interface, invoke, names, offer, program, send, set, spawn,
};
use antiphon_machine::{
    Class, CodeImage, FailureKind, Fault, Form, Instruction, LabelId, Role, RoleId, Sort, SortId,
    StateId, Value,
};
use antiphon_record::text::{Printer, show};
use proptest::prelude::*;

const NAT: SortId = SortId(1);

fn image() -> CodeImage {
    let named = |name: &str, sort| (name.to_owned(), SortId(sort));
    let operation = |name, class| build::operation(name, class, &[], NAT);
    let peer = RoleId(1);
    let labels = vec![LabelId(0), LabelId(1)];
    CodeImage {
        name: "Example".to_owned(),
        roles: ["Client", "Server"].map(role).to_vec(),
        labels: names(["ping", "stop"]),
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Option(NAT),
            Sort::Enum {
                name: "Stream".to_owned(),
                variants: names(["out", "err"]),
            },
            Sort::Record {
                name: "Chunk".to_owned(),
                fields: vec![named("stream", 6), named("len", 5)],
            },
            Sort::Record {
                name: String::new(),
                fields: vec![named("0", 1), named("note", 2)],
            },
            Sort::Int,
            Sort::Bool,
            Sort::Arm(labels.clone()),
            Sort::List(SortId(8)),
            Sort::Foreign {
                name: "Handle".to_owned(),
            },
        ],
        interfaces: vec![interface("host")],
        operations: vec![
            operation("decide", Class::Decide { labels, peer }),
            operation(
                "produce",
                Class::Produce {
                    label: LabelId(0),
                    peer,
                },
            ),
            operation("read", Class::Command),
        ],
        programs: vec![program("Worker", 1, [])],
        ..CodeImage::default()
    }
}

fn role(name: &str) -> Role {
    Role {
        name: name.to_owned(),
        automaton: Default::default(),
    }
}

#[test]
fn values_have_the_notation_of_scripts() {
    let stream = |n| Value::Nat(n);
    let cases = [
        (Value::Unit, 0, "()"),
        (Value::Nat(u64::MAX), 1, "18446744073709551615"),
        (
            Value::text("a \"b\" \\ \n\t\u{1b}\u{202e} ü"),
            2,
            r#""a \"b\" \\ \n\t\u{1b}\u{202e} ü""#,
        ),
        (
            Value::bytes(b"\x00\xff \"a\" \\ \n"),
            3,
            r#"b"\x00\xff \"a\" \\ \n""#,
        ),
        (Value::list(vec![Value::Nat(1), Value::Nat(2)]), 4, "[1, 2]"),
        (Value::list(vec![]), 4, "[]"),
        (Value::option(None), 5, "none"),
        (Value::option(Some(Value::Nat(7))), 5, "7"),
        (stream(1), 6, "err"),
        (
            Value::record(vec![stream(0), Value::option(None)]),
            7,
            "{stream: out, len: none}",
        ),
        (
            Value::record(vec![Value::Nat(7), Value::text("x")]),
            8,
            r#"(7, "x")"#,
        ),
        (Value::Int(-7), 9, "-7"),
        (Value::Int(7), 9, "7"),
        (Value::Bool(true), 10, "true"),
        (Value::Nat(1), 11, "stop"),
        (Value::bytes(b"h"), 13, "b\"h\""),
    ];
    let image = image();
    for (value, sort, text) in cases {
        assert!(value.is_of(SortId(sort), &image.sorts), "{text}");
        let printer = Printer::new(&image);
        assert_eq!(printer.value(&value, Some(SortId(sort))), text);
        assert_eq!(show(&value, Some(SortId(sort)), &image, 100), text);
    }
}

#[test]
fn values_without_a_sort_have_no_names() {
    let printer = Printer::of(None);
    let chunk = Value::record(vec![Value::Nat(0), Value::list(vec![])]);
    assert_eq!(printer.value(&chunk, Some(SortId(7))), "(0, [])");
    let rights = Value::list(vec![Value::Endpoint(RoleId(1)), Value::Evidence(3)]);
    assert_eq!(printer.value(&rights, None), "[<endpoint 1>, <witness 3>]");
}

#[test]
fn long_values_are_cut_and_the_rest_is_counted() {
    let image = image();
    let bytes = Value::bytes(&[b'a'; 1000]);
    let text = show(&bytes, Some(SortId(3)), &image, 16);
    assert_eq!(text, "b\"aaaaaaaaaaaaaa\"… 986 bytes more");
    let list = Value::list((0..100).map(Value::Nat).collect());
    let text = show(&list, Some(SortId(4)), &image, 10);
    assert_eq!(text, "[0, 1, 2, … 97 more]");
}

#[test]
fn sorts_have_the_notation_of_protocols() {
    let image = image();
    let sorts = (0..14).map(|sort| Printer::new(&image).sort(SortId(sort)));
    let expected = [
        "Unit",
        "Nat",
        "Text",
        "Bytes",
        "[Nat]",
        "Nat?",
        "Stream",
        "Chunk",
        "(Nat, note: Text)",
        "Int",
        "Bool",
        "ping | stop",
        "[(Nat, note: Text)]",
        "Handle",
    ];
    assert_eq!(sorts.collect::<Vec<_>>(), expected);
    assert_eq!(Printer::new(&image).sort(SortId(99)), "sort 99");
}

#[test]
fn the_text_of_a_sort_is_bounded() {
    let pair = |inner: u16| Sort::Record {
        name: String::new(),
        fields: vec![(String::new(), SortId(inner)); 2],
    };
    // Each sort contains the one before it twice; the last one contains itself.
    let mut image = CodeImage {
        sorts: [Sort::Nat].into_iter().chain((0..60).map(pair)).collect(),
        ..CodeImage::default()
    };
    image.sorts.push(Sort::List(SortId(61)));
    let text = Printer::new(&image).sort(SortId(60));
    // The levels are at most as many as the characters, and each is closed again.
    assert!(text.len() < 8 * Printer::WIDTH, "{text}");
    assert_eq!(Printer::new(&image).sort(SortId(61)), "[sort 61]");
}

#[test]
fn instructions_have_the_names_of_labels() {
    let (ping, stop) = (LabelId(0), LabelId(1));
    let cases = [
        (send(ping, 1), "send r0 ping r1"),
        (offer(1, &[(stop, 2, 7)]), "offer r0 by r1 { stop r2 -> 7 }"),
        (
            choose(4, &[(ping, 1), (stop, 2)]),
            "r4 := choose r0 { ping -> 1, stop -> 2 }",
        ),
        (set(1, Value::bytes(b"\x00")), r#"r1 := b"\x00""#),
        (branch(1, &[(0, 3)]), "branch r1 { 0 -> 3 }"),
        (HALT, "halt"),
    ];
    assert_instructions(&cases);
}

#[test]
fn calls_have_the_names_of_operations_and_programs() {
    let cases = [
        (
            invoke(0, &[1, 2], 3, None),
            "r3 := invoke host.decide ping|stop to Server (r1, r2)",
        ),
        (
            invoke(2, &[1, 2], 3, Some(9)),
            "r3 := invoke host.read (r1, r2), on failure -> 9",
        ),
        (check(9, &[], 1, 2, None), "r1, r2 := check operation 9 ()"),
        (spawn(0, &[0], 1), "r1 := spawn Worker (r0)"),
    ];
    assert_instructions(&cases);
}

#[track_caller]
fn assert_instructions(cases: &[(Instruction, &str)]) {
    let image = image();
    for (instruction, text) in cases {
        assert_eq!(Printer::new(&image).instruction(instruction), *text);
    }
}

#[test]
fn faults_have_the_names_of_the_image() {
    let (role, state, got) = (RoleId(1), StateId(2), LabelId(1));
    let cases = [
        (
            Fault::WrongLabel { role, state, got },
            "Server in state 2 does not admit `stop`",
        ),
        (
            Fault::WrongSort {
                expected: SortId(4),
                got: Form::Text,
            },
            "a value of `[Nat]` was expected, got one of form text",
        ),
        (
            Fault::EndpointOpen { role, state },
            "Server is in state 2, which is not an end",
        ),
        (
            Fault::EffectFailed {
                number: 3,
                kind: FailureKind::Denied,
            },
            "effect 3 failed: denied",
        ),
    ];
    let image = image();
    for (fault, text) in cases {
        assert_eq!(Printer::new(&image).fault(&fault), text);
    }
    let fault = Fault::EndpointOpen { role, state };
    let text = Printer::of(None).fault(&fault);
    assert_eq!(text, "role 1 is in state 2, which is not an end");
}

#[test]
fn names_from_an_image_cannot_control_the_terminal() {
    let mut image = image();
    image.roles[0] = role("\u{1b}[2J\u{202e}x");
    image.labels[0] = "\u{7}".to_owned();
    let printer = Printer::new(&image);
    assert_eq!(printer.role(RoleId(0)), "\\u{1b}[2J\u{fffd}x");
    assert_eq!(printer.label(LabelId(0)), "\\u{7}");
}

/// A value of a sort of the image above, and the sort.
fn value() -> impl Strategy<Value = (SortId, Value)> {
    let nat = any::<u64>().prop_map(Value::Nat);
    let number = nat.clone();
    let text = ".{0,12}".prop_map(|text| Value::text(&text));
    let of = |sort| move |value: Value| (SortId(sort), value);
    prop_oneof![
        number.prop_map(of(1)),
        text.clone().prop_map(of(2)),
        prop::collection::vec(any::<u8>(), 0..12)
            .prop_map(|bytes| (SortId(3), Value::bytes(&bytes))),
        prop::collection::vec(nat.clone(), 0..4).prop_map(|items| (SortId(4), Value::list(items))),
        prop::option::of(nat.clone()).prop_map(|value| (SortId(5), Value::option(value))),
        (0u64..2).prop_map(|n| (SortId(6), Value::Nat(n))),
        (nat, text).prop_map(|(n, text)| (SortId(8), Value::record(vec![n, text]))),
        any::<i64>().prop_map(|n| (SortId(9), Value::Int(n))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A condition for parsing the text: different values of a sort have different texts.
    #[test]
    fn different_values_of_a_sort_have_different_texts(
        (sort, value) in value(),
        (of, other) in value(),
    ) {
        let image = image();
        let text = |value| show(value, Some(sort), &image, usize::MAX);
        if sort == of {
            prop_assert_eq!(value == other, text(&value) == text(&other));
        }
        prop_assert!(text(&value).chars().all(|c| !c.is_control()));
    }
}
