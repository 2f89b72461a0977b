//! Properties of generated syntax trees: parsing a printed tree gives the tree again, and printing
//! that gives the text again.

use antiphon_language::ast::{
    Action, Argument, Ast, At, Block, Duration, Effect, Enum, Field, Foreign, ForeignKind, Import,
    Item, Message, Module, Name, Operation, OperationClass, Param, Path, Protocol, Record,
    SortKind, SortTerm, Statement, StatementKind, Trivia, Unit, Use,
};
use antiphon_language::{RESERVED_WORDS, format, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Any word that may be a name, including ones with digits and primes and keywords that are not
/// reserved.
fn name() -> impl Strategy<Value = Name> {
    let word = prop_oneof![
        8 => "[A-Za-z_0-9][A-Za-z_0-9']{0,8}",
        1 => prop::sample::select(vec!["check", "op", "let", "uses", "within", "record", "0"])
            .prop_map(String::from),
    ];
    let is_reserved = |word: &String| RESERVED_WORDS.contains(&word.as_str());
    word.prop_filter("reserved", move |word| !is_reserved(word))
        .prop_map(named)
}

fn named(text: String) -> Name {
    Name {
        text,
        at: At::default(),
    }
}

/// A name in a position where a literal is allowed too: not a number and not a boolean.
fn argument_name() -> impl Strategy<Value = Name> {
    name().prop_filter("literal", |name| {
        let digits = name.text.bytes().all(|b| b.is_ascii_digit());
        !digits && name.text != "true" && name.text != "false"
    })
}

fn path() -> impl Strategy<Value = Path> {
    vec(name(), 1..4).prop_map(|segments| Path { segments })
}

fn sort() -> impl Strategy<Value = SortTerm> {
    let term = |kind| SortTerm {
        kind,
        at: At::default(),
    };
    let leaf = path().prop_map(move |path| term(SortKind::Named(path)));
    leaf.prop_recursive(4, 8, 1, move |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(move |sort| term(SortKind::List(Box::new(sort)))),
            inner.prop_map(move |sort| term(SortKind::Option(Box::new(sort)))),
        ]
    })
}

fn param() -> impl Strategy<Value = Param> {
    (option::of(name()), sort()).prop_map(|(name, sort)| Param { name, sort })
}

fn duration() -> impl Strategy<Value = Duration> {
    let units = vec![Unit::Millisecond, Unit::Second, Unit::Minute, Unit::Hour];
    (1u64..8760, prop::sample::select(units)).prop_map(|(amount, unit)| Duration {
        amount,
        unit,
        at: At::default(),
    })
}

fn text() -> impl Strategy<Value = String> {
    "[^\"\n\r]{0,12}"
}

fn argument() -> impl Strategy<Value = Argument> {
    let at = At::default();
    prop_oneof![
        argument_name().prop_map(Argument::Name),
        any::<bool>().prop_map(move |value| Argument::Bool(value, at)),
        any::<u64>().prop_map(move |value| Argument::Number(value.into(), at)),
        any::<i64>().prop_map(move |value| Argument::Number(value.into(), at)),
        text().prop_map(move |value| Argument::Text(value, at)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let call = (path(), name(), vec(argument(), 0..4));
    let rest = (option::of(duration()), option::of(name()));
    (option::of(name()), any::<bool>(), call, rest).prop_map(
        |(bind, check, (interface, operation, args), (within, otherwise))| {
            let at = At::default();
            Action {
                bind,
                check,
                interface,
                operation,
                args,
                within,
                otherwise,
                at,
            }
        },
    )
}

/// A label that does not turn the message into another statement.
fn label() -> impl Strategy<Value = Name> {
    let other = ["accept", "request"];
    name().prop_filter("another statement", move |name| {
        !other.contains(&name.text.as_str())
    })
}

fn block(statements: Vec<StatementKind>) -> Block {
    let statements = statements.into_iter();
    let statements = statements
        .map(|kind| Statement {
            kind,
            at: At::default(),
        })
        .collect();
    Block {
        statements,
        at: At::default(),
    }
}

fn statement() -> impl Strategy<Value = StatementKind> {
    let message = (
        label(),
        option::of(vec(param(), 0..4)),
        name(),
        vec(name(), 1..4),
    );
    let leaf = prop_oneof![
        message.prop_map(|(label, payloads, from, to)| {
            StatementKind::Message(Message {
                label,
                payloads,
                from,
                to,
            })
        }),
        name().prop_map(|name| StatementKind::Continue { name }),
        (path(), vec(name(), 0..4))
            .prop_map(|(protocol, roles)| StatementKind::Do { protocol, roles }),
        (name(), vec(action(), 0..3)).prop_map(|(role, actions)| StatementKind::Local {
            role,
            actions,
            block: At::default()
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let body = vec(inner, 0..4).prop_map(block);
        prop_oneof![
            (name(), vec(body.clone(), 1..4))
                .prop_map(|(role, branches)| StatementKind::Choice { role, branches }),
            (name(), body).prop_map(|(name, body)| StatementKind::Rec { name, body }),
        ]
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let classes = vec![
        OperationClass::Command,
        OperationClass::Observe,
        OperationClass::Check,
    ];
    let head = (
        prop::sample::select(classes),
        name(),
        vec(param(), 0..4),
        option::of(sort()),
    );
    (head, option::of(duration()), option::of(any::<u8>())).prop_map(
        |((class, name, params, result), within, retry)| Operation {
            class,
            name,
            params,
            result,
            within,
            retry,
            at: At::default(),
        },
    )
}

fn protocol() -> impl Strategy<Value = Protocol> {
    let uses = vec((path(), name()), 0..3);
    (
        any::<bool>(),
        name(),
        vec(name(), 1..6),
        uses,
        vec(statement(), 0..5),
    )
        .prop_map(|(aux, name, roles, uses, body)| Protocol {
            aux,
            name,
            roles,
            uses: uses
                .into_iter()
                .map(|(interface, role)| Use { interface, role })
                .collect(),
            body: block(body),
            damaged: false,
            at: At::default(),
        })
}

fn item() -> impl Strategy<Value = Item> {
    let at = At::default();
    let kinds = vec![ForeignKind::Type, ForeignKind::Signature];
    let foreign = (prop::sample::select(kinds), name(), text(), text(), name());
    // A field may have any name, even a reserved word.
    let reserved = vec!["data", "from", "to", "type", "role", "at"];
    let reserved = prop::sample::select(reserved).prop_map(|word| named(word.into()));
    let field =
        (prop_oneof![name(), reserved], sort()).prop_map(|(name, sort)| Field { name, sort });
    prop_oneof![
        (path(), option::of(name())).prop_map(move |(module, alias)| Item::Import(Import {
            module,
            alias,
            at
        })),
        foreign.prop_map(move |(kind, language, external, from, name)| {
            Item::Foreign(Foreign {
                kind,
                language,
                external,
                from,
                name,
                at,
            })
        }),
        (name(), vec(field, 0..6)).prop_map(move |(name, fields)| Item::Record(Record {
            name,
            fields,
            at
        })),
        (name(), vec(name(), 1..6)).prop_map(move |(name, variants)| Item::Enum(Enum {
            name,
            variants,
            at
        })),
        (name(), any::<u32>(), vec(operation(), 0..4)).prop_map(
            move |(name, version, operations)| {
                Item::Effect(Effect {
                    name,
                    version,
                    operations,
                    at,
                })
            }
        ),
        protocol().prop_map(Item::Protocol),
    ]
}

fn tree() -> impl Strategy<Value = Ast> {
    (option::of(path()), vec(item(), 0..5)).prop_map(|(module, rest)| {
        let module = module.map(|name| {
            Item::Module(Module {
                name,
                at: At::default(),
            })
        });
        let items = module.into_iter().chain(rest).collect();
        Ast {
            items,
            damaged: false,
            trivia: Trivia::default(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsing_a_printed_tree_gives_the_same_tree(tree in tree()) {
        let printed = format(&tree).expect("a generated tree is whole");
        let parsed = parse(Default::default(), &printed);
        prop_assert_eq!(&parsed.diagnostics, &vec![], "{}", printed);
        prop_assert_eq!(&parsed.ast, &tree, "{}", printed);
        prop_assert!(!printed.contains("\n\n\n") && !printed.ends_with("\n\n"), "{}", printed);
        prop_assert_eq!(format(&parsed.ast), Some(printed));
    }
}
