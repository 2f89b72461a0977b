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

/// [`CHOICE`] without host calls: the client's program sends the labels in turn.
fn choice_without_hosts() -> Result<Arc<VerifiedImage>, Absent> {
    const ACK: LabelId = LabelId(ARMS as u16);
    let (chan, val) = (Reg(0), Reg(1));
    let (client, server) = (RoleId(0), RoleId(1));
    let labels = || (0..ARMS as u16).map(LabelId);
    let go = |label, next| Transition {
        label,
        sort: SortId(0),
        next: StateId(next),
    };
    let any = || labels().map(|label| go(label, 1)).collect();
    let role = |name: &str, states| Role {
        name: name.to_owned(),
        automaton: Automaton { states },
    };
    let roles = vec![
        role(
            "Client",
            vec![
                State::Send {
                    to: server,
                    branches: any(),
                },
                State::Recv {
                    from: server,
                    branches: vec![go(ACK, 0)],
                },
            ],
        ),
        role(
            "Server",
            vec![
                State::Recv {
                    from: client,
                    branches: any(),
                },
                State::Send {
                    to: client,
                    branches: vec![go(ACK, 0)],
                },
            ],
        ),
    ];
    let ack = Instruction::Receive {
        chan,
        label: ACK,
        dst: val,
    };
    let jump = |pc| Instruction::Jump { target: Pc(pc) };
    // After the last label, the first follows again.
    let one = |label: LabelId| {
        let next = (u32::from(label.0) + 1) % ARMS as u32 * 3;
        let say = Instruction::Send { chan, label, val };
        [say, ack.clone(), jump(next)]
    };
    let says = labels().flat_map(one).collect();
    let answers = vec![
        Instruction::Choose {
            chan,
            dst: val,
            table: labels().map(|label| (label, Pc(1))).collect(),
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
    let names = ["north", "east", "south", "west", "ack"];
    verified(CodeImage {
        name: "Chosen".to_owned(),
        version: 1,
        roles,
        labels: names.map(str::to_owned).into(),
        sorts: vec![Sort::Unit],
        programs: vec![program("Client", says), program("Server", answers)],
        ..CodeImage::default()
    })
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
