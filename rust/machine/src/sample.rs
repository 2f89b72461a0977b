//! Small images assembled by hand: for examples, tests and benches that should not need the compiler.

use std::sync::Arc;

use crate::ids::{LabelId, OperationId, Pc, Reg, RoleId, SortId, StateId};
use crate::image::*;
use crate::verify::VerifiedImage;

const UNIT: SortId = SortId(0);
const NAT: SortId = SortId(1);
const BYTES: SortId = SortId(2);
const ARMS: SortId = SortId(3);
const PING: LabelId = LabelId(0);
const PONG: LabelId = LabelId(1);
const STOP: LabelId = LabelId(2);

/// A client pings with a number, or stops; a server pongs with the number. The client's host decides and produces, the
/// hosts of both are told what arrives. `version` makes images that differ.
pub fn ping_pong(version: u32) -> Arc<VerifiedImage> {
    verified(ping_pong_image(version, NAT))
}

/// As [`ping_pong`], with bytes for numbers.
pub fn ping_pong_bytes() -> Arc<VerifiedImage> {
    verified(ping_pong_image(1, BYTES))
}

/// Two roles that exchange units for ever and ask nobody: nothing but messages.
pub fn bare_ping_pong() -> Arc<VerifiedImage> {
    let (chan, dst) = (Reg(0), Reg(1));
    let send = |label| Instruction::Send {
        chan,
        label,
        val: dst,
    };
    let receive = |label| Instruction::Receive { chan, label, dst };
    let again = Instruction::Jump { target: Pc(0) };
    let mut image = ping_pong_image(1, UNIT);
    image.operations.clear();
    image.interfaces.clear();
    image.sorts.truncate(1);
    image.labels.truncate(2);
    let go = |label, next| {
        vec![Transition {
            label,
            sort: UNIT,
            next: StateId(next),
        }]
    };
    let (client, server) = (RoleId(0), RoleId(1));
    image.roles[0].automaton.states = vec![
        State::Send {
            to: server,
            branches: go(PING, 1),
        },
        State::Recv {
            from: server,
            branches: go(PONG, 0),
        },
    ];
    image.roles[1].automaton.states = vec![
        State::Recv {
            from: client,
            branches: go(PING, 1),
        },
        State::Send {
            to: client,
            branches: go(PONG, 0),
        },
    ];
    image.programs[0].code = vec![send(PING), receive(PONG), again.clone()];
    image.programs[1].code = vec![receive(PING), send(PONG), again];
    verified(image)
}

/// As [`bare_ping_pong`], and the hosts of both are told what arrives: what the compiler makes of
/// `rec L { ping() from Client to Server; pong() from Server to Client; continue L; }`.
pub fn told_ping_pong() -> Arc<VerifiedImage> {
    let mut image = bare_ping_pong().image().clone();
    let (client, server) = (RoleId(0), RoleId(1));
    image.interfaces = vec![Interface {
        name: "host".to_owned(),
        version: 1,
    }];
    let told = |label, peer| Operation {
        interface: 0,
        name: "deliver".to_owned(),
        class: Class::Deliver { label, peer },
        args: vec![],
        result: UNIT,
        budget: None,
        retries: 0,
    };
    image.operations = vec![told(PONG, server), told(PING, client)];
    let tell = |operation| Instruction::Invoke {
        operation: OperationId(operation),
        args: vec![],
        dst: Reg(2),
        on_failure: None,
    };
    image.programs[0].code.insert(2, tell(0));
    image.programs[1].code.insert(1, tell(1));
    verified(image)
}

fn verified(image: CodeImage) -> Arc<VerifiedImage> {
    match image.verify() {
        Ok(image) => Arc::new(image),
        Err(error) => unreachable!("a sample image verifies: {error}"),
    }
}

/// The image of [`ping_pong`] as data, with payloads of one of its sorts.
pub fn ping_pong_image(version: u32, payload: SortId) -> CodeImage {
    let (client, server) = (RoleId(0), RoleId(1));
    let (chan, val, choice) = (Reg(0), Reg(1), Reg(2));
    let branch = |label, sort, next| Transition {
        label,
        sort,
        next: StateId(next),
    };
    let operation = |name: &str, class, args: Vec<SortId>, result| Operation {
        interface: 0,
        name: name.to_owned(),
        class,
        args,
        result,
        budget: None,
        retries: 0,
    };
    let invoke = |operation, args: Vec<Reg>, dst| Instruction::Invoke {
        operation: OperationId(operation),
        args,
        dst,
        on_failure: None,
    };
    let decide = Class::Decide {
        labels: vec![PING, STOP],
        peer: server,
    };
    let produce = Class::Produce {
        label: PING,
        peer: server,
    };
    let told = |label, peer| Class::Deliver { label, peer };
    let arm = |label, target| Arm {
        label,
        val,
        target: Pc(target),
    };
    CodeImage {
        name: "PingPong".to_owned(),
        version,
        roles: vec![
            Role {
                name: "Client".to_owned(),
                automaton: Automaton {
                    states: vec![
                        State::Send {
                            to: server,
                            branches: vec![branch(PING, payload, 1), branch(STOP, UNIT, 2)],
                        },
                        State::Recv {
                            from: server,
                            branches: vec![branch(PONG, payload, 0)],
                        },
                        State::End,
                    ],
                },
            },
            Role {
                name: "Server".to_owned(),
                automaton: Automaton {
                    states: vec![
                        State::Recv {
                            from: client,
                            branches: vec![branch(PING, payload, 1), branch(STOP, UNIT, 2)],
                        },
                        State::Send {
                            to: client,
                            branches: vec![branch(PONG, payload, 0)],
                        },
                        State::End,
                    ],
                },
            },
        ],
        labels: vec!["ping".to_owned(), "pong".to_owned(), "stop".to_owned()],
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Bytes,
            Sort::Arm(vec![PING, STOP]),
        ],
        interfaces: vec![Interface {
            name: "host".to_owned(),
            version: 1,
        }],
        operations: vec![
            operation("decide", decide, vec![], ARMS),
            operation("produce", produce, vec![], payload),
            operation("deliver", told(PONG, server), vec![payload], UNIT),
            operation("deliver", told(PING, client), vec![payload], UNIT),
            operation("deliver", told(STOP, client), vec![], UNIT),
        ],
        programs: vec![
            Program {
                name: "Client".to_owned(),
                registers: 4,
                code: vec![
                    invoke(0, vec![], choice),
                    Instruction::Branch {
                        cond: choice,
                        table: vec![(u64::from(PING.0), Pc(2)), (u64::from(STOP.0), Pc(7))],
                    },
                    invoke(1, vec![], val),
                    Instruction::Offer {
                        chan,
                        selector: choice,
                        arms: vec![arm(PING, 4)],
                    },
                    Instruction::Receive {
                        chan,
                        label: PONG,
                        dst: val,
                    },
                    invoke(2, vec![val], Reg(3)),
                    Instruction::Jump { target: Pc(0) },
                    Instruction::Set {
                        dst: val,
                        value: crate::Value::Unit,
                    },
                    Instruction::Offer {
                        chan,
                        selector: choice,
                        arms: vec![arm(STOP, 9)],
                    },
                    Instruction::Halt,
                ],
            },
            Program {
                name: "Server".to_owned(),
                registers: 3,
                code: vec![
                    Instruction::Choose {
                        chan,
                        dst: val,
                        table: vec![(PING, Pc(1)), (STOP, Pc(4))],
                    },
                    invoke(3, vec![val], choice),
                    Instruction::Send {
                        chan,
                        label: PONG,
                        val,
                    },
                    Instruction::Jump { target: Pc(0) },
                    invoke(4, vec![], choice),
                    Instruction::Halt,
                ],
            },
        ],
    }
}
