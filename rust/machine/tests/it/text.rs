//! Values, sorts, instructions and faults as text, and values read back.

use antiphon_machine::text::{Cursor, Printed, Printer, show};
use antiphon_machine::{
    Arm, Class, CodeImage, FailureKind, Fault, Form, Instruction, Interface, LabelId, Operation,
    OperationId, Pc, Program, ProgramId, Reg, Role, RoleId, Sort, SortId, StateId, Value,
};
use proptest::prelude::*;

const NAT: SortId = SortId(1);

fn image() -> CodeImage {
    let named = |name: &str, sort| (name.to_owned(), SortId(sort));
    let operation = |name: &str, class| Operation {
        interface: 0,
        name: name.to_owned(),
        class,
        args: vec![],
        result: NAT,
        budget: None,
        retries: 0,
    };
    let peer = RoleId(1);
    let labels = vec![LabelId(0), LabelId(1)];
    CodeImage {
        name: "Example".to_owned(),
        roles: ["Client", "Server"].map(role).to_vec(),
        labels: ["ping", "stop"].map(str::to_owned).to_vec(),
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Text,
            Sort::Bytes,
            Sort::List(NAT),
            Sort::Option(NAT),
            Sort::Enum {
                name: "Stream".to_owned(),
                variants: vec!["out".to_owned(), "err".to_owned()],
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
        interfaces: vec![Interface {
            name: "host".to_owned(),
            version: 1,
        }],
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
        programs: vec![Program {
            name: "Worker".to_owned(),
            registers: 1,
            code: vec![],
        }],
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
        assert_eq!(read(text, sort), Ok(value), "{text}");
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
    let chan = Reg(0);
    let arm = Arm {
        label: LabelId(1),
        val: Reg(2),
        target: Pc(7),
    };
    let cases = [
        (
            Instruction::Send {
                chan,
                label: LabelId(0),
                val: Reg(1),
            },
            "send r0 ping r1",
        ),
        (
            Instruction::Offer {
                chan,
                selector: Reg(1),
                arms: vec![arm],
            },
            "offer r0 by r1 { stop r2 -> 7 }",
        ),
        (
            Instruction::Choose {
                chan,
                dst: Reg(4),
                table: vec![(LabelId(0), Pc(1)), (LabelId(1), Pc(2))],
            },
            "r4 := choose r0 { ping -> 1, stop -> 2 }",
        ),
        (
            Instruction::Set {
                dst: Reg(1),
                value: Value::bytes(b"\x00"),
            },
            r#"r1 := b"\x00""#,
        ),
        (
            Instruction::Branch {
                cond: Reg(1),
                table: vec![(0, Pc(3))],
            },
            "branch r1 { 0 -> 3 }",
        ),
        (Instruction::Halt, "halt"),
    ];
    assert_instructions(&cases);
}

#[test]
fn calls_have_the_names_of_operations_and_programs() {
    let invoke = |operation, on_failure| Instruction::Invoke {
        operation: OperationId(operation),
        args: vec![Reg(1), Reg(2)],
        dst: Reg(3),
        on_failure,
    };
    let cases = [
        (
            invoke(0, None),
            "r3 := invoke host.decide ping|stop to Server (r1, r2)",
        ),
        (
            invoke(2, Some(Pc(9))),
            "r3 := invoke host.read (r1, r2), on failure -> 9",
        ),
        (
            Instruction::Check {
                operation: OperationId(9),
                args: vec![],
                dst: Reg(1),
                witness: Reg(2),
                on_failure: None,
            },
            "r1, r2 := check operation 9 ()",
        ),
        (
            Instruction::Spawn {
                program: ProgramId(0),
                args: vec![Reg(0)],
                dst: Reg(1),
            },
            "r1 := spawn Worker (r0)",
        ),
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

/// The value that a whole text is read as.
fn read(text: &str, sort: u16) -> Result<Value, String> {
    read_of(text, SortId(sort), &image())
}

fn read_of(text: &str, sort: SortId, image: &CodeImage) -> Result<Value, String> {
    let mut cursor = Cursor::new(text);
    let literal = cursor
        .literal()
        .map_err(|error| format!("{}: expected {}", error.at, error.expected))?;
    assert!(cursor.is_done(), "`{text}` has a rest at {}", cursor.at());
    literal
        .value(sort, image)
        .map_err(|error| error.to_string())
}

#[test]
fn reports_every_error_in_a_literal() {
    for (text, sort, expected) in [
        ("-1", 1, "expected `Nat`, got the number `-1`"),
        ("\"x\"", 1, "expected `Nat`, got text"),
        ("both", 6, "`both` is none of `out`, `err`"),
        ("1", 6, "expected `Stream`, got the number `1`"),
        ("ring", 11, "`ring` is none of `ping`, `stop`"),
        (
            "{stream: out, size: 1}",
            7,
            "`Chunk` has no field `size`; it has `stream`, `len`",
        ),
        ("{len: 1}", 7, "field `stream` of `Chunk` is missing"),
        (
            "{stream: out, stream: err}",
            7,
            "field `stream` is given twice",
        ),
        (
            "(7)",
            8,
            "expected `(Nat, note: Text)`, got a list of 1 fields",
        ),
        ("[1, [2]]", 4, "expected `Nat`, got a list"),
        ("\"abc", 2, "4: expected `\"`"),
        ("[1 2]", 4, "3: expected `,` or the end of the list"),
        ("some(7", 5, "6: expected `)`"),
        ("some(7)", 1, "expected `Nat`, got `some(...)`"),
        (
            "99999999999999999999",
            1,
            "expected `Nat`, got the number `99999999999999999999`",
        ),
    ] {
        assert_eq!(read(text, sort), Err(expected.to_owned()), "{text}");
    }
    let message = read(r#""\x41""#, 2).expect_err("a byte is not text");
    assert!(message.starts_with("1: "), "{message}");
}

#[test]
fn a_literal_that_nests_too_deep_is_an_error() {
    for open in ["[", "some("] {
        let deep = open.repeat(100_000);
        assert!(Cursor::new(&deep).literal().is_err());
    }
}

#[test]
fn a_sort_that_contains_itself_has_no_values() {
    let image = CodeImage {
        sorts: vec![Sort::Option(SortId(0))],
        ..CodeImage::default()
    };
    let error = read_of("7", SortId(0), &image);
    let expected = "expected `sort 0?`, got the number `7`";
    assert_eq!(error, Err(expected.to_owned()));
}

#[test]
fn nested_optional_values_have_different_texts() {
    let (option, variants) = (SortId(1), SortId(3));
    let words = ["none", "some", "a b"].map(str::to_owned).to_vec();
    let image = CodeImage {
        sorts: vec![
            Sort::Nat,
            Sort::Option(SortId(0)),
            Sort::Option(option),
            Sort::Enum {
                name: "Word".to_owned(),
                variants: words,
            },
            Sort::Option(variants),
        ],
        ..CodeImage::default()
    };
    let some = |value| Value::option(Some(value));
    let none = Value::option(None);
    for (value, sort, text) in [
        (none.clone(), 2, "none"),
        (some(none.clone()), 2, "some(none)"),
        (some(some(Value::Nat(7))), 2, "7"),
        (none, 4, "none"),
        (some(Value::Nat(0)), 4, "some(none)"),
        (some(Value::Nat(1)), 4, "some"),
        (some(Value::Nat(2)), 4, "2"),
    ] {
        assert_eq!(show(&value, Some(SortId(sort)), &image, 100), text);
        assert_eq!(read_of(text, SortId(sort), &image), Ok(value), "{text}");
    }
    let nested = some(some(Value::Nat(7)));
    assert_eq!(read_of("some( some( 7 ) )", SortId(2), &image), Ok(nested));
}

#[test]
fn an_indented_value_has_a_line_for_each_part() {
    let image = image();
    let value = Value::record(vec![Value::Nat(1), Value::option(Some(Value::Nat(2)))]);
    let printer = Printer::new(&image).indented();
    let printed = printer.print(&value, Some(SortId(7)));
    assert_eq!(printed.text, "{\n  stream: err,\n  len: 2\n}");
    assert!(!printed.is_cut);
    let list = Value::list((0..100).map(Value::Nat).collect());
    let Printed { text, is_cut } = printer.with_width(10).print(&list, Some(SortId(4)));
    assert_eq!(text, "[\n  0,\n  1,\n  … 98 more\n]");
    assert!(is_cut);
    assert_eq!(printer.value(&Value::list(vec![]), Some(SortId(4))), "[]");
}

#[test]
fn a_branch_on_a_choice_has_the_names_of_labels() {
    let image = image();
    let branch = |cond| Instruction::Branch {
        cond: Reg(cond),
        table: vec![(0, Pc(3)), (1, Pc(4))],
    };
    let invoke = Instruction::Invoke {
        operation: OperationId(0),
        args: vec![],
        dst: Reg(1),
        on_failure: None,
    };
    let code = [invoke, branch(1), branch(1)];
    let printer = Printer::new(&image);
    let lines: Vec<String> = (0..4)
        .filter_map(|pc| printer.instruction_at(&code, pc))
        .collect();
    let expected = [
        "r1 := invoke host.decide ping|stop to Server ()",
        "branch r1 { ping -> 3, stop -> 4 }",
        "branch r1 { 0 -> 3, 1 -> 4 }",
    ];
    assert_eq!(lines, expected);
}

/// Names of variants, labels and fields: words, words with a meaning, and names that are not words.
const NAMES: [&str; 12] = [
    "none",
    "some",
    "true",
    "b",
    "ü'",
    "x.y",
    "_1",
    "a b",
    "",
    "7",
    "\u{202e}z",
    "some(",
];

/// Levels of a sort's nesting: as many as an image may have.
const DEPTH_MAX: u32 = antiphon_machine::bounds::SORT_DEPTH_MAX;

/// Numbers that decide how sorts and values are made. Zeros follow the last one.
struct Coins(std::vec::IntoIter<u64>);

impl Coins {
    fn next(&mut self) -> u64 {
        self.0.next().unwrap_or(0)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Distinct names, at least one.
    fn names(&mut self) -> Vec<String> {
        let (first, len) = (self.below(NAMES.len()), 1 + self.below(4));
        let names = NAMES.iter().cycle().skip(first).take(len);
        names.map(|name| (*name).to_owned()).collect()
    }

    fn text(&mut self) -> String {
        let len = self.below(6);
        let chars = (0..len).map(|_| char::from_u32(self.below(0x3000) as u32));
        chars.flatten().collect()
    }

    /// A table in which each sort may contain the ones before it.
    fn sorts(&mut self, len: usize) -> Vec<Sort> {
        let (mut sorts, mut depths) = (vec![Sort::Nat], vec![1]);
        while sorts.len() < len {
            // Recent sorts are preferred, so that sorts nest deep.
            let back = 1 + self.below(sorts.len().min(3));
            let inner = sorts.len() - back;
            let depth = depths[inner] + 1;
            let item = SortId(inner as u16);
            let (sort, depth) = match self.below(if depth > DEPTH_MAX { 8 } else { 14 }) {
                0 => (Sort::Unit, 1),
                1 => (Sort::Bool, 1),
                2 => (Sort::Int, 1),
                3 => (Sort::Text, 1),
                4 => (Sort::Bytes, 1),
                5 => (
                    Sort::Foreign {
                        name: "F".to_owned(),
                    },
                    1,
                ),
                6 => (
                    Sort::Enum {
                        name: "E".to_owned(),
                        variants: self.names(),
                    },
                    1,
                ),
                7 => {
                    let first = self.below(NAMES.len() - 1) as u16;
                    (Sort::Arm(vec![LabelId(first), LabelId(first + 1)]), 1)
                }
                8 | 9 => (Sort::List(item), depth),
                10 | 11 => (Sort::Option(item), depth),
                _ => {
                    // Only the first field nests, so that the value stays small.
                    let sorts = std::iter::once(item).chain(std::iter::repeat(SortId(0)));
                    let fields = self.names().into_iter().zip(sorts).collect();
                    let name = ["", "R"][self.below(2)].to_owned();
                    (Sort::Record { name, fields }, depth)
                }
            };
            sorts.push(sort);
            depths.push(depth);
        }
        sorts
    }

    fn value(&mut self, sort: SortId, sorts: &[Sort]) -> Value {
        match &sorts[sort.index()] {
            Sort::Unit => Value::Unit,
            Sort::Bool => Value::Bool(self.below(2) == 1),
            Sort::Nat => Value::Nat(self.next()),
            Sort::Int => Value::Int(self.next() as i64),
            Sort::Text => Value::text(&self.text()),
            Sort::Bytes | Sort::Foreign { .. } => {
                let len = self.below(6);
                let bytes: Vec<u8> = (0..len).map(|_| self.next() as u8).collect();
                Value::bytes(&bytes)
            }
            Sort::List(item) => {
                let len = self.below(3);
                Value::list((0..len).map(|_| self.value(*item, sorts)).collect())
            }
            Sort::Option(item) => {
                let is_some = self.below(3) > 0;
                Value::option(is_some.then(|| self.value(*item, sorts)))
            }
            Sort::Record { fields, .. } => {
                let fields = fields.iter().map(|(_, sort)| self.value(*sort, sorts));
                Value::record(fields.collect())
            }
            Sort::Enum { variants, .. } => Value::Nat(self.below(variants.len()) as u64),
            Sort::Arm(labels) => Value::Nat(labels[self.below(labels.len())].0.into()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_printed_value_is_read_back_as_itself(
        coins in prop::collection::vec(any::<u64>(), 0..400),
        len in 1usize..24,
    ) {
        let mut coins = Coins(coins.into_iter());
        let image = CodeImage {
            sorts: coins.sorts(len),
            labels: NAMES.map(str::to_owned).to_vec(),
            ..CodeImage::default()
        };
        let sort = SortId(len as u16 - 1);
        let value = coins.value(sort, &image.sorts);
        prop_assert!(value.is_of(sort, &image.sorts));
        let printer = Printer::new(&image).with_width(usize::MAX);
        let text = printer.value(&value, Some(sort));
        prop_assert!(text.chars().all(|c| !c.is_control()));
        prop_assert_eq!(read_of(&text, sort, &image), Ok(value.clone()), "{}", text);
        let text = printer.indented().value(&value, Some(sort));
        prop_assert_eq!(read_of(&text, sort, &image), Ok(value), "{}", text);
    }
}
