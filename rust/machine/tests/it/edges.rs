//! Edge cases that the semantics page fixes: the order of checks, the last value within a bound and
//! the first beyond it, and the events at the end of a session.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::*;
use antiphon_codec::{Limits, decode_strict, diagnostic};
use antiphon_machine::*;

fn config() -> ProtocolMachineConfig {
    ProtocolMachineConfig::default()
}

fn own(session: u32, name: &str) -> Ingress {
    Ingress::Cancel {
        session: SessionId(session),
        owner: Arc::from(name),
    }
}

#[test]
fn the_automaton_is_checked_before_the_instructions_label() {
    let a = (
        vec![set(R1, 1u64), send(X, R1), HALT],
        vec![to_b([go(X, NAT, 1)]), END],
    );
    let b = (
        vec![receive(Y, R1), HALT],
        vec![from_a([go(Y, NAT, 1)]), END],
    );
    let fault = Fault::WrongLabel {
        role: B,
        state: StateId(0),
        got: X,
    };
    assert_eq!(fault_of(image(vec![a, b])), fault);
}

#[test]
fn a_receive_checks_its_register_before_it_blocks() {
    let b = (vec![receive(X, 9)], vec![from_a([go(X, NAT, 1)]), END]);
    let fault = Fault::OutOfRegisters {
        register: Reg(9),
        count: 4,
    };
    assert_eq!(fault_of(image(vec![silent(), b])), fault);
}

#[test]
fn an_offer_checks_its_selector_before_its_channel() {
    let offer = over(R2, offer(R1, &[(X, R1, 0)]));
    assert_eq!(
        fault_of(solo(vec![set(R1, 7u64), offer])),
        Fault::SelectorOutside { got: 7 }
    );
}

#[test]
fn a_move_checks_its_source_before_its_destination() {
    assert_eq!(
        fault_of(solo(vec![mov(8, 9)])),
        Fault::OutOfRegisters {
            register: Reg(9),
            count: 4
        }
    );
}

#[test]
fn an_operation_needs_exactly_its_arguments() {
    for args in [&[][..], &[R1, R1]] {
        let code = vec![set(R1, 1u64), invoke(DO, args, R1, None)];
        assert_eq!(fault_of(solo(code)), Fault::WrongOperation);
    }
}

fn spawning(args: &[u8], dst: u8, registers: u8) -> CodeImage {
    let image = solo(vec![set(R1, 5u64), spawn(1, args, dst), jump(1)]);
    with_child(image, registers, [act(R0, R0), HALT])
}

#[test]
fn spawning_stops_at_its_bound_and_checks_its_operands_first() {
    let config = ProtocolMachineConfig {
        coroutines_max: 3,
        priorities: BTreeMap::from([("A".to_owned(), 9)]),
        ..config()
    };
    let mut machine = opened(spawning(&[R1], R2, 2), config.clone());
    rest(&mut machine);
    let priorities: Vec<_> = session(&machine)
        .coroutines()
        .iter()
        .map(|c| c.priority)
        .collect();
    assert_eq!(
        priorities,
        [9, 9, 9],
        "as many as the bound allows, each with its parent's priority"
    );
    let full = ProtocolMachineConfig {
        coroutines_max: 1,
        ..config
    };
    let fault = fault_with(spawning(&[R1], R2, 2), full.clone());
    assert_eq!(fault, Fault::CoroutineBound { max: 1 });
    let fault = fault_with(spawning(&[R1], 9, 2), full.clone());
    assert_eq!(
        fault,
        Fault::OutOfRegisters {
            register: Reg(9),
            count: 4
        }
    );
    // Only an unverified image can pass more arguments than a program may have registers.
    let fault = fault_with(spawning(&[R1; 17], R2, 16), full);
    assert_eq!(
        fault,
        Fault::OutOfRegisters {
            register: Reg(16),
            count: 16
        }
    );
    let mut machine = opened(spawning(&[R1; 17], R2, 20), self::config());
    for _ in 0..2 {
        let _ = machine.turn();
    }
    let registers = &session(&machine).coroutines()[1].registers;
    assert_eq!(registers[16], Value::Nat(5));
    assert_eq!(registers[17], Value::Unit);
}

#[test]
fn a_payload_may_be_as_long_as_the_bound_and_no_longer() {
    let say = |text: &str| {
        let a = vec![set(R1, text), send(X, R1), HALT];
        pair(TEXT, a, vec![receive(X, R1), HALT])
    };
    let config = ProtocolMachineConfig {
        payload_len_max: 5,
        ..config()
    };
    let mut machine = opened(say("four"), config.clone());
    assert_eq!(rest(&mut machine), Rest::Done);
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Closed));
    assert_eq!(
        fault_with(say("fives"), config),
        Fault::PayloadTooLarge { len: 6, max: 5 }
    );
}

#[test]
fn a_blocked_attempt_counts_as_a_step() {
    let b = (vec![receive(X, R1)], vec![from_a([go(X, NAT, 1)]), END]);
    let mut machine = opened(image(vec![silent(), b]), config());
    assert!(matches!(rest(&mut machine), Rest::Stuck(_)));
    assert_eq!(machine.kernel().step_index(), 2);
}

#[test]
fn an_operation_without_a_budget_uses_the_machines_default() {
    let mut image = solo(vec![
        set(R1, 1u64),
        act(R1, R1),
        invoke(2, &[R1], R1, None),
        HALT,
    ]);
    let hasty = Operation {
        budget: Some(3),
        ..image.operations[0].clone()
    };
    image.operations.push(hasty);
    let mut machine = opened(
        image,
        ProtocolMachineConfig {
            effect_budget: Some(10),
            ..config()
        },
    );
    rest(&mut machine);
    assert_eq!(session(&machine).effects()[0].deadline, Some(10));
    answer(&mut machine, 0, Outcome::success(1u64)).expect("the effect is outstanding");
    rest(&mut machine);
    assert_eq!(session(&machine).effects()[0].deadline, Some(3));
}

#[test]
fn a_deadline_saturates_at_the_last_tick() {
    let mut image = solo(vec![set(R1, 1u64), act(R1, R1), HALT]);
    image.operations[0].budget = Some(u64::MAX);
    let mut machine = opened(image, config());
    ingress(&mut machine, Ingress::AdvanceClock { ticks: 9 }).expect("the clock does not overflow");
    rest(&mut machine);
    assert_eq!(machine.kernel().next_deadline(), Some(u64::MAX));
}

#[test]
fn only_an_unavailable_effect_is_retried() {
    for kind in FailureKind::ALL {
        let mut image = solo(vec![set(R1, 1u64), act(R1, R1), HALT]);
        image.operations[0].retries = 1;
        let mut machine = opened(image, config());
        rest(&mut machine);
        let taken =
            answer(&mut machine, 0, Outcome::failure(kind, "")).expect("the effect is outstanding");
        let again = matches!(taken, Taken::Resumed(Resumed::Reissued(_)));
        assert_eq!(again, kind == FailureKind::Unavailable, "{kind}");
    }
}

/// A retry gets a new number, so it comes after the effects that others issued in the meantime.
#[test]
fn a_retry_comes_after_the_effects_already_outstanding() {
    let asks = || alone(vec![set(R1, 1u64), act(R1, R1)]);
    let mut image = image(vec![asks(), asks()]);
    image.operations[0].retries = 1;
    let mut machine = opened(image, config());
    rest(&mut machine);
    let unavailable = Outcome::failure(FailureKind::Unavailable, "");
    answer(&mut machine, 0, unavailable).expect("the effect is outstanding");
    let effects = machine.kernel().sessions()[0].effects();
    let numbers: Vec<u64> = effects.iter().map(|effect| effect.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn an_unexpected_outcome_is_late_or_was_never_issued() {
    let mut machine = opened(
        solo(vec![set(R1, 1u64), act(R1, R1), act(R1, R1)]),
        config(),
    );
    rest(&mut machine);
    let done = || Outcome::success(1u64);
    assert_eq!(
        answer(&mut machine, 1, done()),
        Err(Refusal::NeverIssued { effect: effect(1) })
    );
    answer(&mut machine, 0, done()).expect("the effect is outstanding");
    assert_eq!(
        answer(&mut machine, 0, done()),
        Err(Refusal::Late { effect: effect(0) })
    );
    assert_eq!(
        answer(&mut machine, 1, done()),
        Err(Refusal::NeverIssued { effect: effect(1) })
    );
}

/// A issues a check, and then a command that is never answered.
fn proving() -> CodeImage {
    solo(vec![set(R1, 1u64), prove(R1, R1, R2), act(R1, R1), HALT])
}

#[test]
fn the_end_of_a_session_reports_everything_that_it_invalidates() {
    let mut machine = opened(proving(), config());
    rest(&mut machine);
    answer(&mut machine, 0, Outcome::success(1u64)).expect("the effect is outstanding");
    rest(&mut machine);
    events(&mut machine);
    ingress(&mut machine, own(0, "owner")).expect("the owner may cancel");
    let expected = vec![
        Event::CancellationRequested { witness: 1 },
        Event::Cancelled { witness: 1 },
        Event::EffectInvalidated { number: 1 },
        Event::WitnessExpired { witness: 0 },
        Event::SessionTerminal {
            end: End::Cancelled,
        },
        Event::EpochAdvanced { epoch: 1 },
    ];
    assert_eq!(events(&mut machine), expected);
    // The owner is checked before the phase.
    let id = SessionId(0);
    assert_eq!(
        ingress(&mut machine, own(0, "thief")),
        Err(Refusal::NotOwner { session: id })
    );
    assert_eq!(
        ingress(&mut machine, own(0, "owner")),
        Err(Refusal::SessionEnded { session: id })
    );
}

#[test]
fn witnesses_expire_by_time_and_then_by_session() {
    let mut machine = opened(
        proving(),
        ProtocolMachineConfig {
            witness_ttl: 20,
            ..config()
        },
    );
    let image = Arc::new(VerifiedImage::unchecked(proving()));
    machine
        .load_choreography(&image, "owner")
        .expect("a session can be opened");
    rest(&mut machine);
    for session in [1, 0] {
        let effect = EffectId {
            session: SessionId(session),
            number: 0,
        };
        let outcome = Outcome::success(1u64);
        ingress(&mut machine, Ingress::Outcome { effect, outcome })
            .expect("the effect is outstanding");
        ingress(&mut machine, Ingress::AdvanceClock { ticks: 5 })
            .expect("the clock does not overflow");
    }
    rest(&mut machine);
    machine.sink().0.clear();
    ingress(&mut machine, Ingress::AdvanceClock { ticks: 90 })
        .expect("the clock does not overflow");
    let expired = |e: &ObsEvent| (e.stamp.session.0, e.event.clone());
    let got: Vec<_> = machine.sink().0.iter().map(expired).collect();
    let expired = Event::WitnessExpired { witness: 0 };
    assert_eq!(got, [(1, expired.clone()), (0, expired)]);
}

#[test]
fn an_owners_name_has_at_most_256_bytes() {
    let mut machine = opened(solo(vec![HALT]), config());
    let image = Arc::new(VerifiedImage::unchecked(solo(vec![HALT])));
    machine
        .load_choreography(&image, &"n".repeat(256))
        .expect("the last that fits");
    let refused = machine.load_choreography(&image, &"n".repeat(257));
    assert_eq!(refused, Err(Refusal::OwnerTooLong { len: 257, max: 256 }));
}

/// The canonical bytes of a session with an entry in every table.
#[test]
fn session_bytes_are_its_fields_in_order() {
    let mut a = proving().programs[0].code.clone();
    a[2] = act_or(R1, R1, 3);
    a.splice(3..3, [send(X, R1), act(R1, R1)]);
    let a = (a, vec![to_b([go(X, NAT, 1)]), END]);
    let b = (vec![act(R0, R0)], vec![from_a([go(X, NAT, 1)]), END]);
    let mut image = image(vec![a, b]);
    image.programs[1].code = vec![set(R1, 2u64), act(R1, R1)];
    image.programs.truncate(2);
    let mut machine = opened(
        image,
        ProtocolMachineConfig {
            effect_budget: Some(4),
            ..config()
        },
    );
    rest(&mut machine);
    answer(&mut machine, 0, Outcome::success(1u64)).expect("the effect is outstanding");
    rest(&mut machine);
    answer(&mut machine, 2, Outcome::failure(FailureKind::Timeout, ""))
        .expect("the effect is outstanding");
    rest(&mut machine);
    let bytes = machine
        .kernel()
        .session_bytes(SessionId(0))
        .expect("the session exists");
    let text = diagnostic(&decode_strict(&bytes, &Limits::default()).expect("canonical"));
    let digest = text
        .split("h'")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("an image");
    insta::assert_snapshot!("session_bytes", text.replace(digest, "…"));

    // A cancellation uses up a witness number and advances the epoch.
    ingress(&mut machine, own(0, "owner")).expect("the owner may cancel");
    let bytes = machine
        .kernel()
        .session_bytes(SessionId(0))
        .expect("the session exists");
    let text = diagnostic(&decode_strict(&bytes, &Limits::default()).expect("canonical"));
    insta::assert_snapshot!("ended_session_bytes", text.replace(digest, "…"));
}

#[test]
fn a_timeout_issues_a_witness_of_its_own_kind() {
    let mut machine = opened(
        solo(vec![set(R1, 1u64), act_or(R1, R1, 2), act_or(R1, R1, 2)]),
        ProtocolMachineConfig {
            effect_budget: Some(4),
            ..config()
        },
    );
    rest(&mut machine);
    ingress(&mut machine, Ingress::AdvanceClock { ticks: 4 }).expect("the clock does not overflow");
    let witness = Witness {
        number: 0,
        expires: 60_004,
        effect: 0,
        kind: WitnessKind::Timeout,
    };
    assert_eq!(
        session(&machine).witnesses().collect::<Vec<_>>(),
        [&witness]
    );
}

#[test]
fn priorities_are_read_only_in_name_order() {
    let priorities = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let bytes = ProtocolMachineConfig {
        priorities,
        ..config()
    }
    .to_bytes();
    let pair = [0x82, 0x61, b'a', 1, 0x82, 0x61, b'b', 2];
    let at = bytes
        .windows(8)
        .position(|w| w == pair)
        .expect("the priorities are encoded");
    for other in [
        [0x82, 0x61, b'b', 2, 0x82, 0x61, b'a', 1],
        [0x82, 0x61, b'a', 1, 0x82, 0x61, b'a', 1],
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&other);
        assert!(ProtocolMachineConfig::from_bytes(&bytes, Limits::default()).is_err());
    }
}

/// An unverified image may name more edges than there are edge numbers; the rest do not exist.
#[test]
fn an_edge_without_a_number_is_a_missing_row() {
    let mut states: Vec<_> = (0..=u16::MAX)
        .rev()
        .map(|role| to(RoleId(role), [go(X, NAT, 0)]))
        .collect();
    states.push(END);
    let image = image(vec![(vec![set(R1, 1u64), send(X, R1)], states)]);
    let fault = Fault::NoSuchRow {
        table: Table::Edges,
        index: u32::from(u16::MAX),
    };
    assert_eq!(fault_of(image), fault);
}

/// The deadlines of an ended session are ignored, wherever they are in the order.
#[test]
fn the_next_deadline_ignores_ended_sessions() {
    let asking = |budget| {
        let mut image = solo(vec![set(R1, 1u64), act_or(R1, R1, 2), HALT]);
        image.operations[0].budget = Some(budget);
        image
    };
    for (budgets, cancelled) in [([5, 8, 9], 1), ([5, 8, 9], 0), ([8, 5, 9], 0)] {
        let mut machine = opened(asking(budgets[0]), config());
        for budget in &budgets[1..] {
            let image = Arc::new(VerifiedImage::unchecked(asking(*budget)));
            machine
                .load_choreography(&image, "owner")
                .expect("a session can be opened");
        }
        rest(&mut machine);
        ingress(&mut machine, own(cancelled, "owner")).expect("the owner may cancel");
        let next = budgets
            .iter()
            .zip(0..)
            .filter(|b| b.1 != cancelled)
            .map(|b| *b.0)
            .min();
        assert_eq!(machine.kernel().next_deadline(), next);
        let mut answered = machine.kernel().clone();
        ingress(&mut machine, Ingress::AdvanceClock { ticks: 5 })
            .expect("the clock does not overflow");
        let next = if budgets[cancelled as usize] == 5 {
            8
        } else {
            9
        };
        assert_eq!(
            machine.kernel().next_deadline(),
            Some(next),
            "after a timeout"
        );
        let first = budgets
            .iter()
            .position(|b| *b == 5)
            .expect("one budget is 5") as u32;
        if first != cancelled {
            let effect = EffectId {
                session: SessionId(first),
                number: 0,
            };
            let outcome = Outcome::success(1u64);
            answered
                .ingress(Ingress::Outcome { effect, outcome }, &mut NoSink)
                .expect("the effect is outstanding");
            assert_eq!(answered.next_deadline(), Some(next), "after an outcome");
        }
    }
}

/// The text of a contract violation is part of the trace.
#[test]
fn a_contract_violation_describes_the_mismatch() {
    let detail_of = |config, value| {
        let mut image = solo(vec![set(R1, 1u64), act(R1, R1)]);
        image.operations[0].result = TEXT;
        let mut machine = opened(image, config);
        rest(&mut machine);
        answer(&mut machine, 0, Outcome::Success(value)).expect("the effect is outstanding");
        let failure = events(&mut machine).into_iter().find_map(|e| match e {
            Event::EffectFailed { failure, .. } => Some(failure),
            _ => None,
        });
        let failure = failure.expect("the effect failed");
        assert_eq!(failure.kind, FailureKind::ContractViolation);
        failure.detail.to_string()
    };
    let detail = detail_of(config(), Value::Int(-1));
    assert_eq!(
        detail,
        "a value of sort 3 was expected, got one of form int"
    );
    let short = ProtocolMachineConfig {
        payload_len_max: 5,
        ..config()
    };
    let detail = detail_of(short, Value::text("fives"));
    assert_eq!(detail, "a payload of 6 bytes is over the limit of 5");
}

/// A choice must be a label of the operation's sort; any other number violates the contract.
#[test]
fn a_choice_must_be_a_label_of_its_sort() {
    for (got, is_label) in [
        (X.0, true),
        (Y.0, true),
        (Y.0 + 1, false),
        (u16::MAX, false),
    ] {
        let mut image = solo(vec![set(R1, 1u64), act(R1, R1), HALT]);
        image.operations[0].result = SortId(6);
        assert_eq!(image.sorts[6], Sort::Arm(vec![X, Y]));
        let mut machine = opened(image, config());
        rest(&mut machine);
        answer(&mut machine, 0, Outcome::chosen(LabelId(got))).expect("the effect is outstanding");
        let failed = events(&mut machine).into_iter().any(|e| match e {
            Event::EffectFailed { failure, .. } => failure.kind == FailureKind::ContractViolation,
            _ => false,
        });
        assert_eq!(failed, !is_label, "{got}");
    }
}
