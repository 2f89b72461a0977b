//! Finding the answers to this host's `hello` and `ping` on a line that another host has used
//! before.
//!
//! A virtual machine's port keeps no connections apart: what the guest still had to send to the
//! host before may come first, answers to the `hello`s of that host among it, and it may begin in
//! the middle of a message. So until the handshake is over, bytes are searched for answers wherever
//! they begin, and everything else is passed over. `greet` says how a host knows its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use antiphon_wire::{Envelope, HEADER_LEN, HelloErr, HelloOk, Message, VersionRange};

/// The longest answer that is found, in bytes: versions, a system's name and some features need a
/// tenth of it. It bounds what is held, and what can be mistaken for the length of an answer.
pub(crate) const ANSWER_LEN_MAX: usize = 4096;

/// An answer that was found on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An answer to some `hello`.
    Answer(HelloOk),
    /// A refusal of some `hello`.
    Refusal(HelloErr),
    /// The answer to the ping that was awaited: what follows on the line is for this host.
    Pong,
}

/// The id of the ping whose answer ends the search, shared by the thread that greets and the one
/// that reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited(Arc<AtomicU32>);

/// No ping is awaited.
const NONE: u32 = 0;

/// The answer was found.
const FOUND: u32 = u32::MAX;

impl Awaited {
    /// Awaits the answer to this ping, which is neither 0 nor the highest number.
    pub(crate) fn await_ping(&self, id: u32) {
        self.0.store(id, Ordering::Release);
    }

    /// Awaits none any more. `false` if the answer was found already: then the search is over.
    pub(crate) fn withdraw(&self) -> bool {
        let withdraw = |id| (id != FOUND).then_some(NONE);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.fetch_update(set, fetch, withdraw).is_ok()
    }

    /// Whether this is the awaited answer; if so, the search is over.
    fn finds(&self, id: u32) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let is_ping = id != NONE && id != FOUND;
        is_ping && self.0.compare_exchange(id, FOUND, set, fetch).is_ok()
    }
}

/// Holds what may be the beginning of an answer.
#[derive(Debug, Default)]
pub(crate) struct Seeker {
    held: Vec<u8>,
    awaited: Awaited,
}

impl Seeker {
    pub(crate) fn new(awaited: Awaited) -> Seeker {
        Seeker {
            held: Vec::new(),
            awaited,
        }
    }

    /// Takes bytes off the line and gives what is found in them. After [`Found::Pong`] the bytes
    /// that follow it are left, see [`rest`](Self::rest).
    ///
    /// At most [`ANSWER_LEN_MAX`] bytes and a header are searched again with each push.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.held.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut start = 0;
        while start < self.held.len() {
            let Some((what, len)) = self.found_at(start) else {
                start += 1;
                continue;
            };
            self.held.drain(..start + len);
            start = 0;
            let is_over = what == Found::Pong;
            found.push(what);
            if is_over {
                return found;
            }
        }
        let useless = self.held.len().saturating_sub(HEADER_LEN + ANSWER_LEN_MAX);
        self.held.drain(..useless);
        found
    }

    /// What follows the answer to the ping.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.held
    }

    /// The answer that begins there, and how long it is.
    fn found_at(&self, start: usize) -> Option<(Found, usize)> {
        let rest = self.held.get(start..)?;
        let (header, rest) = rest.split_first_chunk::<HEADER_LEN>()?;
        let len = usize::try_from(u32::from_be_bytes(*header)).ok()?;
        // Looked at first because it is cheap: an answer is short, and a map.
        if len > ANSWER_LEN_MAX || rest.first().is_none_or(|first| first >> 5 != 5) {
            return None;
        }
        let body = rest.get(..len)?;
        let envelope = Envelope::decode(body, VersionRange::SUPPORTED).ok()?;
        let found = match envelope.message {
            Message::HelloOk(answer) => Found::Answer(answer),
            Message::HelloErr(refusal) => Found::Refusal(refusal),
            Message::Pong(_) if self.awaited.finds(envelope.id) => Found::Pong,
            _ => return None,
        };
        Some((found, HEADER_LEN + len))
    }
}

#[cfg(test)]
mod tests {
    use antiphon_wire::{AgentLink, AgentOffer, Deframer, Empty, Features, HostLink, HostOffer};

    use super::*;

    /// An answer as an agent gives it.
    fn answer() -> Vec<u8> {
        let (mut hello, mut answer) = (Vec::new(), Vec::new());
        HostLink::new(HostOffer::default(), &mut hello).expect("a good offer");
        let mut deframer = Deframer::default();
        deframer.push(&hello);
        let hello = deframer
            .next()
            .expect("a good frame")
            .expect("a whole frame");
        let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1".to_owned());
        let _ready = AgentLink::new(offer)
            .receive(hello, &mut answer)
            .expect("a good hello");
        answer
    }

    fn pong(id: u32) -> Vec<u8> {
        let pong = Envelope::new(id, Message::Pong(Empty {}));
        pong.to_frame().expect("a frame")
    }

    #[test]
    fn an_answer_is_found_behind_anything_and_at_any_split() {
        let stale = Envelope::new(7, Message::Ping(Empty {}))
            .to_frame()
            .expect("a frame");
        // The end of a message, a whole one, what looks like a header, and a length beyond all
        // bounds.
        let before = [
            &stale[9..],
            &stale[..],
            &[0, 0, 0, 3, 0xa1, 0x61],
            &[0xff; 7][..],
            &[0; 5000],
        ];
        let (before, answer) = (before.concat(), answer());
        let (before_len, after) = (before.len(), &stale[..6]);
        let line = [&before[..], &answer, &pong(7), &answer, &pong(9), after].concat();
        // Splits in the zeros are all alike.
        let splits = (0..60).chain(before_len - 10..line.len() - after.len());
        for split in splits {
            let awaited = Awaited::default();
            awaited.await_ping(9);
            let mut seeker = Seeker::new(awaited);
            let mut found = seeker.push(&line[..split]);
            found.extend(seeker.push(&line[split..]));
            let [Found::Answer(one), Found::Answer(other), Found::Pong] = &found[..] else {
                panic!("{split}: {found:?}");
            };
            assert_eq!(one, other);
            assert_eq!(seeker.rest(), after, "{split}");
        }
    }

    #[test]
    fn a_ping_that_was_withdrawn_is_not_found() {
        let awaited = Awaited::default();
        let mut seeker = Seeker::new(awaited.clone());
        assert_eq!(seeker.push(&pong(9)), []);
        awaited.await_ping(9);
        assert!(awaited.withdraw());
        assert_eq!(seeker.push(&pong(9)), []);
        awaited.await_ping(10);
        assert_eq!(seeker.push(&pong(9)), []);
        assert_eq!(seeker.push(&pong(10)), [Found::Pong]);
        assert!(!awaited.withdraw(), "the search is over");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut seeker = Seeker::default();
        // Each looks like the header of the longest answer that is not there yet.
        let header = [0, 0, 0x10, 0, 0xa4];
        for _ in 0..4000 {
            assert_eq!(seeker.push(&header), []);
        }
        assert!(seeker.held.len() <= HEADER_LEN + ANSWER_LEN_MAX);
    }
}
