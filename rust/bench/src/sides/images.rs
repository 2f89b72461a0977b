//! The images of the contests, for Antiphon's sides.

use std::sync::Arc;

use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::build::{self, A, B, choose, from, go, jump, names, receive, role, send, to};
use antiphon_machine::{CodeImage, LabelId, RoleId, Sort, SortId, VerifiedImage, sample};

use super::prepared::Absent;
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

/// The sort of every payload of the images without hosts.
const UNIT: SortId = SortId(0);

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
    let labels = || (0..ARMS as u16).map(LabelId);
    let any = || labels().map(|label| go(label, UNIT, 1));
    let ack = || [go(ACK, UNIT, 0)];
    // After the last label, the first follows again.
    let send_one = |label: LabelId| {
        let next = (u32::from(label.0) + 1) % ARMS as u32 * 3;
        [send(label, 1), receive(ACK, 1), jump(next)]
    };
    let to_any: Vec<_> = labels().map(|label| (label, 1)).collect();
    let client = labels().flat_map(send_one);
    let server = [choose(1, &to_any), send(ACK, 1), jump(0)];
    verified(CodeImage {
        labels: names(["north", "east", "south", "west", "ack"]),
        sorts: vec![Sort::Unit],
        ..build::image(
            "Chosen",
            [
                role("Client", 2, client, [to(B, any()), from(B, ack())]),
                role("Server", 2, server, [from(A, any()), to(A, ack())]),
            ],
        )
    })
}

/// A token passed around the ring without host calls, like [`sample::bare_ping_pong`].
fn ring() -> Result<Arc<VerifiedImage>, Absent> {
    const TOKEN: LabelId = LabelId(0);
    let at = |n: usize| RoleId((n % RING) as u16);
    let roles = (0..RING).map(|n| {
        let send_on = |next| to(at(n + 1), [go(TOKEN, UNIT, next)]);
        let receive_from = |next| from(at(n + RING - 1), [go(TOKEN, UNIT, next)]);
        let (send, receive) = (send(TOKEN, 1), receive(TOKEN, 1));
        let name = format!("R{n}");
        match n {
            0 => role(
                &name,
                2,
                [send, receive, jump(0)],
                [send_on(1), receive_from(0)],
            ),
            _ => role(
                &name,
                2,
                [receive, send, jump(0)],
                [receive_from(1), send_on(0)],
            ),
        }
    });
    verified(CodeImage {
        labels: names(["token"]),
        sorts: vec![Sort::Unit],
        ..build::image("Ring", roles)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of different commits compare only if the images are the same.
    #[test]
    fn the_images_keep_their_digests() {
        let digest = |image: Result<Arc<VerifiedImage>, Absent>| match image {
            Ok(image) => image.digest().map(|byte| format!("{byte:02x}")).concat(),
            Err(Absent(reason)) => reason,
        };
        let choice = "2c99fd3ef8b3007b6d326cc7c1899d06a4984e89b41c35752de53fe3ed560433";
        let ring_digest = "3af6ab50444f4be79d726b2eaa8e67acea4b0895ebfc0c24c269bb9dcf4f651d";
        assert_eq!(
            [digest(choice_without_hosts()), digest(ring())],
            [choice, ring_digest]
        );
    }
}
