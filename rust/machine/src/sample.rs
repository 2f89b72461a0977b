//! Small images for examples, tests and benches that do not need the compiler.

use std::sync::Arc;

use crate::build::{
    A as CLIENT, B as SERVER, END, HALT, branch, choose, from, go, image, interface, invoke, jump,
    names, offer, operation, receive, role, send, set, to,
};
use crate::ids::{LabelId, RoleId, SortId};
use crate::image::{Class, CodeImage, Instruction, Operation, Sort};
use crate::value::Value;
use crate::verify::VerifiedImage;

const UNIT: SortId = SortId(0);
const NAT: SortId = SortId(1);
const BYTES: SortId = SortId(2);
const DECISION: SortId = SortId(3);
const PING: LabelId = LabelId(0);
const PONG: LabelId = LabelId(1);
const STOP: LabelId = LabelId(2);

/// The client sends pings until it stops, and the server answers each with a pong that carries the
/// ping's number. The client's host decides between ping and stop and produces the numbers. Every
/// message is delivered to its receiver's host. `version` is the image's version, so that images
/// with different digests can be made.
pub fn ping_pong(version: u32) -> Arc<VerifiedImage> {
    verified(ping_pong_image(version, NAT))
}

/// As [`ping_pong`], with bytes for numbers.
pub fn ping_pong_bytes() -> Arc<VerifiedImage> {
    verified(ping_pong_image(1, BYTES))
}

/// Two roles that exchange units for ever, without host calls.
pub fn bare_ping_pong() -> Arc<VerifiedImage> {
    verified(endless_image(
        [send(PING, 1), receive(PONG, 1), jump(0)],
        [receive(PING, 1), send(PONG, 1), jump(0)],
    ))
}

/// As [`bare_ping_pong`], with each message delivered to its receiver's host. The compiler makes
/// this image of
/// `rec L { ping() from Client to Server; pong() from Server to Client; continue L; }`.
pub fn told_ping_pong() -> Arc<VerifiedImage> {
    let deliver = |row| invoke(row, &[], 2, None);
    verified(CodeImage {
        interfaces: vec![interface("host")],
        operations: vec![delivery(PONG, SERVER, &[]), delivery(PING, CLIENT, &[])],
        ..endless_image(
            [send(PING, 1), receive(PONG, 1), deliver(0), jump(0)],
            [receive(PING, 1), deliver(1), send(PONG, 1), jump(0)],
        )
    })
}

/// The image of [`ping_pong`] as data. Pings and pongs carry a payload of the sort `payload`, which
/// is a row of the image's sorts: unit, nat, bytes.
pub fn ping_pong_image(version: u32, payload: SortId) -> CodeImage {
    let request = || [go(PING, payload, 1), go(STOP, UNIT, 2)];
    let reply = || [go(PONG, payload, 0)];
    let client_states = [to(SERVER, request()), from(SERVER, reply()), END];
    let server_states = [from(CLIENT, request()), to(CLIENT, reply()), END];
    // Rows of `ping_pong_operations`, and registers.
    let (decide, produce, deliver_pong, deliver_ping, deliver_stop) = (0, 1, 2, 3, 4);
    let (val, choice, unit) = (1, 2, 3);
    let (ping, stop) = (u64::from(PING.0), u64::from(STOP.0));
    let client = [
        invoke(decide, &[], choice, None),
        branch(choice, &[(ping, 2), (stop, 7)]),
        invoke(produce, &[], val, None),
        offer(choice, &[(PING, val, 4)]),
        receive(PONG, val),
        invoke(deliver_pong, &[val], unit, None),
        jump(0),
        set(val, Value::Unit),
        offer(choice, &[(STOP, val, 9)]),
        HALT,
    ];
    let server = [
        choose(val, &[(PING, 1), (STOP, 4)]),
        invoke(deliver_ping, &[val], choice, None),
        send(PONG, val),
        jump(0),
        invoke(deliver_stop, &[], choice, None),
        HALT,
    ];
    let client = role("Client", 4, client, client_states);
    let server = role("Server", 3, server, server_states);
    CodeImage {
        version,
        labels: names(["ping", "pong", "stop"]),
        sorts: vec![
            Sort::Unit,
            Sort::Nat,
            Sort::Bytes,
            Sort::Arm(vec![PING, STOP]),
        ],
        interfaces: vec![interface("host")],
        operations: ping_pong_operations(payload),
        ..image("PingPong", [client, server])
    }
}

fn verified(image: CodeImage) -> Arc<VerifiedImage> {
    match image.verify() {
        Ok(image) => Arc::new(image),
        Err(error) => unreachable!("a sample image verifies: {error}"),
    }
}

/// The image of [`bare_ping_pong`] with these programs.
fn endless_image<const N: usize>(client: [Instruction; N], server: [Instruction; N]) -> CodeImage {
    let (ping, pong) = (|next| [go(PING, UNIT, next)], |next| [go(PONG, UNIT, next)]);
    let client_states = [to(SERVER, ping(1)), from(SERVER, pong(0))];
    let server_states = [from(CLIENT, ping(1)), to(CLIENT, pong(0))];
    let client = role("Client", 4, client, client_states);
    let server = role("Server", 3, server, server_states);
    CodeImage {
        labels: names(["ping", "pong"]),
        sorts: vec![Sort::Unit],
        ..image("PingPong", [client, server])
    }
}

/// The operations of [`ping_pong_image`].
fn ping_pong_operations(payload: SortId) -> Vec<Operation> {
    let peer = SERVER;
    let labels = vec![PING, STOP];
    vec![
        operation("decide", Class::Decide { labels, peer }, &[], DECISION),
        operation(
            "produce",
            Class::Produce { label: PING, peer },
            &[],
            payload,
        ),
        delivery(PONG, SERVER, &[payload]),
        delivery(PING, CLIENT, &[payload]),
        delivery(STOP, CLIENT, &[]),
    ]
}

/// The operation that delivers a message of this label from `peer` to the host.
fn delivery(label: LabelId, peer: RoleId, args: &[SortId]) -> Operation {
    operation("deliver", Class::Deliver { label, peer }, args, UNIT)
}
