//! Compares one track of both recordings: pairs equal items and finds where they part.

use std::collections::{BTreeMap, VecDeque};

use antiphon_machine::{Fault, VerifiedImage};

use super::feed::{Item, Piece, Sent, What};
use super::render;

/// Equal items before a difference that are shown.
const BEFORE_MAX: usize = 4;

/// The streams of an edge, by the variant of a piece.
type Key = Option<u64>;

/// The stream of `stdin_data`, the input of a command.
const INPUT: Key = None;

/// The label that ends the input of a command, as the guest link names it.
const INPUT_END: &str = "stdin_eof";

/// The label that follows the end of a command, as the guest link names it.
const COMMAND_END: &str = "detach";

/// The part of one recording that has not been paired with the other yet.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Pieces of the streams of the current run.
    run: BTreeMap<Key, VecDeque<Piece>>,
    /// The items after the current run: the first item is not a piece of it.
    later: VecDeque<Item>,
    pub(super) weight: u64,
}

/// A run of a stream, as far as it was equal.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) len: u64,
    /// Its last bytes.
    pub(super) last: Vec<u8>,
}

/// A track of both recordings.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) halves: [Half; 2],
    runs: BTreeMap<Key, Run>,
    /// The last equal items as text.
    pub(super) before: VecDeque<String>,
    /// The number of equal calls so far.
    pub(super) calls: u64,
}

/// The numbers of equal items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) messages: u64,
    pub(super) calls: u64,
    pub(super) sessions: u64,
}

/// Where two tracks part. `None` in place of an item: there is nothing more.
#[derive(Debug)]
pub(super) enum Parted {
    /// Items that are not the same.
    Items([Option<Item>; 2]),
    /// The same message at other clocks.
    Clocks([Item; 2]),
    /// Streams, at this many bytes from the beginning of the run.
    Run { key: Key, run: Run },
}

impl Half {
    pub(super) fn push(&mut self, item: Item) {
        self.weight += item.weight();
        self.later.push_back(item);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.later.is_empty() && !self.has_bytes()
    }

    fn has_bytes(&self) -> bool {
        self.run.values().any(|pieces| !pieces.is_empty())
    }

    /// Moves the pieces of the current run to it and drops pieces without bytes.
    pub(super) fn open(&mut self) {
        while let Some(item) = self.later.pop_front() {
            let weight = item.weight();
            match item.what {
                What::Piece(piece) if piece.bytes.is_empty() => {
                    self.weight = self.weight.saturating_sub(weight);
                }
                What::Piece(piece) => {
                    self.run.entry(piece.stream).or_default().push_back(piece);
                }
                what => {
                    let clock = item.clock;
                    self.later.push_front(Item { clock, what });
                    return;
                }
            }
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.later.pop_front()?;
        self.weight = self.weight.saturating_sub(item.weight());
        Some(item)
    }

    /// The first stream of the run that has bytes left.
    fn first_key(&self) -> Option<Key> {
        let mut left = self.run.iter().filter(|(_, pieces)| !pieces.is_empty());
        left.next().map(|(key, _)| *key)
    }

    /// The first piece of a stream that is left.
    pub(super) fn piece(&self, key: Key) -> Option<&Piece> {
        self.run.get(&key)?.front()
    }

    /// So many bytes of a stream that are left, at most, and whether the run goes on behind them.
    pub(super) fn bytes(&self, key: Key, max: usize) -> (Vec<u8>, bool) {
        let mut found = Vec::new();
        for piece in self.run.get(&key).into_iter().flatten() {
            let rest = &piece.bytes[piece.at..];
            let room = max - found.len();
            found.extend_from_slice(&rest[..rest.len().min(room)]);
            if rest.len() > room {
                return (found, true);
            }
        }
        (found, false)
    }

    /// The item after the run.
    pub(super) fn next_item(&self) -> Option<&Item> {
        self.later.front()
    }

    /// Whether the next item is a message with this label.
    fn is_at(&self, image: Option<&VerifiedImage>, label: &str) -> bool {
        match (image, self.later.front()) {
            (Some(image), Some(Item { what, .. })) => {
                matches!(what, What::Message(sent) if image.label_name(sent.label) == label)
            }
            (None, _) | (_, None) => false,
        }
    }

    /// Whether the input was cut off by the end of the command: all of its bytes were compared, and
    /// the message that follows the end of the command is next.
    fn is_cut_off(&self, image: Option<&VerifiedImage>) -> bool {
        self.piece(INPUT).is_none() && self.is_at(image, COMMAND_END)
    }

    /// Drops the input that comes next, and its end.
    fn drop_input(&mut self, image: Option<&VerifiedImage>) {
        loop {
            self.open();
            for piece in self.run.remove(&INPUT).into_iter().flatten() {
                let (clock, what) = (piece.clock, What::Piece(piece));
                self.weight = self.weight.saturating_sub(Item { clock, what }.weight());
            }
            if !self.is_at(image, INPUT_END) {
                return;
            }
            self.pop();
        }
    }
}

impl Lane {
    /// About how many bytes of each recording wait here.
    pub(super) fn weights(&self) -> [u64; 2] {
        self.halves.each_ref().map(|half| half.weight)
    }

    /// Compares what both recordings have of the track, and forgets what is equal.
    pub(super) fn settle(
        &mut self,
        image: Option<&VerifiedImage>,
        has_time: bool,
        found: &mut Found,
    ) -> Result<(), Box<Parted>> {
        loop {
            self.halves.iter_mut().for_each(Half::open);
            self.match_runs(image, has_time)?;
            self.drop_late_input(image);
            let [left, right] = &self.halves;
            // A run that has ended in one recording and goes on in the other one is a difference.
            let keys = [left.first_key(), right.first_key()];
            let ended = [right.later.front().is_some(), left.later.front().is_some()];
            for (key, has_ended) in keys.into_iter().zip(ended) {
                if let Some(key) = key.filter(|_| has_ended) {
                    return Err(self.run_parted(key));
                }
            }
            if left.later.is_empty() || right.later.is_empty() {
                return Ok(());
            }
            self.end_runs(found);
            let [left, right] = &mut self.halves;
            let (Some(a), Some(b)) = (left.pop(), right.pop()) else {
                return Ok(());
            };
            if !same(&a.what, &b.what) {
                return Err(Box::new(Parted::Items([Some(a), Some(b)])));
            }
            if has_time && matches!(a.what, What::Message(_)) && a.clock != b.clock {
                return Err(Box::new(Parted::Clocks([a, b])));
            }
            self.matched(image, &a, found);
        }
    }

    /// Drops the input that one recording has behind the end of the command in the other one. How
    /// much is sent until then depends on the timing of the run.
    fn drop_late_input(&mut self, image: Option<&VerifiedImage>) {
        let [left, right] = &mut self.halves;
        if left.is_cut_off(image) {
            right.drop_input(image);
        }
        if right.is_cut_off(image) {
            left.drop_input(image);
        }
    }

    /// One recording has no more of the track: what the other one has is a difference, except for
    /// input where `is_cut_off`, which says that the session did not end by its protocol.
    pub(super) fn over(
        &mut self,
        side: usize,
        image: Option<&VerifiedImage>,
        is_cut_off: bool,
    ) -> Result<(), Box<Parted>> {
        if is_cut_off && self.halves[side].is_empty() {
            self.halves[1 - side].drop_input(image);
        }
        let other = &mut self.halves[1 - side];
        if let Some(key) = other.first_key() {
            return Err(self.run_parted(key));
        }
        match other.pop() {
            None => Ok(()),
            Some(item) if side == 0 => Err(Box::new(Parted::Items([None, Some(item)]))),
            Some(item) => Err(Box::new(Parted::Items([Some(item), None]))),
        }
    }

    /// The current run is over: each of its streams counts as a message.
    pub(super) fn end_runs(&mut self, found: &mut Found) {
        found.messages += self.runs.len() as u64;
        self.runs.clear();
        for half in &mut self.halves {
            half.run.clear();
        }
    }

    fn run_parted(&mut self, key: Key) -> Box<Parted> {
        let run = self.runs.remove(&key).unwrap_or_default();
        Box::new(Parted::Run { key, run })
    }

    fn match_runs(
        &mut self,
        image: Option<&VerifiedImage>,
        has_time: bool,
    ) -> Result<(), Box<Parted>> {
        let keys: Vec<Key> = self.halves[0].run.keys().copied().collect();
        for key in keys {
            while self.match_pieces(key, image, has_time)? {}
        }
        Ok(())
    }

    /// Compares as much as both first pieces have. `false`: one recording has none.
    fn match_pieces(
        &mut self,
        key: Key,
        image: Option<&VerifiedImage>,
        has_time: bool,
    ) -> Result<bool, Box<Parted>> {
        let [left, right] = &mut self.halves;
        let (Some(lefts), Some(rights)) = (left.run.get_mut(&key), right.run.get_mut(&key)) else {
            return Ok(false);
        };
        let (Some(a), Some(b)) = (lefts.front_mut(), rights.front_mut()) else {
            return Ok(false);
        };
        let run = self.runs.entry(key).or_default();
        let (rest, other) = (&a.bytes[a.at..], &b.bytes[b.at..]);
        let same = rest.iter().zip(other).take_while(|(a, b)| a == b).count();
        run.extend(&rest[..same]);
        let is_different = same < rest.len().min(other.len());
        a.at += same;
        b.at += same;
        if is_different {
            return Err(self.run_parted(key));
        }
        if has_time && a.clock != b.clock {
            let item = |piece: &Piece| Item {
                clock: piece.clock,
                what: What::Message(piece.sent.clone()),
            };
            return Err(Box::new(Parted::Clocks([item(a), item(b)])));
        }
        if a.at == a.bytes.len() {
            let text = render::message(image, &a.sent);
            remember(&mut self.before, text);
        }
        for half in [left, right] {
            let Some(pieces) = half.run.get_mut(&key) else {
                continue;
            };
            if pieces.front().is_some_and(|p| p.at == p.bytes.len())
                && let Some(piece) = pieces.pop_front()
            {
                let (clock, what) = (piece.clock, What::Piece(piece));
                half.weight = half.weight.saturating_sub(Item { clock, what }.weight());
            }
        }
        Ok(true)
    }

    fn matched(&mut self, image: Option<&VerifiedImage>, item: &Item, found: &mut Found) {
        match &item.what {
            What::Opened(_) => found.sessions += 1,
            What::Message(_) => found.messages += 1,
            What::Called { .. } => found.calls += 1,
            What::Piece(_)
            | What::Ended(_)
            | What::Answered { .. }
            | What::Failed { .. }
            | What::Faulted(_)
            | What::Ticks(_) => {}
        }
        if matches!(item.what, What::Called { .. }) {
            self.calls += 1;
        }
        remember(&mut self.before, render::item(image, &item.what));
    }
}

fn remember(before: &mut VecDeque<String>, text: String) {
    if before.len() == BEFORE_MAX {
        before.pop_front();
    }
    before.push_back(text);
}

impl Run {
    fn extend(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let new = &bytes[bytes.len().saturating_sub(render::CONTEXT)..];
        let room = (self.last.len() + new.len()).saturating_sub(render::CONTEXT);
        self.last.drain(..room.min(self.last.len()));
        self.last.extend_from_slice(new);
    }
}

fn same(a: &What, b: &What) -> bool {
    match (a, b) {
        (What::Opened(a), What::Opened(b)) => a.digest() == b.digest(),
        (What::Ended(a), What::Ended(b)) => a == b,
        (What::Message(a), What::Message(b)) => {
            let Sent { label, payload, .. } = b;
            a.label == *label && a.payload == *payload
        }
        (
            What::Called { operation, args },
            What::Called {
                operation: other,
                args: others,
            },
        ) => operation == other && args == others,
        (
            What::Answered { operation, result },
            What::Answered {
                operation: other,
                result: value,
            },
        ) => operation == other && result == value,
        (
            What::Failed {
                operation,
                kind,
                detail,
            },
            What::Failed {
                operation: other,
                kind: as_kind,
                detail: as_detail,
            },
        ) => operation == other && kind == as_kind && detail == as_detail,
        (What::Faulted(a), What::Faulted(b)) => same_fault(a, b),
        (What::Ticks(a), What::Ticks(b)) => a == b,
        (
            What::Opened(_)
            | What::Ended(_)
            | What::Message(_)
            | What::Piece(_)
            | What::Called { .. }
            | What::Answered { .. }
            | What::Failed { .. }
            | What::Faulted(_)
            | What::Ticks(_),
            _,
        ) => false,
    }
}

/// Compares faults without the number of a failed effect, which depends on how the effects of the
/// session interleave.
fn same_fault(a: &Fault, b: &Fault) -> bool {
    match (a, b) {
        (Fault::EffectFailed { kind, .. }, Fault::EffectFailed { kind: other, .. }) => {
            kind == other
        }
        (a, b) => a == b,
    }
}
