//! For every fault, an image that causes it, and the fields of the fault. The images are loaded
//! without verification, which would refuse most of them: a step must be total on any image.

use crate::common::*;
use antiphon_machine::*;

/// A runs this program, and its automaton sends x with the given payload sort to B.
fn sender(code: Vec<Instruction>, sort: SortId) -> CodeImage {
    pair(sort, code, vec![receive(X, R1), HALT])
}

fn no_register(register: u8) -> Fault {
    let (register, count) = (Reg(register), 4);
    Fault::OutOfRegisters { register, count }
}

fn no_row(table: Table, index: u32) -> Fault {
    Fault::NoSuchRow { table, index }
}

fn wrong_sort(expected: SortId, got: Form) -> Fault {
    Fault::WrongSort { expected, got }
}

fn wrong_state(state: u32, expected: Action, got: Action) -> Fault {
    let (role, state) = (A, StateId(state));
    Fault::WrongState {
        role,
        state,
        expected,
        got,
    }
}

fn endpoint_open() -> Fault {
    let (role, state) = (A, StateId(0));
    Fault::EndpointOpen { role, state }
}

#[test]
fn a_role_without_messages_ends_with_the_fault_of_its_program() {
    let cases = [
        (vec![mov(R1, 9)], no_register(9)),
        (vec![set(4, 1u64)], no_register(4)),
        (vec![jump(7)], Fault::PcOutOfBounds { pc: Pc(7), len: 1 }),
        (vec![], Fault::PcOutOfBounds { pc: Pc(0), len: 0 }),
        (
            vec![invoke(77, &[], R1, None)],
            no_row(Table::Operations, 77),
        ),
        (vec![spawn(5, &[], R1)], no_row(Table::Programs, 5)),
        (
            vec![set(R0, Value::Endpoint(RoleId(8))), send(X, R1)],
            no_row(Table::Roles, 8),
        ),
        (
            vec![set(R1, "no number"), act(R1, R2)],
            wrong_sort(NAT, Form::Text),
        ),
        (
            vec![set(R1, true), branch(R1, &[(0, 0), (2, 0)])],
            Fault::NoSuchBranch { got: 1 },
        ),
        (
            vec![set(R1, 1u64), check(DO, &[R1], R1, R2, None)],
            Fault::WrongOperation,
        ),
        (vec![invoke(DO, &[], R1, None)], Fault::WrongOperation),
    ];
    for (code, fault) in cases {
        assert_eq!(fault_of(solo(code.clone())), fault, "{code:?}");
    }
}

#[test]
fn a_sender_ends_with_the_fault_of_its_program() {
    let by_nat = Fault::NotAnEndpoint {
        register: Reg(R0),
        got: Form::Nat,
    };
    let by_another = Fault::NotHolder { role: B, holder: 1 };
    let no_y = Fault::WrongLabel {
        role: A,
        state: StateId(0),
        got: Y,
    };
    let cases = [
        (vec![send(X, 255)], no_register(255)),
        (vec![set(R0, 3u64), send(X, R1)], by_nat),
        (
            vec![set(R0, Value::Endpoint(B)), receive(X, R1)],
            by_another,
        ),
        (
            vec![receive(X, R1)],
            wrong_state(0, Action::Receive, Action::Send),
        ),
        (
            vec![send(X, R1), send(X, R1)],
            wrong_state(1, Action::Send, Action::End),
        ),
        (vec![send(Y, R1)], no_y),
        (
            vec![set(R1, 5u64), offer(R1, &[(X, R2, 2)])],
            Fault::SelectorOutside { got: 5 },
        ),
        (
            vec![set(R1, "x"), offer(R1, &[(X, R2, 2)])],
            Fault::NotANumber { got: Form::Text },
        ),
        (vec![HALT], endpoint_open()),
        (vec![CLOSE], endpoint_open()),
    ];
    for (code, fault) in cases {
        assert_eq!(fault_of(sender(code.clone(), UNIT)), fault, "{code:?}");
    }
}

#[test]
fn an_automaton_that_leads_to_no_state_is_a_missing_row() {
    let mut image = sender(vec![send(X, R1), HALT], UNIT);
    image.roles[0].automaton.states = vec![to_b([go(X, UNIT, 9)])];
    assert_eq!(fault_of(image), no_row(Table::States, 9));
}

#[test]
fn a_payload_of_another_sort_faults_its_sender_or_its_receiver() {
    let image = sender(vec![set(R1, "no number"), send(X, R1)], NAT);
    assert_eq!(fault_of(image), wrong_sort(NAT, Form::Text));
    // The receiver's automaton expects another sort than the sender's.
    let mut image = sender(vec![set(R1, 1u64), send(X, R1), HALT], NAT);
    image.roles[1].automaton.states[0] = from_a([go(X, TEXT, 1)]);
    assert_eq!(fault_of(image), wrong_sort(TEXT, Form::Nat));
}

#[test]
fn a_payload_over_the_bound_faults() {
    let config = ProtocolMachineConfig {
        payload_len_max: 10,
        ..Default::default()
    };
    let code = |len| vec![set(R1, Value::bytes(&vec![0; len])), send(X, R1), HALT];
    let fault = fault_with(sender(code(10), BYTES), config.clone());
    assert_eq!(fault, Fault::PayloadTooLarge { len: 11, max: 10 });
    let mut machine = opened(sender(code(9), BYTES), config);
    assert_eq!(rest(&mut machine), Rest::Done);
}

#[test]
fn a_receive_or_choose_without_the_messages_label_faults() {
    let both = [go(X, UNIT, 1), go(Y, UNIT, 1)];
    let mut image = sender(vec![send(Y, R1), HALT], UNIT);
    image.roles[0].automaton.states[0] = to_b(both);
    image.roles[1].automaton.states[0] = from_a(both);
    let (edge, got) = (EdgeId(0), Y);
    for receiver in [receive(X, R1), choose(R1, &[(X, 1)])] {
        image.programs[1].code[0] = receiver;
        let fault = fault_of(image.clone());
        assert_eq!(fault, Fault::UnexpectedMessage { edge, got });
    }
}

#[test]
fn a_spawn_over_the_bound_faults() {
    let image = solo(vec![spawn(1, &[], R1), jump(0)]);
    let image = with_child(image, 4, [set(R1, 1u64), act(R1, R2)]);
    let config = ProtocolMachineConfig {
        coroutines_max: 3,
        ..Default::default()
    };
    assert_eq!(fault_with(image, config), Fault::CoroutineBound { max: 3 });
}

#[test]
fn a_session_that_ends_with_a_message_in_a_buffer_faults() {
    let (edge, len) = (EdgeId(0), 1);
    for last in [HALT, CLOSE] {
        let mut image = sender(vec![send(X, R1), last], UNIT);
        image.programs[1].code = vec![HALT];
        image.roles[1].automaton.states = vec![END];
        assert_eq!(fault_of(image), Fault::EdgeNotEmpty { edge, len });
    }
}

#[test]
fn a_failure_without_a_branch_is_the_fault() {
    let mut machine = opened(solo(vec![set(R1, 1u64), act(R1, R2)]), Default::default());
    assert_eq!(rest(&mut machine), Rest::Idle);
    let outcome = Outcome::failure(FailureKind::Denied, "not you");
    let fault = Fault::EffectFailed {
        number: 0,
        kind: FailureKind::Denied,
    };
    let taken = answer(&mut machine, 0, outcome);
    assert_eq!(taken, Ok(Taken::Resumed(Resumed::Faulted(fault))));
    assert_eq!(rest(&mut machine), Rest::Done);
}

/// The fault comes first, then the effects that it invalidates, then the end of the session.
#[test]
fn a_fault_ends_its_session_in_order() {
    let waiting = alone(vec![set(R1, 1u64), act(R1, R2)]);
    let faulting = alone(vec![jump(9)]);
    let mut machine = opened(image(vec![waiting, faulting]), Default::default());
    assert_eq!(rest(&mut machine), Rest::Done);
    let fault = Fault::PcOutOfBounds { pc: Pc(9), len: 1 };
    let coroutine = CoroutineId(1);
    assert_eq!(
        events(&mut machine)[2..],
        [
            Event::FailureBranchEntered {
                coroutine,
                cause: fault
            },
            Event::Faulted { coroutine, fault },
            Event::EffectInvalidated { number: 0 },
            Event::SessionTerminal { end: End::Faulted },
            Event::EpochAdvanced { epoch: 1 },
        ]
    );
    let late = answer(&mut machine, 0, Outcome::success(1u64));
    assert_eq!(late, Err(Refusal::Late { effect: effect(0) }));
}

#[test]
fn a_fault_leaves_other_sessions_alone() {
    let mut machine = opened(solo(vec![jump(9)]), Default::default());
    let good = std::sync::Arc::new(VerifiedImage::unchecked(image(vec![silent()])));
    let good = machine.load_choreography(&good, "owner").unwrap();
    assert_eq!(rest(&mut machine), Rest::Done);
    let end = machine.kernel().session(good).unwrap().phase();
    assert_eq!(end, Phase::Terminal(End::Closed));
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Faulted));
}
