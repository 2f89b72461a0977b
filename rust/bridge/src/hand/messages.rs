//! `Send`, `Offer`, `Receive` and `Choose`, with each of their results.

use antiphon_machine::*;

use super::Hand;
use super::build::*;
use crate::script::Script;

/// A runs this code, which sends one message of this sort to B; B receives once.
fn one(sort: SortId, code: Vec<Instruction>) -> CodeImage {
    image(vec![
        (code, vec![to(B, [go(X, sort, 1)]), END]),
        (
            vec![receive(X, 1), HALT],
            vec![from(A, [go(X, sort, 1)]), END],
        ),
    ])
}

/// A runs this code with this automaton; B does nothing.
fn with_a(code: Vec<Instruction>, states: Vec<State>) -> CodeImage {
    image(vec![(code, states), silent()])
}

/// A sends a nat; B runs this code with this automaton.
fn with_b(code: Vec<Instruction>, states: Vec<State>) -> CodeImage {
    image(vec![
        (
            vec![set(1, 7u64), send(X, 1), HALT],
            vec![to(B, [go(X, sort::NAT, 1)]), END],
        ),
        (code, states),
    ])
}

fn nat_to_b() -> Vec<State> {
    times(1, |branches| to(B, branches))
}

fn nat_from_a() -> Vec<State> {
    times(1, |branches| from(A, branches))
}

pub(super) fn add(hand: &mut Hand) {
    ran(hand);
    blocked(hand);
    stuck(hand);
    channels(hand);
    sending(hand);
    payload_sizes(hand);
    offering(hand);
    receiving(hand);
    choosing(hand);
    automata(hand);
    own_messages(hand);
    ring(hand);
    payloads(hand);
}

fn ran(hand: &mut Hand) {
    let sends = || vec![set(1, 7u64), send(X, 1), HALT];
    hand.runs("message from A to B", &one(sort::NAT, sends()));
    let image = one(sort::NAT, sends());
    hand.add("receiver waits and is woken", &image, |s| {
        s.open().picks(&[1, 0, 0, 0, 1, 1]).rest();
    });
    let offers = image_offers();
    for (name, label) in [("first", X), ("second", Y)] {
        let name = format!("offer and choose the {name} arm");
        hand.runs(&name, &offers(u64::from(label.0).into()));
    }
    hand.runs("a truth value selects", &offers(true.into()));
    hand.add("chooser waits and is woken", &offers(0u64.into()), |s| {
        s.open().picks(&[1, 0, 0, 0, 1, 1]).rest();
    });
}

/// A offers x or y according to the selector; B chooses.
fn image_offers() -> impl Fn(Value) -> CodeImage {
    |selector| {
        let both = || vec![go(X, sort::NAT, 1), go(Y, sort::NAT, 1)];
        image(vec![
            (
                vec![
                    set(1, selector),
                    set(2, 5u64),
                    offer(1, &[(X, 2, 3), (Y, 2, 3)]),
                    HALT,
                ],
                vec![to(B, both()), END],
            ),
            (
                vec![choose(1, &[(X, 1), (Y, 2)]), HALT, HALT],
                vec![from(A, both()), END],
            ),
        ])
    }
}

/// Sets the size of buffers.
fn buffer(len: u32) -> impl Fn(&mut ProtocolMachineConfig) {
    move |config| config.buffer_len_max = len
}

fn blocked(hand: &mut Hand) {
    let three = |sender: Instruction, receiver: Instruction| {
        let sends = vec![
            set(1, 0u64),
            set(2, 9u64),
            sender.clone(),
            sender.clone(),
            sender,
            HALT,
        ];
        let receives = vec![receiver.clone(), receiver.clone(), receiver, HALT];
        image(vec![
            (sends, times(3, |branches| to(B, branches))),
            (receives, times(3, |branches| from(A, branches))),
        ])
    };
    let sends = three(send(X, 2), receive(X, 3));
    for len in [0, 1, 2] {
        let name = format!("send into a buffer of {len}");
        hand.add_with(&name, &sends, buffer(len), |s| {
            s.open().picks(&[0, 0, 0, 0, 0, 0]).rest();
        });
    }
    hand.add_with("sender is woken by each receipt", &sends, buffer(1), |s| {
        s.open().picks(&[0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1]).rest();
    });
    // Three offers, one after the other; each leads to the next.
    let mut offers = three(send(X, 2), choose(3, &[(X, 1)]));
    for at in 2..5 {
        offers.programs[0].code[at] = offer(1, &[(X, 2, at as u32 + 1)]);
    }
    for at in 0..3 {
        offers.programs[1].code[at] = choose(3, &[(X, at as u32 + 1)]);
    }
    hand.add_with("offer into a full buffer", &offers, buffer(1), |s| {
        s.open().picks(&[0, 0, 0, 0, 1, 0, 1]).rest();
    });
}

fn stuck(hand: &mut Hand) {
    let stuck = image(vec![
        (
            vec![receive(X, 1), HALT],
            times(1, |branches| from(B, branches)),
        ),
        (
            vec![receive(X, 1), HALT],
            times(1, |branches| from(A, branches)),
        ),
    ]);
    hand.runs("both wait: stuck, and who could serve", &stuck);
    let choosers = image(vec![
        (
            vec![choose(1, &[(X, 1)]), HALT],
            times(1, |branches| from(B, branches)),
        ),
        silent(),
    ]);
    hand.runs("a chooser waits for who has gone", &choosers);
    let crossed = image(vec![
        (
            vec![set(1, 1u64), send(X, 1), send(X, 1), HALT],
            times(2, |branches| to(B, branches)),
        ),
        (
            vec![set(1, 1u64), send(X, 1), send(X, 1), HALT],
            times(2, |branches| to(A, branches)),
        ),
    ]);
    hand.add_with(
        "both full: stuck, and who could serve",
        &crossed,
        buffer(1),
        |s| {
            s.open().rest();
        },
    );
}

/// The checks of the channel, which all four instructions make first.
fn channels(hand: &mut Hand) {
    // A name, an instruction, and the states of a role that may run it.
    type Communication = (&'static str, Instruction, fn() -> Vec<State>);
    let nat_from_b = || times(1, |branches| from(B, branches));
    let communications: [Communication; 4] = [
        ("send", send(X, 1), nat_to_b),
        ("offer", offer(1, &[(X, 1, 3)]), nat_to_b),
        ("receive", receive(X, 1), nat_from_b),
        ("choose", choose(1, &[(X, 3)]), nat_from_b),
    ];
    for (name, instruction, states) in communications {
        let code = |chan: u8, before: Instruction| {
            vec![set(1, 0u64), before, over(chan, instruction.clone()), HALT]
        };
        let mut add = |what: &str, chan: u8, before: Instruction, states: Vec<State>| {
            hand.runs(
                &format!("{name}: {what}"),
                &with_a(code(chan, before), states),
            );
        };
        for (form, value) in values() {
            if value != Value::Endpoint(B) {
                let what = format!("the channel is no endpoint but {form}");
                add(&what, 2, set(2, value), states());
            }
        }
        add("the channel is a register too many", 4, YIELD, states());
        add(
            "the channel is the last register there could be",
            255,
            YIELD,
            states(),
        );
        add(
            "the endpoint is another's",
            2,
            set(2, Value::Endpoint(B)),
            states(),
        );
        let absent = Value::Endpoint(RoleId(2));
        add(
            "the endpoint's role does not exist",
            2,
            set(2, absent),
            states(),
        );
        let absent = Value::Endpoint(RoleId(u16::MAX));
        add(
            "the endpoint's role is the last number",
            2,
            set(2, absent),
            states(),
        );
        add("the endpoint was copied", 2, mov(2, 0), states());
        add("the role has no state at all", 0, YIELD, vec![]);
        add("the role is at its end", 0, YIELD, vec![END]);
        let other = match name {
            "send" | "offer" => nat_from_b(),
            _ => nat_to_b(),
        };
        add("the state is for the other direction", 0, YIELD, other);
    }
}

/// Puts a 7 in register 1, and sends the value of register `val`.
fn sends(label: LabelId, val: u8) -> Vec<Instruction> {
    vec![set(1, 7u64), send(label, val), HALT]
}

fn sending(hand: &mut Hand) {
    hand.runs(
        "send: no branch has the label",
        &with_a(sends(Y, 1), nat_to_b()),
    );
    let unknown = LabelId(u16::MAX);
    hand.runs(
        "send: a label that does not exist",
        &with_a(sends(unknown, 1), nat_to_b()),
    );
    hand.runs(
        "send: payload in a register too many",
        &with_a(sends(X, 4), nat_to_b()),
    );
    hand.runs(
        "send: the label is looked at before the payload",
        &with_a(sends(Y, 4), nat_to_b()),
    );
    hand.runs(
        "send: payload of another sort",
        &one(sort::TEXT, sends(X, 1)),
    );
    hand.runs(
        "send: payload of a sort that is not there",
        &one(sort::NONE, sends(X, 1)),
    );
    hand.runs(
        "send: no branches at all",
        &with_a(sends(X, 1), vec![to(B, [])]),
    );
    // Of two branches with the label, the first one counts.
    let twice = |first, second| vec![to(B, [go(X, first, 1), go(X, second, 2)]), END];
    hand.runs(
        "send: a label twice, the first fits",
        &with_a(sends(X, 1), twice(sort::NAT, sort::TEXT)),
    );
    hand.runs(
        "send: a label twice, the second fits",
        &with_a(sends(X, 1), twice(sort::TEXT, sort::NAT)),
    );
}

fn payload_sizes(hand: &mut Hand) {
    let cut = |config: &mut ProtocolMachineConfig| config.payload_len_max = 8;
    for len in [7, 8] {
        let code = vec![set(1, Value::bytes(&vec![1; len])), send(X, 1), HALT];
        let name = format!("send: a payload of {} bytes where 8 are allowed", len + 1);
        hand.add_with(&name, &one(sort::BYTES, code), cut, |s| {
            s.open().rest();
        });
    }
    let code = vec![
        set(1, 0u64),
        set(2, Value::bytes(&[1; 8])),
        offer(1, &[(X, 2, 3)]),
        HALT,
    ];
    hand.add_with(
        "offer: a payload of 9 bytes where 8 are allowed",
        &one(sort::BYTES, code),
        cut,
        |s| {
            s.open().rest();
        },
    );
    let nothing = |config: &mut ProtocolMachineConfig| config.payload_len_max = 0;
    hand.add_with(
        "send: no payload is small enough",
        &one(sort::NAT, sends(X, 1)),
        nothing,
        |s| {
            s.open().rest();
        },
    );
    let small = |config: &mut ProtocolMachineConfig| {
        config.buffer_len_max = 0;
        config.payload_len_max = 0;
    };
    hand.add_with(
        "send: size is looked at before room",
        &one(sort::NAT, sends(X, 1)),
        small,
        |s| {
            s.open().rest();
        },
    );
}

fn offering(hand: &mut Hand) {
    let offers = |selector: Value, arms: &[(LabelId, u8, u32)]| {
        with_a(
            vec![set(1, selector), set(2, 7u64), offer(1, arms), HALT],
            nat_to_b(),
        )
    };
    for (form, value) in values() {
        hand.runs(
            &format!("offer: the selector is {form}"),
            &offers(value, &[(X, 2, 3)]),
        );
    }
    hand.runs("offer: no arms", &offers(0u64.into(), &[]));
    hand.runs(
        "offer: the arm's label is no branch",
        &offers(1u64.into(), &[(X, 2, 3), (Y, 2, 3)]),
    );
    hand.runs(
        "offer: payload in a register too many",
        &offers(0u64.into(), &[(X, 4, 3)]),
    );
    hand.runs(
        "offer: payload of another sort",
        &offers(0u64.into(), &[(X, 0, 3)]),
    );
    hand.runs(
        "offer: an arm twice",
        &offers(0u64.into(), &[(X, 2, 3), (X, 0, 9)]),
    );
    hand.runs(
        "offer: the arm leads nowhere",
        &offers(0u64.into(), &[(X, 2, 99)]),
    );
    let mut image = offers(0u64.into(), &[(X, 2, 3)]);
    image.programs[0].code[2] = over(200, offer(201, &[]));
    hand.runs(
        "offer: the selector is looked at before the channel",
        &image,
    );
}

/// Receives a nat under the policy, after it was sent, and blocked until it is sent.
fn add_receiving(hand: &mut Hand, what: &str, code: Vec<Instruction>, states: Vec<State>) {
    let image = with_b(code, states);
    hand.runs(what, &image);
    hand.add(&format!("{what}, sent before"), &image, |s| {
        s.open().picks(&[0, 0, 1, 1]).rest();
    });
    hand.add(&format!("{what}, waited for"), &image, |s| {
        s.open().picks(&[1, 0, 0, 1]).rest();
    });
}

fn receiving(hand: &mut Hand) {
    let mut add = |what: &str, code, states| add_receiving(hand, what, code, states);
    let takes = |label, dst| vec![receive(label, dst), HALT];
    add("receive: nowhere to put it", takes(X, 4), nat_from_a());
    add(
        "receive: another label is expected",
        takes(Y, 1),
        vec![from(A, [go(X, sort::NAT, 1), go(Y, sort::NAT, 1)]), END],
    );
    add(
        "receive: the state has no such branch",
        takes(X, 1),
        vec![from(A, [go(Y, sort::NAT, 1)]), END],
    );
    add(
        "receive: the state asks for another sort",
        takes(X, 1),
        vec![from(A, [go(X, sort::TEXT, 1)]), END],
    );
    add(
        "receive: a sort that is not there",
        takes(X, 1),
        vec![from(A, [go(X, sort::NONE, 1)]), END],
    );
    add(
        "receive: a branch twice",
        takes(X, 1),
        vec![from(A, [go(X, sort::NAT, 1), go(X, sort::TEXT, 0)]), END],
    );
    add(
        "receive: over the endpoint itself",
        takes(X, 0),
        nat_from_a(),
    );
}

fn choosing(hand: &mut Hand) {
    let mut add = |what: &str, code, states| add_receiving(hand, what, code, states);
    let chooses = |dst, table: &[(LabelId, u32)]| vec![choose(dst, table), HALT];
    add(
        "choose: nowhere to put it",
        chooses(4, &[(X, 1)]),
        nat_from_a(),
    );
    add(
        "choose: the table has no such label",
        chooses(1, &[(Y, 1)]),
        nat_from_a(),
    );
    add("choose: an empty table", chooses(1, &[]), nat_from_a());
    add(
        "choose: a label twice",
        chooses(1, &[(X, 1), (X, 9)]),
        nat_from_a(),
    );
    add(
        "choose: the table leads nowhere",
        chooses(1, &[(X, u32::MAX)]),
        nat_from_a(),
    );
    add(
        "choose: the state has no such branch",
        chooses(1, &[(X, 1), (Y, 1)]),
        vec![from(A, [go(Y, sort::NAT, 1)]), END],
    );
    add(
        "choose: the state asks for another sort",
        chooses(1, &[(X, 1)]),
        vec![from(A, [go(X, sort::BOOL, 1)]), END],
    );
}

/// Automata that verification refuses.
fn automata(hand: &mut Hand) {
    let twice = || vec![set(1, 7u64), send(X, 1), send(X, 1), HALT];
    let lost = vec![to(B, [go(X, sort::NAT, 9)])];
    hand.runs(
        "a state that does not exist: sent from",
        &with_a(twice(), lost.clone()),
    );
    let halts = vec![set(1, 7u64), send(X, 1), HALT];
    hand.runs(
        "a state that does not exist: halted in",
        &with_a(halts, lost.clone()),
    );
    let closes = vec![set(1, 7u64), send(X, 1), CLOSE];
    hand.runs(
        "a state that does not exist: closed in",
        &with_a(closes, lost),
    );
    let far = |role| times(1, move |branches| to(RoleId(role), branches));
    let sends = || vec![set(1, 7u64), send(X, 1), HALT];
    hand.runs(
        "a message to a role that does not exist",
        &with_a(sends(), far(7)),
    );
    hand.runs(
        "a message to the last role number",
        &with_a(sends(), far(u16::MAX)),
    );
    let image = with_a(sends(), far(7));
    hand.add_with(
        "a full edge that nobody empties",
        &image,
        |c| c.buffer_len_max = 0,
        |s| {
            s.open().rest();
        },
    );
    let takes = vec![receive(X, 1), HALT];
    let from_nobody = times(1, |branches| from(RoleId(7), branches));
    hand.runs(
        "a message from a role that does not exist",
        &with_a(takes, from_nobody),
    );
}

/// A role that sends messages to itself.
fn own_messages(hand: &mut Hand) {
    let alone = vec![set(1, 7u64), send(X, 1), receive(X, 2), HALT];
    let own = vec![
        to(A, [go(X, sort::NAT, 1)]),
        from(A, [go(X, sort::NAT, 2)]),
        END,
    ];
    hand.runs("a role speaks with itself", &with_a(alone, own.clone()));
    let full = with_a(
        vec![set(1, 7u64), send(X, 1), send(X, 1), HALT],
        times(2, |branches| to(A, branches)),
    );
    hand.add_with(
        "a role waits for itself",
        &full,
        |c| c.buffer_len_max = 1,
        |s| {
            s.open().rest();
        },
    );
    let before = vec![receive(X, 2), HALT];
    let waits = vec![own[1].clone()];
    hand.runs("a role waits for its own message", &with_a(before, waits));
}

/// Edges are numbered by (sender, receiver), not by the order of roles and states.
fn ring(hand: &mut Hand) {
    let ring = image(vec![
        (
            vec![receive(X, 1), send(Y, 1), HALT],
            vec![
                from(C, [go(X, sort::NAT, 1)]),
                to(B, [go(Y, sort::NAT, 2)]),
                END,
            ],
        ),
        (
            vec![receive(Y, 1), send(Z, 1), receive(X, 1), HALT],
            vec![
                from(A, [go(Y, sort::NAT, 1)]),
                to(C, [go(Z, sort::NAT, 2)]),
                from(C, [go(X, sort::NAT, 3)]),
                END,
            ],
        ),
        (
            vec![set(1, 3u64), send(X, 1), receive(Z, 2), send(X, 1), HALT],
            vec![
                to(A, [go(X, sort::NAT, 1)]),
                from(B, [go(Z, sort::NAT, 2)]),
                to(B, [go(X, sort::NAT, 3)]),
                END,
            ],
        ),
    ]);
    hand.runs("a ring of three, four edges", &ring);
}

fn payloads(hand: &mut Hand) {
    let play = |s: &mut Script| {
        s.open().rest();
    };
    for (form, value) in values() {
        for row in 0..sort::COUNT {
            let code = vec![set(1, value.clone()), send(X, 1), HALT];
            let image = one(SortId(row), code);
            // One policy is enough: a value's sort does not depend on the schedule.
            let name = format!("payload {form} for sort {row}");
            let mut script = Script::new(name, [image], ProtocolMachineConfig::default());
            play(&mut script);
            hand.cases.push(script.case());
        }
    }
}
