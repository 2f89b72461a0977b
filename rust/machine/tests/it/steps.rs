//! What each instruction and each input changes, and what it does not.

use crate::common::*;
use antiphon_machine::*;
use std::sync::Arc;

/// A sends n messages x to B, which receives them.
fn stream(n: u32) -> CodeImage {
    let mut a = vec![set(R1, 7u64)];
    a.extend((0..n).map(|_| send(X, R1)));
    a.push(HALT);
    let mut b: Vec<_> = (0..n).map(|_| receive(X, R1)).collect();
    b.push(HALT);
    image(vec![(a, times(n, to_b)), (b, times(n, from_a))])
}

#[test]
fn a_message_is_sent_buffered_and_received() {
    let image = stream(1);
    assert!(image.clone().verify().is_ok());
    let mut machine = opened(image, Default::default());
    assert_eq!(rest(&mut machine), Rest::Done);
    let digest = *machine.kernel().image(session(&machine)).digest();
    let (a, b) = (CoroutineId(0), CoroutineId(1));
    let message = Message {
        edge: EdgeId(0),
        label: X,
        sequence: 0,
        payload: Value::Nat(7),
    };
    assert_eq!(
        events(&mut machine),
        [
            Event::Opened {
                image: digest,
                owner: Arc::from("owner")
            },
            Event::Sent(message.clone()),
            Event::Halted { coroutine: a },
            Event::Received(message),
            Event::Halted { coroutine: b },
            Event::Closed,
            Event::SessionTerminal { end: End::Closed },
            Event::EpochAdvanced { epoch: 1 },
        ]
    );
    assert_eq!(
        session(&machine).coroutines()[1].registers[1],
        Value::Nat(7)
    );
}

#[test]
fn a_full_buffer_blocks_and_makes_no_gap() {
    let config = ProtocolMachineConfig {
        buffer_len_max: 2,
        ..Default::default()
    };
    let mut machine = opened(stream(5), config);
    // One `Set`, two sends, and the attempt that blocks.
    for _ in 0..4 {
        let _ = machine.turn();
    }
    let status = session(&machine).coroutines()[0].status;
    assert_eq!(status, Status::Blocked(On::Full(EdgeId(0))));
    assert_eq!(session(&machine).edges()[0].sent, 2);
    assert_eq!(rest(&mut machine), Rest::Done);
    let sequences: Vec<_> = events(&mut machine)
        .iter()
        .filter_map(|e| {
            if let Event::Sent(m) = e {
                Some(m.sequence)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4]);
}

#[test]
fn a_machine_is_stuck_only_when_no_outcome_can_help() {
    // Each is blocked on the other's message.
    let wait = |role| vec![from(role, [go(X, UNIT, 1)]), END];
    let code = vec![receive(X, R1), HALT];
    let mut machine = opened(
        image(vec![(code.clone(), wait(B)), (code, wait(A))]),
        Default::default(),
    );
    let wait = |coroutine, edge, server| Wait {
        pick: Pick {
            session: SessionId(0),
            coroutine: CoroutineId(coroutine),
        },
        role: Some(RoleId(coroutine)),
        on: On::Empty(EdgeId(edge)),
        server: Some(CoroutineId(server)),
    };
    let stuck = Rest::Stuck(vec![wait(0, 1, 1), wait(1, 0, 0)]);
    assert_eq!(rest(&mut machine), stuck);

    // A second session with an outstanding effect makes the machine idle, not stuck.
    let asks = solo(vec![set(R1, 1u64), act(R1, R2), HALT]);
    let asks = Arc::new(asks.verify().unwrap());
    let id = machine.load_choreography(&asks, "owner").unwrap();
    assert_eq!(rest(&mut machine), Rest::Idle);
    let effect = EffectId {
        session: id,
        number: 0,
    };
    let input = Ingress::Outcome {
        effect,
        outcome: Outcome::success(1u64),
    };
    ingress(&mut machine, input).unwrap();
    assert_eq!(rest(&mut machine), stuck);
}

#[test]
fn an_outcome_is_accepted_once_and_checked() {
    let code = vec![set(R1, 1u64), act_or(R1, R2, 3), HALT, HALT];
    let asks = solo(code);
    let mut machine = opened(asks.clone(), Default::default());
    assert_eq!(rest(&mut machine), Rest::Idle);
    let taken = answer(&mut machine, 0, Outcome::success(9u64));
    assert_eq!(taken, Ok(Taken::Resumed(Resumed::Ready(CoroutineId(0)))));
    assert_eq!(
        session(&machine).coroutines()[0].registers[2],
        Value::Nat(9)
    );
    let again = answer(&mut machine, 0, Outcome::success(9u64));
    assert_eq!(again, Err(Refusal::Late { effect: effect(0) }));
    let never = answer(&mut machine, 5, Outcome::success(9u64));
    assert_eq!(never, Err(Refusal::NeverIssued { effect: effect(5) }));

    // A result of the wrong sort violates the contract.
    let mut machine = opened(asks, Default::default());
    rest(&mut machine);
    answer(&mut machine, 0, Outcome::success("nine")).unwrap();
    assert_eq!(session(&machine).coroutines()[0].pc, Pc(3));
    let kind = Value::Nat(FailureKind::ContractViolation.code());
    assert_eq!(session(&machine).coroutines()[0].registers[2], kind);
    let events = events(&mut machine);
    let cause = Fault::EffectFailed {
        number: 0,
        kind: FailureKind::ContractViolation,
    };
    let branch = Event::FailureBranchEntered {
        coroutine: CoroutineId(0),
        cause,
    };
    assert_eq!(events.last(), Some(&branch));
}

#[test]
fn an_unavailable_effect_is_retried_within_its_budget() {
    let mut asks = solo(vec![set(R1, 1u64), act(R1, R2), HALT]);
    asks.operations[0].retries = 1;
    asks.operations[0].budget = Some(10);
    let mut machine = opened(asks, Default::default());
    rest(&mut machine);
    ingress(&mut machine, Ingress::AdvanceClock { ticks: 4 }).unwrap();
    let unavailable = || Outcome::failure(FailureKind::Unavailable, "");
    let taken = answer(&mut machine, 0, unavailable());
    assert_eq!(taken, Ok(Taken::Resumed(Resumed::Reissued(effect(1)))));
    let again = session(&machine).effects()[0];
    assert_eq!((again.attempt, again.deadline), (1, Some(10)));
    let fault = Fault::EffectFailed {
        number: 1,
        kind: FailureKind::Unavailable,
    };
    let taken = answer(&mut machine, 1, unavailable());
    assert_eq!(taken, Ok(Taken::Resumed(Resumed::Faulted(fault))));
}

#[test]
fn a_budget_runs_out_at_its_tick_and_not_before() {
    let code = vec![set(R1, 1u64), act_or(R1, R2, 2), HALT];
    let mut asks = solo(code);
    asks.operations[0].budget = Some(30);
    let mut machine = opened(
        asks,
        ProtocolMachineConfig {
            witness_ttl: 5,
            ..Default::default()
        },
    );
    rest(&mut machine);
    assert_eq!(machine.kernel().next_deadline(), Some(30));
    let advanced =
        |machine: &mut Machine, ticks| ingress(machine, Ingress::AdvanceClock { ticks }).unwrap();
    assert_eq!(advanced(&mut machine, 29), Taken::Advanced { expired: 0 });
    events(&mut machine);
    assert_eq!(advanced(&mut machine, 1), Taken::Advanced { expired: 1 });
    let cause = Fault::EffectFailed {
        number: 0,
        kind: FailureKind::Timeout,
    };
    let failure = Failure {
        kind: FailureKind::Timeout,
        detail: Arc::from(""),
    };
    assert_eq!(
        events(&mut machine),
        [
            Event::TimeoutIssued {
                number: 0,
                witness: 0
            },
            Event::EffectFailed { number: 0, failure },
            Event::FailureBranchEntered {
                coroutine: CoroutineId(0),
                cause
            },
        ]
    );
    let late = answer(&mut machine, 0, Outcome::success(1u64));
    assert_eq!(late, Err(Refusal::Late { effect: effect(0) }));

    // The witness of the timeout is kept, and expires in turn.
    assert_eq!(session(&machine).witnesses().count(), 1);
    advanced(&mut machine, 4);
    assert_eq!(session(&machine).witnesses().count(), 1);
    advanced(&mut machine, 1);
    assert_eq!(events(&mut machine), [Event::WitnessExpired { witness: 0 }]);
    let overflow = ingress(&mut machine, Ingress::AdvanceClock { ticks: u64::MAX });
    assert_eq!(overflow, Err(Refusal::ClockOverflow { ticks: u64::MAX }));
}

/// Effects time out in the order of (deadline, session, number), not in the order of issue.
#[test]
fn timeouts_come_in_the_order_of_their_deadlines() {
    let asks = |budget| {
        let mut asks = solo(vec![set(R1, 1u64), act(R1, R2), HALT]);
        asks.operations[0].budget = Some(budget);
        asks
    };
    let mut machine = opened(asks(20), Default::default());
    for budget in [10, 20, 5] {
        let image = Arc::new(asks(budget).verify().unwrap());
        machine.load_choreography(&image, "owner").unwrap();
    }
    rest(&mut machine);
    machine.sink().0.clear();
    ingress(&mut machine, Ingress::AdvanceClock { ticks: 100 }).unwrap();
    let order: Vec<_> = machine
        .sink()
        .0
        .iter()
        .filter(|e| matches!(e.event, Event::TimeoutIssued { .. }))
        .map(|e| e.stamp.session.0)
        .collect();
    assert_eq!(order, [3, 1, 0, 2]);
    assert_eq!(rest(&mut machine), Rest::Done);
}

#[test]
fn a_check_leaves_evidence_and_the_oldest_makes_room() {
    let code = vec![set(R1, 1u64), prove(R1, R2, 3), jump(1)];
    let config = ProtocolMachineConfig {
        witnesses_max: 2,
        ..Default::default()
    };
    let mut machine = opened(solo(code), config);
    for number in 0..3 {
        rest(&mut machine);
        answer(&mut machine, number, Outcome::success(1u64)).unwrap();
        assert_eq!(
            session(&machine).coroutines()[0].registers[3],
            Value::Evidence(number)
        );
    }
    let live: Vec<_> = session(&machine).witnesses().map(|w| w.number).collect();
    assert_eq!(live, [1, 2]);
    let events = events(&mut machine);
    let end = &events[events.len() - 2..];
    let issued = Event::WitnessIssued {
        witness: 2,
        number: 2,
    };
    assert_eq!(end, [Event::WitnessExpired { witness: 0 }, issued]);
}

#[test]
fn a_cancelled_session_ends_at_once_and_only_for_its_owner() {
    let asks = solo(vec![set(R1, 1u64), act(R1, R2)]);
    let mut machine = opened(asks, Default::default());
    rest(&mut machine);
    events(&mut machine);
    let cancel = |owner: &str, n| Ingress::Cancel {
        session: SessionId(n),
        owner: Arc::from(owner),
    };
    let session = SessionId(0);
    assert_eq!(
        ingress(&mut machine, cancel("thief", 0)),
        Err(Refusal::NotOwner { session })
    );
    let absent = Refusal::NoSuchSession {
        session: SessionId(4),
    };
    assert_eq!(ingress(&mut machine, cancel("owner", 4)), Err(absent));
    assert_eq!(
        ingress(&mut machine, cancel("owner", 0)),
        Ok(Taken::Cancelled)
    );
    assert_eq!(
        events(&mut machine),
        [
            Event::CancellationRequested { witness: 0 },
            Event::Cancelled { witness: 0 },
            Event::EffectInvalidated { number: 0 },
            Event::SessionTerminal {
                end: End::Cancelled
            },
            Event::EpochAdvanced { epoch: 1 },
        ]
    );
    assert_eq!(rest(&mut machine), Rest::Done);
    let again = ingress(&mut machine, cancel("owner", 0));
    assert_eq!(again, Err(Refusal::SessionEnded { session }));
}

#[test]
fn opening_needs_an_image_room_and_a_name_of_bounded_length() {
    let config = ProtocolMachineConfig {
        sessions_max: 1,
        ..Default::default()
    };
    let mut machine = opened(image(vec![silent()]), config);
    let digest = *machine.kernel().image(session(&machine)).digest();
    let open = |image, owner: &str| Ingress::Open {
        image,
        owner: Arc::from(owner),
    };
    let unknown = ingress(&mut machine, open([0; 32], "owner"));
    assert_eq!(unknown, Err(Refusal::NoSuchImage));
    let full = ingress(&mut machine, open(digest, "owner"));
    assert_eq!(full, Err(Refusal::SessionBound { max: 1 }));
    let mut machine = opened(image(vec![silent()]), Default::default());
    let long = ingress(&mut machine, open(digest, &"x".repeat(257)));
    assert_eq!(long, Err(Refusal::OwnerTooLong { len: 257, max: 256 }));
}

#[test]
fn spawned_coroutines_run_and_the_last_to_halt_closes() {
    let image = solo(vec![set(R1, 5u64), spawn(1, &[R1], R2), HALT]);
    let image = with_child(image, 2, [act(R0, R1), HALT]);
    let mut machine = opened(image.verify().unwrap().image().clone(), Default::default());
    assert_eq!(rest(&mut machine), Rest::Idle);
    assert_eq!(
        session(&machine).coroutines()[1].registers[0],
        Value::Nat(5)
    );
    assert_eq!(session(&machine).phase(), Phase::Active);
    answer(&mut machine, 0, Outcome::success(0u64)).unwrap();
    assert_eq!(rest(&mut machine), Rest::Done);
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Closed));
}

#[test]
fn close_ends_every_coroutine() {
    let close = alone(vec![CLOSE]);
    let loops = alone(vec![YIELD, jump(0)]);
    let mut machine = opened(image(vec![close, loops]), Default::default());
    assert_eq!(rest(&mut machine), Rest::Done);
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Closed));
}

#[test]
fn a_branch_jumps_to_the_row_of_its_number() {
    let offer = |label| offer(R1, &[(label, 3, 3)]);
    for (choice, label) in [(false, X), (true, Y)] {
        let a = vec![
            set(R1, choice),
            branch(R1, &[(0, 4), (1, 6)]),
            HALT,
            HALT,
            set(R1, 0u64),
            offer(X),
            set(R1, 1u64),
            offer(Y),
        ];
        let both = vec![go(X, UNIT, 1), go(Y, UNIT, 1)];
        let b = vec![choose(R1, &[(X, 1), (Y, 2)]), HALT, HALT];
        let image = image(vec![
            (a, vec![to_b(both.clone()), END]),
            (b, vec![from_a(both), END]),
        ]);
        let mut machine = opened(image.verify().unwrap().image().clone(), Default::default());
        assert_eq!(rest(&mut machine), Rest::Done);
        let events = events(&mut machine);
        let offered = |e: &&Event| matches!(e, Event::Offered(m) if m.label == label);
        let chose = |e: &&Event| matches!(e, Event::Chose(m) if m.label == label);
        assert_eq!(events.iter().filter(offered).count(), 1);
        assert_eq!(events.iter().filter(chose).count(), 1);
    }
}

#[test]
fn a_round_with_concurrency_0_is_refused() {
    let mut machine = opened(image(vec![silent()]), Default::default());
    let before = machine.kernel().state_digest();
    assert_eq!(machine.kernel_step_round(0), Err(RoundError::NoConcurrency));
    assert_eq!(machine.kernel().state_digest(), before);
    for concurrency in [1, 8] {
        let step = machine.kernel().step_index();
        let _ = machine.kernel_step_round(concurrency).unwrap();
        assert!(machine.kernel().step_index() <= step + 1);
    }
}

/// The benches derive messages from steps, so the number of steps for a message is pinned here.
#[test]
fn the_samples_take_the_steps_that_the_benches_count_on() {
    fn endless(request: &EffectRequest<'_>) -> Reply {
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
            Class::Produce { .. } => Outcome::success(7u64),
            Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => {
                Outcome::done()
            }
        })
    }
    let samples = [
        (sample::bare_ping_pong(), 8, 2),
        (sample::told_ping_pong(), 10, 2),
        (sample::ping_pong(1), 13, 2),
    ];
    for (image, steps, messages) in samples {
        let mut machine =
            ProtocolMachine::with_sink(Default::default(), FromFn(endless), Vec::<ObsEvent>::new());
        machine.load_choreography(&image, "owner").unwrap();
        machine.run(1_000 * steps);
        let received = |e: &&ObsEvent| matches!(e.event, Event::Received(_) | Event::Chose(_));
        let got = machine.sink().iter().filter(received).count() as u64;
        let expected = 1_000 * messages;
        assert!(
            got.abs_diff(expected) < 10,
            "{got} messages in {} steps",
            1_000 * steps
        );
    }
}
