//! For every fault, an image that causes it, and the fields of the fault. The images are loaded
//! without verification, which would refuse most of them: a step must be total on any image.

use crate::common::*;
use antiphon_machine::*;

fn solo(code: Vec<Instruction>) -> CodeImage {
    image(vec![(code, vec![State::End])])
}

/// A runs this program, which sends x with the given payload sort to B.
fn sender(code: Vec<Instruction>, sort: SortId) -> CodeImage {
    let b = (
        vec![receive(X, R1), Instruction::Halt],
        vec![from_a(vec![go(X, sort, 1)]), State::End],
    );
    image(vec![
        (code, vec![to_b(vec![go(X, sort, 1)]), State::End]),
        b,
    ])
}

#[test]
fn out_of_registers() {
    let fault = fault_of(solo(vec![Instruction::Move {
        dst: R1,
        src: Reg(9),
    }]));
    assert_eq!(
        fault,
        Fault::OutOfRegisters {
            register: Reg(9),
            count: 4
        }
    );
    let fault = fault_of(solo(vec![set(Reg(4), 1u64)]));
    assert_eq!(
        fault,
        Fault::OutOfRegisters {
            register: Reg(4),
            count: 4
        }
    );
    let fault = fault_of(sender(vec![send(X, Reg(255))], UNIT));
    assert_eq!(
        fault,
        Fault::OutOfRegisters {
            register: Reg(255),
            count: 4
        }
    );
}

#[test]
fn pc_out_of_bounds() {
    let fault = fault_of(solo(vec![Instruction::Jump { target: Pc(7) }]));
    assert_eq!(fault, Fault::PcOutOfBounds { pc: Pc(7), len: 1 });
    let fault = fault_of(solo(vec![]));
    assert_eq!(fault, Fault::PcOutOfBounds { pc: Pc(0), len: 0 });
}

#[test]
fn no_such_row() {
    let operation = OperationId(77);
    let code = vec![Instruction::Invoke {
        operation,
        args: vec![],
        dst: R1,
        on_failure: None,
    }];
    let expected = Fault::NoSuchRow {
        table: Table::Operations,
        index: 77,
    };
    assert_eq!(fault_of(solo(code)), expected);

    let code = vec![Instruction::Spawn {
        program: ProgramId(5),
        args: vec![],
        dst: R1,
    }];
    let expected = Fault::NoSuchRow {
        table: Table::Programs,
        index: 5,
    };
    assert_eq!(fault_of(solo(code)), expected);

    let code = vec![
        set(R1, 1u64),
        Instruction::Set {
            dst: R0,
            value: Value::Endpoint(RoleId(8)),
        },
        send(X, R1),
    ];
    assert_eq!(
        fault_of(solo(code)),
        Fault::NoSuchRow {
            table: Table::Roles,
            index: 8
        }
    );

    // The automaton leads to a state that does not exist.
    let mut image = sender(
        vec![set(R1, Value::Unit), send(X, R1), Instruction::Halt],
        UNIT,
    );
    image.roles[0].automaton.states = vec![to_b(vec![go(X, UNIT, 9)])];
    assert_eq!(
        fault_of(image),
        Fault::NoSuchRow {
            table: Table::States,
            index: 9
        }
    );
}

#[test]
fn not_an_endpoint() {
    let code = vec![set(R0, 3u64), send(X, R1)];
    let expected = Fault::NotAnEndpoint {
        register: R0,
        got: Form::Nat,
    };
    assert_eq!(fault_of(sender(code, UNIT)), expected);
}

#[test]
fn not_holder() {
    let code = vec![
        Instruction::Set {
            dst: R0,
            value: Value::Endpoint(B),
        },
        receive(X, R1),
    ];
    assert_eq!(
        fault_of(sender(code, UNIT)),
        Fault::NotHolder { role: B, holder: 1 }
    );
}

#[test]
fn wrong_state() {
    let expected = Action::Receive;
    let fault = fault_of(sender(vec![receive(X, R1)], UNIT));
    let state = StateId(0);
    assert_eq!(
        fault,
        Fault::WrongState {
            role: A,
            state,
            expected,
            got: Action::Send
        }
    );

    let fault = fault_of(sender(vec![send(X, R1), send(X, R1)], UNIT));
    let (state, expected) = (StateId(1), Action::Send);
    assert_eq!(
        fault,
        Fault::WrongState {
            role: A,
            state,
            expected,
            got: Action::End
        }
    );
}

#[test]
fn wrong_label() {
    let fault = fault_of(sender(vec![send(Y, R1)], UNIT));
    assert_eq!(
        fault,
        Fault::WrongLabel {
            role: A,
            state: StateId(0),
            got: Y
        }
    );
}

#[test]
fn wrong_sort() {
    let fault = fault_of(sender(vec![set(R1, "no number"), send(X, R1)], NAT));
    assert_eq!(
        fault,
        Fault::WrongSort {
            expected: NAT,
            got: Form::Text
        }
    );

    // The receiver's automaton expects another sort than the sender's.
    let mut image = sender(vec![set(R1, 1u64), send(X, R1), Instruction::Halt], NAT);
    image.roles[1].automaton.states[0] = from_a(vec![go(X, TEXT, 1)]);
    assert_eq!(
        fault_of(image),
        Fault::WrongSort {
            expected: TEXT,
            got: Form::Nat
        }
    );

    let fault = fault_of(solo(vec![set(R1, "no number"), act(R1, R2)]));
    assert_eq!(
        fault,
        Fault::WrongSort {
            expected: NAT,
            got: Form::Text
        }
    );
}

#[test]
fn payload_too_large() {
    let config = ProtocolMachineConfig {
        payload_len_max: 10,
        ..Default::default()
    };
    let code = |len| {
        vec![
            set(R1, Value::bytes(&vec![0; len])),
            send(X, R1),
            Instruction::Halt,
        ]
    };
    let fault = fault_with(sender(code(10), BYTES), config.clone());
    assert_eq!(fault, Fault::PayloadTooLarge { len: 11, max: 10 });
    let mut machine = opened(sender(code(9), BYTES), config);
    assert_eq!(rest(&mut machine), Rest::Done);
}

#[test]
fn unexpected_message() {
    let choice = vec![go(X, UNIT, 1), go(Y, UNIT, 1)];
    let mut image = sender(vec![send(Y, R1), Instruction::Halt], UNIT);
    image.roles[0].automaton.states[0] = to_b(choice.clone());
    image.roles[1].automaton.states[0] = from_a(choice);
    assert_eq!(
        fault_of(image.clone()),
        Fault::UnexpectedMessage {
            edge: EdgeId(0),
            got: Y
        }
    );
    image.programs[1].code[0] = Instruction::Choose {
        chan: R0,
        dst: R1,
        table: vec![(X, Pc(1))],
    };
    assert_eq!(
        fault_of(image),
        Fault::UnexpectedMessage {
            edge: EdgeId(0),
            got: Y
        }
    );
}

#[test]
fn selector_outside() {
    let arms = vec![Arm {
        label: X,
        val: R2,
        target: Pc(2),
    }];
    let offer = Instruction::Offer {
        chan: R0,
        selector: R1,
        arms,
    };
    let fault = fault_of(sender(vec![set(R1, 5u64), offer.clone()], UNIT));
    assert_eq!(fault, Fault::SelectorOutside { got: 5 });
    let fault = fault_of(sender(vec![set(R1, "x"), offer], UNIT));
    assert_eq!(fault, Fault::NotANumber { got: Form::Text });
}

#[test]
fn no_such_branch() {
    let branch = Instruction::Branch {
        cond: R1,
        table: vec![(0, Pc(0)), (2, Pc(0))],
    };
    let fault = fault_of(solo(vec![set(R1, true), branch]));
    assert_eq!(fault, Fault::NoSuchBranch { got: 1 });
}

#[test]
fn wrong_operation() {
    let check = Instruction::Check {
        operation: OperationId(0),
        args: vec![R1],
        dst: R1,
        witness: R2,
        on_failure: None,
    };
    assert_eq!(
        fault_of(solo(vec![set(R1, 1u64), check])),
        Fault::WrongOperation
    );
    let invoke = Instruction::Invoke {
        operation: OperationId(0),
        args: vec![],
        dst: R1,
        on_failure: None,
    };
    assert_eq!(fault_of(solo(vec![invoke])), Fault::WrongOperation);
}

#[test]
fn coroutine_bound() {
    let spawn = Instruction::Spawn {
        program: ProgramId(1),
        args: vec![],
        dst: R1,
    };
    let mut image = solo(vec![spawn, Instruction::Jump { target: Pc(0) }]);
    let code = vec![set(R1, 1u64), act(R1, R2)];
    image.programs.push(Program {
        name: "child".to_owned(),
        registers: 4,
        code,
    });
    let config = ProtocolMachineConfig {
        coroutines_max: 3,
        ..Default::default()
    };
    assert_eq!(fault_with(image, config), Fault::CoroutineBound { max: 3 });
}

#[test]
fn endpoint_open() {
    let expected = Fault::EndpointOpen {
        role: A,
        state: StateId(0),
    };
    assert_eq!(fault_of(sender(vec![Instruction::Halt], UNIT)), expected);
    assert_eq!(fault_of(sender(vec![Instruction::Close], UNIT)), expected);
}

#[test]
fn edge_not_empty() {
    let mut image = sender(vec![send(X, R1), Instruction::Halt], UNIT);
    image.programs[1].code = vec![Instruction::Halt];
    image.roles[1].automaton.states = vec![State::End];
    let expected = Fault::EdgeNotEmpty {
        edge: EdgeId(0),
        len: 1,
    };
    assert_eq!(fault_of(image.clone()), expected);
    image.programs[0].code[1] = Instruction::Close;
    assert_eq!(fault_of(image), expected);
}

#[test]
fn effect_failed() {
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
    let waiting = (vec![set(R1, 1u64), act(R1, R2)], vec![State::End]);
    let faulting = (vec![Instruction::Jump { target: Pc(9) }], vec![State::End]);
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
    let mut machine = opened(
        solo(vec![Instruction::Jump { target: Pc(9) }]),
        Default::default(),
    );
    let good = std::sync::Arc::new(VerifiedImage::unchecked(image(vec![silent()])));
    let good = machine.load_choreography(&good, "owner").unwrap();
    assert_eq!(rest(&mut machine), Rest::Done);
    let end = machine.kernel().session(good).unwrap().phase();
    assert_eq!(end, Phase::Terminal(End::Closed));
    assert_eq!(session(&machine).phase(), Phase::Terminal(End::Faulted));
}
