//! Finds the answers to this host's `hello` and `ping` on a line that another host used before.
//!
//! A virtual machine's port does not separate connections. The first bytes on the line can be
//! messages that the guest sent to the previous host, answers to that host's `hello`s among them,
//! and they can start in the middle of a message. Until the handshake is over, the received bytes
//! are therefore searched for an answer at every offset, and all other bytes are skipped. The
//! module `handshake` distinguishes this host's answers from those to other hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use antiphon_codec::scan::Major;
use antiphon_wire::{Envelope, HEADER_LEN, HelloErr, HelloOk, Message, VersionRange};

/// The longest answer that is found, in bytes. An answer has versions, a system's name and some
/// features, which take a tenth of this. It bounds the bytes that are kept, and the values that can
/// be mistaken for the length of an answer.
pub(crate) const ANSWER_LEN_MAX: usize = 4096;

/// An answer found on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An answer to a `hello`, of this host or another.
    Answer(HelloOk),
    /// A refusal of a `hello`, of this host or another.
    Refusal(HelloErr),
    /// The answer to the awaited ping: all bytes after it are for this host.
    Pong,
}

/// The id of the ping whose answer ends the search. Shared by the thread that performs the
/// handshake and the thread that reads the line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited(Arc<AtomicU32>);

/// No ping is awaited.
const NONE: u32 = 0;

/// The answer was found.
const FOUND: u32 = u32::MAX;

impl Awaited {
    /// Awaits the answer to this ping, whose id is neither 0 nor `u32::MAX`.
    pub(crate) fn await_ping(&self, id: u32) {
        self.0.store(id, Ordering::Release);
    }

    /// Stops awaiting a ping. Returns `false` if its answer has been found already, which has ended
    /// the search.
    pub(crate) fn withdraw(&self) -> bool {
        let withdraw = |id| (id != FOUND).then_some(NONE);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.fetch_update(set, fetch, withdraw).is_ok()
    }

    /// Whether this is the id of the awaited ping; if so, the search ends.
    fn finds(&self, id: u32) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let is_ping = id != NONE && id != FOUND;
        is_ping && self.0.compare_exchange(id, FOUND, set, fetch).is_ok()
    }
}

/// Searches the line. Keeps the bytes that can be the start of an answer.
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

    /// Searches more bytes of the line and returns the answers found. The search ends with
    /// [`Found::Pong`]; [`rest`](Self::rest) returns the bytes after it.
    ///
    /// Each push searches at most [`ANSWER_LEN_MAX`] bytes and a header again.
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

    /// The bytes after the answer to the ping.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.held
    }

    /// The answer that starts at this offset, and its length in bytes.
    fn found_at(&self, start: usize) -> Option<(Found, usize)> {
        let rest = self.held.get(start..)?;
        let (header, rest) = rest.split_first_chunk::<HEADER_LEN>()?;
        let len = usize::try_from(u32::from_be_bytes(*header)).ok()?;
        // A cheap test first: an answer is short, and a map.
        if len > ANSWER_LEN_MAX || !is_map(rest) {
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

fn is_map(item: &[u8]) -> bool {
    item.first()
        .is_some_and(|first| Major::of(*first) == Major::Map)
}

#[cfg(test)]
mod tests {
    use antiphon_wire::{AgentLink, AgentOffer, Deframer, Empty, Features, HostLink, HostOffer};

    use super::*;

    /// An agent's answer to a `hello`.
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
    fn finds_answers_after_other_bytes_at_any_split() {
        let stale = Envelope::new(7, Message::Ping(Empty {}))
            .to_frame()
            .expect("a frame");
        // The end of a message, a whole message, bytes that look like a header, and a length over
        // the limit.
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
        // All splits within the zeros are equivalent.
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
    fn does_not_find_a_withdrawn_ping() {
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
    fn the_bytes_kept_are_bounded() {
        let mut seeker = Seeker::default();
        // Each looks like the header of an answer of the maximum length.
        let header = [0, 0, 0x10, 0, 0xa4];
        for _ in 0..4000 {
            assert_eq!(seeker.push(&header), []);
        }
        assert!(seeker.held.len() <= HEADER_LEN + ANSWER_LEN_MAX);
    }
}
