//! Finding the answer to a `hello` on a line that another host has used before.
//!
//! A virtual machine's port keeps no connections apart: what the guest still had to say to the host
//! before may come first, and may begin in the middle of a message. So until there is an answer,
//! bytes are looked through for one wherever it begins, and nothing before it counts.

use antiphon_wire::{Envelope, HEADER_LEN, Message, VersionRange};

/// The longest answer that is found, in bytes: versions, a system's name and some features need a
/// tenth of it. It bounds what is held, and what can be mistaken for the length of an answer.
pub(crate) const ANSWER_LEN_MAX: usize = 4096;

/// Holds what may be the beginning of an answer.
#[derive(Debug, Default)]
pub(crate) struct Seeker {
    held: Vec<u8>,
}

impl Seeker {
    /// Takes bytes off the line; gives those from the first answer on, once it is there in full.
    ///
    /// At most [`ANSWER_LEN_MAX`] bytes and a header are looked at again with each push.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        let starts = 0..self.held.len();
        if let Some(start) = starts.into_iter().find(|start| self.answers_at(*start)) {
            self.held.drain(..start);
            return Some(std::mem::take(&mut self.held));
        }
        let useless = self.held.len().saturating_sub(HEADER_LEN + ANSWER_LEN_MAX);
        self.held.drain(..useless);
        None
    }

    fn answers_at(&self, start: usize) -> bool {
        let rest = self.held.get(start..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_LEN>() else {
            return false;
        };
        let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        // Looked at first because it is cheap: an answer is short, and a map.
        if len > ANSWER_LEN_MAX || rest.first().is_none_or(|first| first >> 5 != 5) {
            return false;
        }
        let body = rest.get(..len).unwrap_or_default();
        Envelope::decode(body, VersionRange::SUPPORTED).is_ok_and(|envelope| {
            matches!(envelope.message, Message::HelloOk(_) | Message::HelloErr(_))
        })
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
        let line = [&before[..], &answer, after].concat();
        // Splits in the zeros are all alike.
        let splits = (0..60).chain(before_len - 10..line.len() - after.len());
        for split in splits {
            let mut seeker = Seeker::default();
            assert_eq!(seeker.push(&line[..split]), None, "{split}");
            let found = seeker.push(&line[split..]).expect("it is there");
            assert_eq!(found, [&answer[..], after].concat(), "{split}");
        }
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut seeker = Seeker::default();
        // Each looks like the header of the longest answer that is not there yet.
        let header = [0, 0, 0x10, 0, 0xa4];
        for _ in 0..4000 {
            assert_eq!(seeker.push(&header), None);
        }
        assert!(seeker.held.len() <= HEADER_LEN + ANSWER_LEN_MAX);
    }
}
