//! The images of the contests, for Antiphon's sides.

use std::sync::Arc;

use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::{
    Automaton, CodeImage, Instruction, LabelId, Pc, Program, Reg, Role, RoleId, Sort, SortId,
    State, StateId, Transition, VerifiedImage, sample,
};

use super::Absent;
use crate::contest::{ARMS, Contest, Exchange, RING};

/// One of four labels and an acknowledgement, forever.
const CHOICE: &str = "
    global protocol Choices(role Client, role Server) {
      rec Loop {
        choice at Client {
          north() from Client to Server; ack() from Server to Client; continue Loop;
        } or {
          east() from Client to Server; ack() from Server to Client; continue Loop;
        } or {
          south() from Client to Server; ack() from Server to Client; continue Loop;
        } or {
          west() from Client to Server; ack() from Server to Client; continue Loop;
        }
      }
    }";

/// The contest's image, and the number of steps that two messages take.
pub(super) fn image(contest: &Contest) -> Result<(Arc<VerifiedImage>, u64), Absent> {
    match (contest.exchange, contest.delivered) {
        (Exchange::PingPong, false) => Ok((sample::bare_ping_pong(), 8)),
        (Exchange::PingPong, true) => Ok((sample::told_ping_pong(), 10)),
        (Exchange::Ring, _) => Ok((ring()?, 8)),
        (Exchange::Choice, true) => Ok((compiled(CHOICE)?, 11)),
        (Exchange::Choice, false) => Ok((choice_without_hosts()?, 8)),
    }
}

fn compiled(text: &str) -> Result<Arc<VerifiedImage>, Absent> {
    let source = Source::new("bench.anti", text);
    let built = compile_source(source, &NoModules, &Limits::default())
        .map_err(|report| Absent(format!("{report:?}")))?;
    let (_, compiled) = built
        .protocols
        .first()
        .ok_or_else(|| Absent("a text without a protocol".to_owned()))?;
    verified(compiled.image.clone())
}

fn verified(image: CodeImage) -> Result<Arc<VerifiedImage>, Absent> {
    let verified = image.verify().map_err(|error| Absent(error.to_string()))?;
    Ok(Arc::new(verified))
}

/// The label of the server's message in [`choice_without_hosts`].
const ACK: LabelId = LabelId(ARMS as u16);

/// The labels of the client's messages in [`choice_without_hosts`].
fn choice_labels() -> impl Iterator<Item = LabelId> {
    (0..ARMS as u16).map(LabelId)
}

/// [`CHOICE`] without host calls: the client's program sends the labels in turn.
fn choice_without_hosts() -> Result<Arc<VerifiedImage>, Absent> {
    let names = ["north", "east", "south", "west", "ack"];
    verified(CodeImage {
        name: "Chosen".to_owned(),
        version: 1,
        roles: choice_roles(),
        labels: names.map(str::to_owned).into(),
        sorts: vec![Sort::Unit],
        programs: choice_programs(),
        ..CodeImage::default()
    })
}

fn choice_roles() -> Vec<Role> {
    let (client, server) = (RoleId(0), RoleId(1));
    let go = |label, next| Transition {
        label,
        sort: SortId(0),
        next: StateId(next),
    };
    let any = || choice_labels().map(|label| go(label, 1)).collect();
    let ack = || vec![go(ACK, 0)];
    let role = |name: &str, states| Role {
        name: name.to_owned(),
        automaton: Automaton { states },
    };
    let client_states = vec![
        State::Send {
            to: server,
            branches: any(),
        },
        State::Recv {
            from: server,
            branches: ack(),
        },
    ];
    let server_states = vec![
        State::Recv {
            from: client,
            branches: any(),
        },
        State::Send {
            to: client,
            branches: ack(),
        },
    ];
    vec![role("Client", client_states), role("Server", server_states)]
}

fn choice_programs() -> Vec<Program> {
    let (chan, val) = (Reg(0), Reg(1));
    let ack = Instruction::Receive {
        chan,
        label: ACK,
        dst: val,
    };
    let jump = |pc| Instruction::Jump { target: Pc(pc) };
    // After the last label, the first follows again.
    let send_one = |label: LabelId| {
        let next = (u32::from(label.0) + 1) % ARMS as u32 * 3;
        let send = Instruction::Send { chan, label, val };
        [send, ack.clone(), jump(next)]
    };
    let client = choice_labels().flat_map(send_one).collect();
    let server = vec![
        Instruction::Choose {
            chan,
            dst: val,
            table: choice_labels().map(|label| (label, Pc(1))).collect(),
        },
        Instruction::Send {
            chan,
            label: ACK,
            val,
        },
        jump(0),
    ];
    let program = |name: &str, code| Program {
        name: name.to_owned(),
        registers: 2,
        code,
    };
    vec![program("Client", client), program("Server", server)]
}

/// A token passed around the ring without host calls, like [`sample::bare_ping_pong`].
fn ring() -> Result<Arc<VerifiedImage>, Absent> {
    const TOKEN: LabelId = LabelId(0);
    let (chan, dst) = (Reg(0), Reg(1));
    let role = |n: usize| RoleId((n % RING) as u16);
    let roles = (0..RING).map(|n| {
        let go = |next| {
            vec![Transition {
                label: TOKEN,
                sort: SortId(0),
                next: StateId(next),
            }]
        };
        let send = |next| State::Send {
            to: role(n + 1),
            branches: go(next),
        };
        let receive = |next| State::Recv {
            from: role(n + RING - 1),
            branches: go(next),
        };
        let states = match n {
            0 => vec![send(1), receive(0)],
            _ => vec![receive(1), send(0)],
        };
        Role {
            name: format!("R{n}"),
            automaton: Automaton { states },
        }
    });
    let programs = (0..RING).map(|n| {
        let send = Instruction::Send {
            chan,
            label: TOKEN,
            val: dst,
        };
        let receive = Instruction::Receive {
            chan,
            label: TOKEN,
            dst,
        };
        let (first, second) = match n {
            0 => (send, receive),
            _ => (receive, send),
        };
        Program {
            name: format!("R{n}"),
            registers: 2,
            code: vec![first, second, Instruction::Jump { target: Pc(0) }],
        }
    });
    verified(CodeImage {
        name: "Ring".to_owned(),
        version: 1,
        roles: roles.collect(),
        labels: vec!["token".to_owned()],
        sorts: vec![Sort::Unit],
        programs: programs.collect(),
        ..CodeImage::default()
    })
}
