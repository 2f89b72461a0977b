//! `Invoke` and `Check`, and every way an effect can end.

use antiphon_machine::bounds::DETAIL_LEN_MAX;
use antiphon_machine::*;

use super::Hand;
use super::build::*;

/// An image that runs this instruction once, with a 7 in register 1. A failure branch, if there is
/// one, goes to the last instruction.
fn asks(instruction: Instruction) -> CodeImage {
    image(vec![alone(vec![
        set(1, 7u64),
        instruction,
        HALT,
        YIELD,
        HALT,
    ])])
}

/// An image that issues `do` without a failure branch.
fn plain() -> CodeImage {
    asks(invoke(op::DO, &[1], 2, None))
}

pub(super) fn add(hand: &mut Hand) {
    invoking(hand);
    checking(hand);
    arguments(hand);
    succeeding(hand);
    odd_results(hand);
    failing(hand);
    retrying(hand);
    retry_bounds(hand);
    timing_out(hand);
    budgets(hand);
    witnesses(hand);
    deadlines_of_sessions(hand);
    witnesses_of_sessions(hand);
}

/// Runs an instruction that issues an effect, and answers with success.
fn add_asking(hand: &mut Hand, what: &str, instruction: Instruction) {
    hand.add(what, &asks(instruction), |s| {
        s.open().rest().answer(0, Outcome::success(5u64)).rest();
    });
}

fn invoking(hand: &mut Hand) {
    let mut add = |what: &str, instruction| add_asking(hand, what, instruction);
    add("invoke", invoke(op::DO, &[1], 2, None));
    add(
        "invoke: the result goes over the argument",
        invoke(op::DO, &[1], 1, None),
    );
    add(
        "invoke: the operation does not exist",
        invoke(999, &[1], 2, None),
    );
    add(
        "invoke: the last operation number",
        invoke(u16::MAX, &[1], 2, None),
    );
    add(
        "invoke: an operation that is a check",
        invoke(op::PROVE, &[1], 2, None),
    );
    add("invoke: too few arguments", invoke(op::DO, &[], 2, None));
    add(
        "invoke: too many arguments",
        invoke(op::DO, &[1, 1], 2, None),
    );
    add(
        "invoke: the operation before its fit",
        invoke(999, &[], 9, None),
    );
    add(
        "invoke: its fit before the registers",
        invoke(op::DO, &[], 9, None),
    );
    add(
        "invoke: nowhere to put the result",
        invoke(op::DO, &[9], 4, None),
    );
    add(
        "invoke: an argument in a register too many",
        invoke(op::DO, &[4], 2, None),
    );
    add(
        "invoke: an argument of another sort",
        invoke(op::DO, &[0], 2, None),
    );
}

fn checking(hand: &mut Hand) {
    let mut add = |what: &str, instruction| add_asking(hand, what, instruction);
    add("check", check(op::PROVE, &[1], 2, 3, None));
    add(
        "check: the operation does not exist",
        check(999, &[1], 2, 3, None),
    );
    add(
        "check: an operation that is none",
        check(op::DO, &[1], 2, 3, None),
    );
    add(
        "check: too many arguments",
        check(op::PROVE, &[1, 1], 2, 3, None),
    );
    add(
        "check: nowhere to put the result",
        check(op::PROVE, &[1], 4, 5, None),
    );
    add(
        "check: nowhere to put the evidence",
        check(op::PROVE, &[9], 2, 4, None),
    );
    add(
        "check: the evidence goes over the result",
        check(op::PROVE, &[1], 2, 2, None),
    );
    add(
        "check: an argument of another sort",
        check(op::PROVE, &[0], 2, 3, None),
    );
}

fn arguments(hand: &mut Hand) {
    let mut image = plain();
    image.operations[usize::from(op::DO)].args = vec![sort::BYTES, sort::NAT];
    image.programs[0].code[1] = invoke(op::DO, &[2, 1], 3, None);
    image.programs[0]
        .code
        .insert(1, set(2, Value::bytes(&[0; 20])));
    for max in [20, 21] {
        let name = format!("invoke: an argument of 21 bytes where {max} are allowed");
        hand.add_with(
            &name,
            &image,
            |c| c.payload_len_max = max,
            |s| {
                s.open().rest().answer(0, Outcome::success(5u64)).rest();
            },
        );
    }
    let large = asks(check(op::PROVE, &[1], 2, 3, None));
    hand.add_with(
        "check: an argument that is too large",
        &large,
        |c| c.payload_len_max = 0,
        |s| {
            s.open().rest();
        },
    );
    let child = with_program(
        self::image(vec![alone(vec![set(1, 7u64), spawn(1, &[1], 2), HALT])]),
        2,
        vec![invoke(op::DO, &[0], 1, None), HALT],
    );
    hand.add("invoke: by a child, which has no role", &child, |s| {
        s.open().rest().answer(0, Outcome::success(5u64)).rest();
    });
}

fn succeeding(hand: &mut Hand) {
    for row in 0..sort::COUNT {
        let image = asks(invoke(op::GIVE + row, &[], 2, Some(3)));
        // Values of all forms, each in its own session.
        let name = format!("a result of every form for sort {row}");
        hand.add(&name, &image, |s| {
            for (session, (_, value)) in (0u32..).zip(values()) {
                s.open().rest();
                s.answer_in(session, 0, Outcome::Success(value)).rest();
            }
        });
    }
    let twice: Vec<_> = vec![
        ("colour 2", sort::COLOUR, Value::Nat(2)),
        ("colour 3", sort::COLOUR, Value::Nat(3)),
        ("arm 0", sort::ARM, Value::Nat(0)),
        ("arm 1", sort::ARM, Value::Nat(1)),
        ("arm 2", sort::ARM, Value::Nat(2)),
        ("arm 65536", sort::ARM, Value::Nat(1 << 16)),
        ("no text", sort::MAYBE, Value::option(None)),
        ("a text", sort::MAYBE, Value::option(Some(Value::text("t")))),
        (
            "two texts",
            sort::MAYBE,
            Value::list(vec![Value::text("t"); 2]),
        ),
        (
            "a list with a stranger",
            sort::NATS,
            Value::list(vec![Value::Nat(1), Value::Unit]),
        ),
        (
            "a pair and one",
            sort::PAIR,
            Value::record(vec![Value::Nat(1), true.into(), true.into()]),
        ),
        (
            "half a pair",
            sort::PAIR,
            Value::record(vec![Value::Nat(1)]),
        ),
    ];
    for (name, sort, value) in twice {
        let image = asks(invoke(op::GIVE + sort.0, &[], 2, None));
        hand.add(&format!("result: {name}"), &image, |s| {
            s.open()
                .rest()
                .answer(0, Outcome::Success(value.clone()))
                .rest();
        });
    }
}

fn odd_results(hand: &mut Hand) {
    let mut nowhere = asks(invoke(op::LOOK, &[], 2, None));
    nowhere.operations[usize::from(op::LOOK)].result = sort::NONE;
    hand.add("result: of a sort that is not there", &nowhere, |s| {
        s.open().rest().answer(0, Outcome::done()).rest();
    });
    let bytes = asks(invoke(op::GIVE + sort::BYTES.0, &[], 2, Some(3)));
    for len in [7, 8] {
        let name = format!("result: {} bytes where 8 are allowed", len + 1);
        hand.add_with(
            &name,
            &bytes,
            |c| c.payload_len_max = 8,
            |s| {
                let value = Value::bytes(&vec![0; len]);
                s.open().rest().answer(0, Outcome::Success(value)).rest();
            },
        );
    }
    hand.add_with(
        "result: text too large, sort first",
        &bytes,
        |c| c.payload_len_max = 8,
        |s| {
            s.open()
                .rest()
                .answer(0, Outcome::success("abcdefghijkl"))
                .rest();
        },
    );
}

fn failing(hand: &mut Hand) {
    for kind in FailureKind::ALL {
        for on_failure in [None, Some(3), Some(99)] {
            let branch = match on_failure {
                None => "faults",
                Some(3) => "has a branch",
                Some(_) => "has a branch to nowhere",
            };
            for (what, instruction) in [
                ("invoke", invoke(op::DO, &[1], 2, on_failure)),
                ("check", check(op::PROVE, &[1], 2, 3, on_failure)),
            ] {
                let name = format!("{what} fails with {kind} and {branch}");
                hand.add(&name, &asks(instruction), |s| {
                    s.open().rest().fail(0, kind).rest();
                });
            }
        }
    }
    let details = [
        ("empty", String::new()),
        ("not ascii", "größe \u{1f600} \0".to_owned()),
        ("as long as may be", "d".repeat(DETAIL_LEN_MAX)),
        ("longer than may be", "d".repeat(DETAIL_LEN_MAX + 1)),
    ];
    for (name, detail) in details {
        hand.add(&format!("a detail that is {name}"), &plain(), |s| {
            let detail = std::sync::Arc::from(detail.as_str());
            let kind = FailureKind::Internal;
            s.open()
                .rest()
                .answer(0, Outcome::Failure(Failure { kind, detail }))
                .rest();
        });
    }
    hand.add("an outcome twice", &plain(), |s| {
        s.open().rest();
        s.answer(0, Outcome::success(1u64))
            .answer(0, Outcome::success(2u64))
            .rest();
    });
    hand.add("an outcome of an effect not issued yet", &plain(), |s| {
        s.open().answer(0, Outcome::success(1u64)).rest();
        s.answer(1, Outcome::success(1u64))
            .answer(u64::MAX, Outcome::done());
        s.answer(0, Outcome::success(1u64)).rest();
    });
    hand.add("an outcome for no session", &plain(), |s| {
        s.answer(0, Outcome::done()).open().rest();
        s.answer_in(1, 0, Outcome::done())
            .answer_in(u32::MAX, 0, Outcome::done());
    });
    hand.add("an outcome after the end", &plain(), |s| {
        s.open()
            .rest()
            .cancel(0, "me")
            .answer(0, Outcome::success(1u64))
            .rest();
    });
    hand.add("an outcome at once", &plain(), |s| {
        s.open().turns(2).answer(0, Outcome::success(1u64)).rest();
    });
}

fn again(on_failure: Option<u32>) -> CodeImage {
    asks(invoke(op::AGAIN, &[1], 2, on_failure))
}

fn retrying(hand: &mut Hand) {
    let unavailable = FailureKind::Unavailable;
    for on_failure in [None, Some(3)] {
        let branch = if on_failure.is_some() {
            "a branch"
        } else {
            "no branch"
        };
        hand.add(
            &format!("asked again till it gives up, {branch}"),
            &again(on_failure),
            |s| {
                s.open()
                    .rest()
                    .fail(0, unavailable)
                    .fail(1, unavailable)
                    .fail(2, unavailable)
                    .rest();
                s.fail(0, unavailable).fail(3, unavailable);
            },
        );
        hand.add(
            &format!("asked again, then another failure, {branch}"),
            &again(on_failure),
            |s| {
                s.open()
                    .rest()
                    .fail(0, unavailable)
                    .fail(1, FailureKind::Busy)
                    .rest();
            },
        );
    }
    hand.add("asked again, then it succeeds", &again(None), |s| {
        s.open()
            .rest()
            .fail(0, unavailable)
            .rest()
            .answer(1, Outcome::success(3u64))
            .rest();
    });
    hand.add("a wrong result is not asked again", &again(Some(3)), |s| {
        s.open()
            .rest()
            .fail(0, unavailable)
            .answer(1, Outcome::success(true))
            .rest();
    });
}

fn retry_bounds(hand: &mut Hand) {
    let unavailable = FailureKind::Unavailable;
    hand.add_with(
        "asked again within one budget",
        &again(Some(3)),
        |c| c.effect_budget = Some(9),
        |s| {
            s.open()
                .rest()
                .tick(4)
                .fail(0, unavailable)
                .tick(4)
                .fail(1, unavailable)
                .tick(1)
                .rest();
            s.fail(2, unavailable);
        },
    );
    let mut most = again(Some(3));
    most.operations[usize::from(op::AGAIN)].retries = 255;
    hand.add("asked again as often as there can be", &most, |s| {
        s.open().rest();
        for number in 0..257 {
            s.fail(number, unavailable);
        }
        s.rest();
    });
    let proof = asks(check(op::PROVE_SOON, &[1], 2, 3, Some(3)));
    hand.add("a check asked again", &proof, |s| {
        s.open()
            .rest()
            .fail(0, unavailable)
            .answer(1, Outcome::success(3u64))
            .rest();
    });
}

fn soon(on_failure: Option<u32>) -> CodeImage {
    asks(invoke(op::SOON, &[1], 2, on_failure))
}

fn timing_out(hand: &mut Hand) {
    for ticks in [9, 10, 11] {
        for on_failure in [None, Some(3)] {
            let branch = if on_failure.is_some() {
                "a branch"
            } else {
                "no branch"
            };
            let name = format!("{ticks} ticks of a budget of 10, {branch}");
            hand.add(&name, &soon(on_failure), |s| {
                s.open()
                    .rest()
                    .tick(ticks)
                    .answer(0, Outcome::success(1u64))
                    .rest();
            });
        }
    }
    hand.add(
        "a timeout is not asked again",
        &asks(check(op::PROVE_SOON, &[1], 2, 3, Some(3))),
        |s| {
            s.open().rest().tick(5).rest();
        },
    );
    hand.add_with(
        "the operation's budget before the machine's",
        &soon(Some(3)),
        |c| {
            c.effect_budget = Some(2);
        },
        |s| {
            s.open().rest().tick(2).tick(8).rest();
        },
    );
}

fn budgets(hand: &mut Hand) {
    for budget in [0, 1, u64::MAX] {
        let name = format!("a budget of {budget} from the configuration");
        hand.add_with(
            &name,
            &plain(),
            |c| c.effect_budget = Some(budget),
            |s| {
                s.tick(3)
                    .open()
                    .rest()
                    .tick(0)
                    .tick(1)
                    .rest()
                    .tick(u64::MAX - 4)
                    .rest();
            },
        );
    }
    hand.add("a deadline at the end of time", &soon(Some(3)), |s| {
        s.tick(u64::MAX - 5)
            .open()
            .rest()
            .tick(5)
            .rest()
            .tick(0)
            .tick(1);
    });
    hand.add(
        "a timeout's witness expires at the end of time",
        &soon(Some(3)),
        |s| {
            s.tick(u64::MAX - 30)
                .open()
                .rest()
                .tick(20)
                .rest()
                .tick(10)
                .rest();
        },
    );
}

fn witnesses(hand: &mut Hand) {
    // Issues checks forever.
    let prover = image(vec![alone(vec![
        set(1, 7u64),
        check(op::PROVE, &[1], 2, 3, Some(1)),
        jump(1),
    ])]);
    let prove = |s: &mut crate::script::Script, count: u64| {
        s.open();
        for number in 0..count {
            s.turns(4).answer(number, Outcome::success(number));
        }
    };
    for max in [0, 1, 2, 3] {
        let name = format!("five witnesses where {max} may live");
        hand.add_with(
            &name,
            &prover,
            |c| c.witnesses_max = max,
            |s| {
                prove(s, 5);
                s.cancel(0, "me");
            },
        );
    }
    for ttl in [0, 1, 3, u64::MAX] {
        let name = format!("witnesses that live {ttl} ticks");
        hand.add_with(
            &name,
            &prover,
            |c| c.witness_ttl = ttl,
            |s| {
                s.tick(2).open();
                for number in 0..4 {
                    s.turns(4).answer(number, Outcome::success(number)).tick(1);
                }
                s.tick(0).tick(9).tick(u64::MAX - 15).rest();
            },
        );
    }
    let timed = image(vec![alone(vec![
        set(1, 7u64),
        check(op::PROVE_SOON, &[1], 2, 3, Some(1)),
        jump(1),
    ])]);
    hand.add_with(
        "a timeout's witness takes the oldest's place",
        &timed,
        |c| c.witnesses_max = 1,
        |s| {
            s.open()
                .turns(4)
                .answer(0, Outcome::success(1u64))
                .turns(4)
                .tick(5)
                .turns(4)
                .tick(5);
            s.turns(4).answer(3, Outcome::success(1u64)).cancel(0, "me");
        },
    );
    hand.add(
        "live witnesses at the end",
        &asks(check(op::PROVE, &[1], 2, 3, None)),
        |s| {
            s.open().rest().answer(0, Outcome::success(1u64)).rest();
        },
    );
}

/// The timeouts that one advance of the clock causes in many sessions, and their order.
fn deadlines_of_sessions(hand: &mut Hand) {
    // Three roles with different budgets, so that deadlines are in another order than sessions and
    // numbers.
    let part = |operation| {
        alone(vec![
            set(1, 7u64),
            YIELD,
            invoke(operation, &[1], 2, Some(3)),
            YIELD,
            HALT,
        ])
    };
    let mut image = image(vec![part(op::SOON), part(op::DO), part(op::AGAIN)]);
    image.operations[usize::from(op::DO)].budget = Some(4);
    image.operations[usize::from(op::AGAIN)].budget = Some(10);
    hand.add("deadlines in order of time, session, number", &image, |s| {
        s.open()
            .rest()
            .tick(3)
            .open()
            .rest()
            .tick(1)
            .tick(20)
            .rest();
    });
    hand.add("many deadlines at one time", &image, |s| {
        s.open().open().open().rest().tick(10).rest();
    });
    let mut fatal = image.clone();
    fatal.programs[1].code[2] = invoke(op::DO, &[1], 2, None);
    hand.add("an expiry ends what would have expired too", &fatal, |s| {
        s.open().open().rest().tick(10).rest();
    });
    hand.add(
        "a cancelled session's deadlines are forgotten",
        &image,
        |s| {
            s.open().open().rest().cancel(0, "me").tick(10).rest();
        },
    );
}

/// The witnesses that one advance of the clock expires in many sessions, and their order.
fn witnesses_of_sessions(hand: &mut Hand) {
    let proves = image(vec![
        alone(vec![
            set(1, 7u64),
            check(op::PROVE, &[1], 2, 3, None),
            YIELD,
            jump(2),
        ]),
        alone(vec![
            set(1, 7u64),
            check(op::PROVE_SOON, &[1], 2, 3, Some(2)),
            YIELD,
            jump(2),
        ]),
    ]);
    hand.add_with(
        "witnesses expire in order of time, session, number",
        &proves,
        |c| c.witness_ttl = 6,
        |s| {
            s.open().open().turns(12);
            s.answer_in(1, 0, Outcome::success(1u64)).tick(1).answer_in(
                0,
                0,
                Outcome::success(1u64),
            );
            s.answer_in(0, 1, Outcome::success(1u64))
                .tick(4)
                .tick(2)
                .tick(7)
                .turns(3);
        },
    );
    let prover = image(vec![alone(vec![
        set(1, 7u64),
        check(op::PROVE_SOON, &[1], 2, 3, Some(1)),
        jump(1),
    ])]);
    let short = |config: &mut ProtocolMachineConfig| config.witness_ttl = 4;
    hand.add_with(
        "of one expiry the earlier session's witness first",
        &prover,
        short,
        |s| {
            s.open().open().turns(8);
            s.answer_in(0, 0, Outcome::success(1u64)).turns(4).tick(1);
            s.answer_in(0, 1, Outcome::success(1u64))
                .answer_in(1, 0, Outcome::success(1u64));
            s.tick(4).tick(1);
        },
    );
    hand.add_with(
        "effects time out before witnesses expire",
        &prover,
        short,
        |s| {
            s.open()
                .open()
                .turns(8)
                .answer_in(1, 0, Outcome::success(1u64))
                .tick(9)
                .turns(4);
        },
    );
}
