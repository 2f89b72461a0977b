//! Every input, accepted and refused, in every state that affects its result.

use antiphon_machine::bounds::NAME_LEN_MAX;
use antiphon_machine::*;

use super::Hand;
use super::build::*;

fn pair() -> CodeImage {
    image(vec![
        (
            vec![
                set(1, 7u64),
                send(X, 1),
                invoke(op::DO, &[1], 2, None),
                HALT,
            ],
            times(1, |branches| to(B, branches)),
        ),
        (
            vec![receive(X, 1), check(op::PROVE, &[1], 2, 3, None), HALT],
            times(1, |branches| from(A, branches)),
        ),
    ])
}

pub(super) fn add(hand: &mut Hand) {
    opening(hand);
    owners(hand);
    cancelling(hand);
    clock(hand);
    resting(hand);
    scheduling(hand);
}

/// An image with one role, which yields and halts.
fn second() -> CodeImage {
    image(vec![alone(vec![YIELD, HALT])])
}

fn opening(hand: &mut Hand) {
    hand.add("nothing is open", &pair(), |s| {
        s.turns(2);
    });
    hand.add_many(
        "no image is loaded",
        &[],
        |_| {},
        |s| {
            let owner = std::sync::Arc::from("me");
            s.input(Ingress::Open {
                image: [7; 32],
                owner,
            });
            s.turns(1);
        },
    );
    let second = second();
    hand.add_many(
        "sessions of two images",
        &[pair(), second.clone()],
        |_| {},
        |s| {
            s.open_row(1, "you")
                .open_row(0, "me")
                .open_row(1, "")
                .rest();
        },
    );
    hand.add_many(
        "an image loaded twice",
        &[pair(), pair()],
        |_| {},
        |s| {
            s.open_row(1, "me").open_row(0, "me").rest();
        },
    );
    for max in [0, 1, 2] {
        let name = format!("at most {max} sessions");
        hand.add_with(
            &name,
            &second,
            |c| c.sessions_max = max,
            |s| {
                s.open().open().rest().open().rest();
            },
        );
    }
}

fn owners(hand: &mut Hand) {
    let second = second();
    let owners = [
        ("nobody", String::new()),
        ("a long name", "n".repeat(NAME_LEN_MAX)),
        ("a name too long", "n".repeat(NAME_LEN_MAX + 1)),
        (
            "a name too long by its bytes",
            "ö".repeat(NAME_LEN_MAX / 2 + 1),
        ),
        ("a name not ascii", "Größe 水".to_owned()),
    ];
    for (what, owner) in owners {
        hand.add(&format!("opened by {what}"), &second, |s| {
            s.open_row(0, &owner).rest().cancel(0, &owner);
        });
    }
    hand.add_with(
        "no image before no room before no name",
        &second,
        |c| c.sessions_max = 0,
        |s| {
            let owner: std::sync::Arc<str> = std::sync::Arc::from("n".repeat(300));
            let image = [0; 32];
            s.input(Ingress::Open {
                image,
                owner: owner.clone(),
            });
            s.open_row(0, &owner);
        },
    );
    hand.add("opened in the middle of another's run", &pair(), |s| {
        s.open().turns(2).open().turns(3).open().rest();
    });
}

fn cancelling(hand: &mut Hand) {
    for turns in 0..6 {
        let name = format!("cancelled after {turns} turns");
        hand.add(&name, &pair(), |s| {
            s.open()
                .turns(turns)
                .cancel(0, "me")
                .turns(1)
                .cancel(0, "me");
        });
    }
    hand.add("cancelled by another", &pair(), |s| {
        s.open()
            .cancel(0, "you")
            .cancel(0, "")
            .cancel(0, "mee")
            .rest();
    });
    hand.add("cancelled by another after the end", &pair(), |s| {
        s.open().cancel(0, "me").cancel(0, "you").cancel(0, "me");
    });
    hand.add("cancelled where there is none", &pair(), |s| {
        s.cancel(0, "me")
            .open()
            .cancel(1, "me")
            .cancel(u32::MAX, "me");
    });
    hand.add("cancelled with effects and witnesses", &pair(), |s| {
        s.open()
            .rest()
            .answer(1, Outcome::success(1u64))
            .answer(0, Outcome::success(1u64));
        s.turns(1).cancel(0, "me").rest();
    });
    hand.add("cancelled among others", &pair(), |s| {
        s.open().open().open().turns(3).cancel(1, "me").rest();
    });
    let waiting = image(vec![
        (
            vec![receive(X, 1), HALT],
            times(1, |branches| from(B, branches)),
        ),
        silent(),
    ]);
    hand.add("cancelled when stuck", &waiting, |s| {
        s.open().rest().cancel(0, "me").rest();
    });
}

fn clock(hand: &mut Hand) {
    hand.add("time passes", &pair(), |s| {
        s.tick(0)
            .tick(1)
            .open()
            .tick(5)
            .turns(2)
            .tick(1 << 40)
            .rest();
    });
    hand.add("the clock would overflow", &pair(), |s| {
        s.tick(u64::MAX)
            .tick(0)
            .tick(1)
            .tick(u64::MAX)
            .open()
            .rest();
    });
    hand.add("the clock would overflow by one", &pair(), |s| {
        s.tick(1 << 63).tick((1 << 63) - 1).tick(1).tick(1 << 63);
    });
}

fn resting(hand: &mut Hand) {
    let waits = image(vec![
        (
            vec![receive(X, 1), HALT],
            times(1, |branches| from(B, branches)),
        ),
        alone(vec![set(1, 1u64), invoke(op::DO, &[1], 2, None), HALT]),
    ]);
    hand.add("idle, then stuck, then done", &waits, |s| {
        s.open()
            .rest()
            .answer(0, Outcome::success(1u64))
            .rest()
            .cancel(0, "me")
            .rest();
    });
    hand.add("idle before stuck", &waits, |s| {
        s.open()
            .open()
            .rest()
            .answer_in(1, 0, Outcome::success(1u64))
            .rest();
        s.cancel(0, "me").rest().open().turns(1).rest();
    });
    let child = with_program(
        image(vec![
            (
                vec![spawn(2, &[0], 1), receive(X, 1), HALT],
                times(1, |branches| from(B, branches)),
            ),
            (
                vec![YIELD, receive(X, 1)],
                vec![from(A, vec![go(X, sort::NAT, 1)]), State::End],
            ),
        ]),
        2,
        vec![YIELD, HALT],
    );
    hand.add("stuck: who waits, in order", &child, |s| {
        s.open().open().rest();
    });
    hand.add("a pick of who is not ready", &waits, |s| {
        s.picks(&[0])
            .open()
            .picks(&[0, 0, 2, 1, 1, 1])
            .pick(1, 0)
            .pick(u32::MAX, u16::MAX);
        s.answer(0, Outcome::success(1u64))
            .picks(&[1, 1, 0])
            .cancel(0, "me")
            .picks(&[0, 1]);
    });
}

/// The order of the ready queue after each kind of turn and input.
fn scheduling(hand: &mut Hand) {
    let contention = image(vec![
        (
            vec![set(1, 1u64), send(X, 1), send(X, 1), send(X, 1), HALT],
            times(3, |branches| to(B, branches)),
        ),
        (
            vec![receive(X, 1), receive(X, 1), receive(X, 1), HALT],
            times(3, |branches| from(A, branches)),
        ),
        alone(vec![YIELD, YIELD, YIELD, HALT]),
        alone(vec![
            set(1, 1u64),
            invoke(op::DO, &[1], 2, None),
            YIELD,
            HALT,
        ]),
    ]);
    let priorities = |config: &mut ProtocolMachineConfig| {
        config.buffer_len_max = 1;
        config.priorities = [("D".to_owned(), 9), ("B".to_owned(), 5)].into();
    };
    hand.add_with("contention", &contention, priorities, |s| {
        s.open().rest().answer(0, Outcome::success(1u64)).rest();
    });
    hand.add_with("contention of two sessions", &contention, priorities, |s| {
        s.open()
            .turns(3)
            .open()
            .turns(9)
            .answer(0, Outcome::success(1u64))
            .rest();
        s.answer_in(1, 0, Outcome::success(1u64)).rest();
    });
    hand.add_with(
        "who comes back from an effect queues at the back",
        &contention,
        priorities,
        |s| {
            s.open()
                .picks(&[3, 3])
                .answer(0, Outcome::success(1u64))
                .turns(4)
                .rest();
        },
    );
    hand.add_with(
        "who is woken queues at the back",
        &contention,
        priorities,
        |s| {
            s.open().picks(&[1, 0, 0, 2, 0, 0, 1, 2]).rest();
        },
    );
    hand.add_with(
        "a session's end empties its places",
        &contention,
        priorities,
        |s| {
            s.open()
                .open()
                .turns(2)
                .cancel(0, "me")
                .turns(3)
                .open()
                .rest();
        },
    );
}
