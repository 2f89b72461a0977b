//! The instructions that do not communicate, and the ways in which coroutines and sessions end.

use antiphon_machine::*;

use super::Hand;
use super::build::*;

fn lone(code: Vec<Instruction>) -> CodeImage {
    image(vec![alone(code)])
}

pub(super) fn add(hand: &mut Hand) {
    registers(hand);
    control(hand);
    yielding(hand);
    tokens(hand);
    spawning(hand);
    spawn_bounds(hand);
    children(hand);
    closing(hand);
    halting(hand);
    ending_with_effects(hand);
    programs(hand);
}

fn registers(hand: &mut Hand) {
    for (form, value) in values() {
        let image = lone(vec![set(1, value), mov(2, 1), mov(0, 2), HALT]);
        hand.runs(&format!("set and move {form}"), &image);
    }
    hand.runs("set: a register too many", &lone(vec![set(4, 1u64), HALT]));
    hand.runs(
        "move: from a register too many",
        &lone(vec![mov(1, 4), HALT]),
    );
    hand.runs("move: to a register too many", &lone(vec![mov(4, 1), HALT]));
    hand.runs(
        "move: source before destination",
        &lone(vec![mov(5, 6), HALT]),
    );
    hand.runs("move: onto itself", &lone(vec![mov(0, 0), HALT]));
    for count in [0, 1, 255] {
        let mut image = lone(vec![set(254, 1u64), set(0, 1u64), HALT]);
        image.programs[0].registers = count;
        hand.runs(&format!("a program of {count} registers"), &image);
    }
}

fn control(hand: &mut Hand) {
    hand.runs("jump", &lone(vec![jump(2), HALT, jump(1)]));
    hand.runs("jump: out of the program", &lone(vec![jump(7)]));
    hand.runs("jump: as far as there is", &lone(vec![jump(u32::MAX)]));
    for (form, value) in values() {
        let table = [(0, 3), (1, 4), (u64::MAX, 3)];
        let image = lone(vec![set(1, value), branch(1, &table), YIELD, HALT, HALT]);
        hand.runs(&format!("branch: the condition is {form}"), &image);
    }
    hand.runs(
        "branch: a register too many",
        &lone(vec![branch(9, &[(0, 0)])]),
    );
    hand.runs(
        "branch: an empty table",
        &lone(vec![set(1, 0u64), branch(1, &[])]),
    );
    let twice = [(3, 2), (3, 9)];
    hand.runs(
        "branch: a number twice",
        &lone(vec![set(1, 3u64), branch(1, &twice), HALT]),
    );
}

fn yielding(hand: &mut Hand) {
    hand.runs("yield", &lone(vec![YIELD, YIELD, HALT]));
    hand.runs("yield: off the end", &lone(vec![YIELD]));
    hand.runs("an empty program", &lone(vec![]));
    let round =
        |code: Vec<Instruction>| vec![alone(code.clone()), alone(code.clone()), alone(code)];
    let yields = image(round(vec![YIELD, set(1, 1u64), YIELD, HALT]));
    hand.runs("three give way in turn", &yields);
    let named = |config: &mut ProtocolMachineConfig| {
        config.priorities = [("A", 1), ("B", 255), ("C", 1), ("Nobody", 9)]
            .map(|(name, priority)| (name.to_owned(), priority))
            .into();
    };
    hand.add_with("priorities, and a tie", &yields, named, |s| {
        s.open().open().rest();
    });
    hand.add("any order of picks", &yields, |s| {
        s.open().picks(&[2, 1, 0, 2, 2, 2, 2, 7, 1, 1, 1, 1]).rest();
    });
}

/// The holder of a progress token comes first: B is blocked on A, which is queued behind coroutines
/// that only yield.
fn tokens(hand: &mut Hand) {
    let idle = || alone(vec![YIELD, YIELD, YIELD, HALT]);
    let tokens = image(vec![
        (
            vec![
                YIELD,
                set(1, 1u64),
                send(X, 1),
                send(X, 1),
                send(X, 1),
                HALT,
            ],
            times(3, |branches| to(B, branches)),
        ),
        (
            vec![receive(X, 1), receive(X, 1), YIELD, receive(X, 1), HALT],
            times(3, |branches| from(A, branches)),
        ),
        idle(),
        idle(),
    ]);
    for len in [1, 2] {
        let name = format!("progress tokens over a buffer of {len}");
        hand.add_with(
            &name,
            &tokens,
            |c| c.buffer_len_max = len,
            |s| {
                s.open().picks(&[1]).rest();
            },
        );
    }
    hand.add_with(
        "tokens are of one's own session",
        &tokens,
        |c| c.buffer_len_max = 1,
        |s| {
            s.open().open().pick(1, 1).pick(0, 1).pick(1, 2).rest();
        },
    );
}

/// One role that runs this instruction, and a program to spawn.
fn spawns(instruction: Instruction, registers: u8, child: Vec<Instruction>) -> CodeImage {
    let code = vec![set(1, 7u64), instruction, YIELD, HALT];
    with_child(lone(code), registers, child)
}

fn child() -> Vec<Instruction> {
    vec![YIELD, HALT]
}

fn spawning(hand: &mut Hand) {
    let mut add = |what: &str, instruction: Instruction, registers: u8, code: Vec<Instruction>| {
        hand.runs(
            &format!("spawn: {what}"),
            &spawns(instruction, registers, code),
        );
    };
    add("a child without arguments", spawn(1, &[], 2), 2, child());
    add("a child that takes a number", spawn(1, &[1], 2), 2, child());
    add(
        "a child that takes the endpoint",
        spawn(1, &[0], 2),
        2,
        vec![receive(X, 1), HALT],
    );
    add("the program does not exist", spawn(2, &[], 2), 2, child());
    add("nowhere to put the number", spawn(1, &[], 4), 2, child());
    add(
        "the number's place before the program",
        spawn(9, &[], 4),
        2,
        child(),
    );
    add(
        "an argument too many for the child",
        spawn(1, &[1, 1, 1], 2),
        2,
        child(),
    );
    add(
        "an argument that the parent lacks",
        spawn(1, &[4], 2),
        2,
        child(),
    );
    add(
        "the child lacks it before the parent does",
        spawn(1, &[4], 2),
        0,
        child(),
    );
    add(
        "the number goes over the argument",
        spawn(1, &[2], 2),
        2,
        child(),
    );
    add("the role's own program again", spawn(0, &[], 2), 2, child());
    add("a child that faults", spawn(1, &[], 2), 2, vec![jump(9)]);
    add("a child that closes", spawn(1, &[], 2), 2, vec![CLOSE]);
    add(
        "a child that asks",
        spawn(1, &[1], 2),
        2,
        vec![invoke(op::DO, &[0], 1, None), HALT],
    );
}

fn spawn_bounds(hand: &mut Hand) {
    let many = vec![spawn(1, &[], 1), jump(0)];
    let many = with_child(lone(many), 1, vec![YIELD, HALT]);
    for max in [0, 1, 2, 4] {
        let name = format!("spawn: at most {max} coroutines");
        hand.add_with(
            &name,
            &many,
            |c| c.coroutines_max = max,
            |s| {
                s.open().rest();
            },
        );
    }
    let bad = with_child(lone(vec![spawn(1, &[4], 1)]), 4, vec![HALT]);
    hand.add_with(
        "spawn: arguments before the bound",
        &bad,
        |c| c.coroutines_max = 0,
        |s| {
            s.open().rest();
        },
    );
}

fn children(hand: &mut Hand) {
    let prior = |config: &mut ProtocolMachineConfig| {
        config.priorities = [("A".to_owned(), 3), ("B".to_owned(), 2)].into();
    };
    let parts = vec![
        alone(vec![spawn(2, &[], 1), YIELD, YIELD, HALT]),
        alone(vec![spawn(2, &[], 1), YIELD, YIELD, HALT]),
    ];
    let image = with_child(image(parts), 1, vec![YIELD, YIELD, YIELD, HALT]);
    hand.add_with(
        "spawn: a child has its parent's priority",
        &image,
        prior,
        |s| {
            s.open().rest();
        },
    );
    hand.add(
        "spawn: the child outlives its parent",
        &spawns(spawn(1, &[], 2), 2, child()),
        |s| {
            s.open().picks(&[0, 0, 0, 0, 1, 1]).rest();
        },
    );
}

/// A sends a message to B and then runs this instruction; B runs this code.
fn sends(last: Instruction, second: Vec<Instruction>) -> CodeImage {
    image(vec![
        (
            vec![set(1, 7u64), send(X, 1), last],
            times(1, |branches| to(B, branches)),
        ),
        (second, times(1, |branches| from(A, branches))),
    ])
}

fn receiver() -> Vec<Instruction> {
    vec![receive(X, 1), HALT]
}

/// A closes; B yields and halts.
fn two() -> CodeImage {
    image(vec![alone(vec![CLOSE]), alone(vec![YIELD, HALT])])
}

fn closing(hand: &mut Hand) {
    hand.runs("close: everybody at the end", &two());
    hand.add("close: the others leave the queue", &two(), |s| {
        s.open().open().picks(&[0]).rest();
    });
    hand.runs("close: both close", &sends(CLOSE, vec![CLOSE]));
    let mut left = sends(CLOSE, vec![YIELD, HALT]);
    left.roles[1].automaton.states = vec![END];
    hand.runs("close: an edge is not empty, everybody at the end", &left);
    hand.add(
        "close: another's endpoint is open",
        &sends(CLOSE, receiver()),
        |s| {
            s.open().picks(&[0, 0, 0]).rest();
        },
    );
    hand.add(
        "close: after the other has received",
        &sends(CLOSE, receiver()),
        |s| {
            s.open().picks(&[0, 0, 1, 0]).rest();
        },
    );
}

fn halting(hand: &mut Hand) {
    let mut image_nowhere = two();
    image_nowhere.roles[1].automaton.states.clear();
    hand.runs("close: a role without states", &image_nowhere);
    image_nowhere.programs[0].code = vec![HALT];
    hand.runs("halt: a role without states", &image_nowhere);
    let open = image(vec![
        (vec![HALT], times(1, |branches| to(B, branches))),
        silent(),
    ]);
    hand.runs("halt: the endpoint is open", &open);
    let open = image(vec![
        (vec![HALT], times(1, |branches| from(B, branches))),
        silent(),
    ]);
    hand.runs("halt: a message is still expected", &open);
    hand.add(
        "halt: the last one, messages left",
        &sends(HALT, vec![YIELD]),
        |s| {
            s.open().rest();
        },
    );
    let mut image = sends(HALT, vec![YIELD, HALT]);
    image.roles[1].automaton.states = vec![END];
    hand.runs("halt: messages left that nobody expects", &image);
    hand.add(
        "halt: not the last one, messages left",
        &sends(HALT, receiver()),
        |s| {
            s.open().picks(&[0, 0, 0]).rest();
        },
    );
}

fn ending_with_effects(hand: &mut Hand) {
    let asks = build_waiting(CLOSE);
    hand.add("close: an effect is outstanding", &asks, |s| {
        s.open().picks(&[0, 0, 1, 1]).rest();
        s.answer(0, Outcome::success(1u64));
    });
    let asks = build_waiting(jump(99));
    hand.add("fault: an effect is outstanding", &asks, |s| {
        s.open().picks(&[0, 0, 1, 1, 1]).rest();
        s.answer(0, Outcome::success(1u64));
    });
}

/// A issues an effect and blocks; B yields and then runs this instruction.
fn build_waiting(then: Instruction) -> CodeImage {
    image(vec![
        alone(vec![set(1, 1u64), invoke(op::DO, &[1], 2, None), HALT]),
        alone(vec![YIELD, then]),
    ])
}

/// Images whose tables do not match.
fn programs(hand: &mut Hand) {
    let empty = CodeImage::default();
    hand.runs("an image without roles", &empty);
    hand.add("two sessions without roles", &empty, |s| {
        s.open()
            .open()
            .rest()
            .cancel(0, "me")
            .rest()
            .cancel(1, "me")
            .rest();
    });
    let mut image = image(vec![silent(), silent(), silent()]);
    image.programs.truncate(1);
    hand.runs("roles without programs", &image);
    image.programs.clear();
    hand.runs("no programs", &image);
    let mut image = super::build::image(vec![silent(), silent()]);
    image.roles[1].name = "A".to_owned();
    hand.add_with(
        "two roles of one name have one priority",
        &image,
        |c| c.priorities = [("A".to_owned(), 7)].into(),
        |s| {
            s.open().rest();
        },
    );
    let wide = super::build::image((0..20).map(|_| silent()).collect());
    hand.runs("twenty roles", &wide);
}
