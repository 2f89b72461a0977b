//! Compares a track of both recordings: pairs equal items and finds the first difference.

use std::collections::{BTreeMap, VecDeque};

use antiphon_machine::{Fault, VerifiedImage};

use super::feed::{Content, Item, Piece, Sent};
use super::render;

/// Equal items before a difference that are shown.
const BEFORE_MAX: usize = 4;

/// The streams of an edge, by the variant of a piece.
type Key = Option<u64>;

/// The stream of `stdin_data`, the input of a command.
const INPUT: Key = None;

/// The label of the guest link that ends the input of a command.
const INPUT_END: &str = "stdin_eof";

/// The label of the guest link that follows the end of a command.
const COMMAND_END: &str = "detach";

/// The items of one recording that have not been paired with items of the other yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The pieces of the current run, by stream.
    run: BTreeMap<Key, VecDeque<Piece>>,
    /// The items after the current run. The first item is not a piece of a stream.
    later: VecDeque<Item>,
    pub(super) weight: u64,
}

/// The equal part of a run of a stream.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) len: u64,
    /// Its last bytes.
    pub(super) last: Vec<u8>,
}

/// A track of both recordings.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) pending: [Pending; 2],
    runs: BTreeMap<Key, Run>,
    /// The last equal items as text, oldest first.
    pub(super) before: VecDeque<String>,
    /// Number of equal calls so far.
    pub(super) calls: u64,
}

/// Numbers of equal items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) calls: u64,
    pub(super) sessions: u64,
}

/// The first difference of two tracks. `None` in place of an item means that the track has ended.
#[derive(Debug)]
pub(super) enum Mismatch {
    /// Different items.
    Items([Option<Item>; 2]),
    /// Equal messages at different clocks.
    Clocks([Item; 2]),
    /// Different streams; `run` is their equal part.
    Run { key: Key, run: Run },
}

impl Pending {
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

    /// Moves the pieces at the front of `later` to the current run. Drops pieces without bytes.
    pub(super) fn open(&mut self) {
        while let Some(item) = self.later.pop_front() {
            let weight = item.weight();
            match item.content {
                Content::Piece(piece) if piece.bytes.is_empty() => {
                    self.weight = self.weight.saturating_sub(weight);
                }
                Content::Piece(piece) => {
                    self.run.entry(piece.stream).or_default().push_back(piece);
                }
                content => {
                    let clock = item.clock;
                    self.later.push_front(Item { clock, content });
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

    /// The first stream of the run with bytes left.
    fn first_key(&self) -> Option<Key> {
        let mut left = self.run.iter().filter(|(_, pieces)| !pieces.is_empty());
        left.next().map(|(key, _)| *key)
    }

    /// The first piece left of a stream.
    pub(super) fn piece(&self, key: Key) -> Option<&Piece> {
        self.run.get(&key)?.front()
    }

    /// The bytes left of a stream, at most `max`, and whether the run has more.
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
            (Some(image), Some(Item { content, .. })) => {
                matches!(content, Content::Message(sent) if image.label_name(sent.label) == label)
            }
            (None, _) | (_, None) => false,
        }
    }

    /// Whether the end of the command stopped the input: all its bytes were compared, and the next
    /// message is the one that follows the end of the command.
    fn is_cut_off(&self, image: Option<&VerifiedImage>) -> bool {
        self.piece(INPUT).is_none() && self.is_at(image, COMMAND_END)
    }

    /// Drops the input at the front, with its end.
    fn drop_input(&mut self, image: Option<&VerifiedImage>) {
        loop {
            self.open();
            for piece in self.run.remove(&INPUT).into_iter().flatten() {
                let (clock, content) = (piece.clock, Content::Piece(piece));
                self.weight = self.weight.saturating_sub(Item { clock, content }.weight());
            }
            if !self.is_at(image, INPUT_END) {
                return;
            }
            self.pop();
        }
    }
}

impl Lane {
    /// The approximate number of bytes of each recording that wait here.
    pub(super) fn weights(&self) -> [u64; 2] {
        self.pending.each_ref().map(|pending| pending.weight)
    }

    /// Compares the items that both recordings have, and drops equal ones.
    pub(super) fn settle(
        &mut self,
        image: Option<&VerifiedImage>,
        has_time: bool,
        found: &mut Counts,
    ) -> Result<(), Box<Mismatch>> {
        loop {
            self.pending.iter_mut().for_each(Pending::open);
            self.match_runs(image, has_time)?;
            self.drop_late_input(image);
            let [left, right] = &self.pending;
            // A run that has ended in one recording and continues in the other is a difference.
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
            let [left, right] = &mut self.pending;
            let (Some(a), Some(b)) = (left.pop(), right.pop()) else {
                return Ok(());
            };
            if !same(&a.content, &b.content) {
                return Err(Box::new(Mismatch::Items([Some(a), Some(b)])));
            }
            if has_time && matches!(a.content, Content::Message(_)) && a.clock != b.clock {
                return Err(Box::new(Mismatch::Clocks([a, b])));
            }
            self.matched(image, &a, found);
        }
    }

    /// Drops the input that one recording has after the end of the command in the other. How much
    /// is sent before that depends on timing.
    fn drop_late_input(&mut self, image: Option<&VerifiedImage>) {
        let [left, right] = &mut self.pending;
        if left.is_cut_off(image) {
            right.drop_input(image);
        }
        if right.is_cut_off(image) {
            left.drop_input(image);
        }
    }

    /// Handles the end of the track in one recording. Items left in the other are a difference. If
    /// `is_cut_off`, the session ended before its protocol did, and input is not a difference.
    pub(super) fn over(
        &mut self,
        side: usize,
        image: Option<&VerifiedImage>,
        is_cut_off: bool,
    ) -> Result<(), Box<Mismatch>> {
        if is_cut_off && self.pending[side].is_empty() {
            self.pending[1 - side].drop_input(image);
        }
        let other = &mut self.pending[1 - side];
        if let Some(key) = other.first_key() {
            return Err(self.run_parted(key));
        }
        match other.pop() {
            None => Ok(()),
            Some(item) if side == 0 => Err(Box::new(Mismatch::Items([None, Some(item)]))),
            Some(item) => Err(Box::new(Mismatch::Items([Some(item), None]))),
        }
    }

    /// Ends the current run; each of its streams counts as one message.
    pub(super) fn end_runs(&mut self, found: &mut Counts) {
        found.messages += self.runs.len() as u64;
        self.runs.clear();
        for pending in &mut self.pending {
            pending.run.clear();
        }
    }

    fn run_parted(&mut self, key: Key) -> Box<Mismatch> {
        let run = self.runs.remove(&key).unwrap_or_default();
        Box::new(Mismatch::Run { key, run })
    }

    fn match_runs(
        &mut self,
        image: Option<&VerifiedImage>,
        has_time: bool,
    ) -> Result<(), Box<Mismatch>> {
        let keys: Vec<Key> = self.pending[0].run.keys().copied().collect();
        for key in keys {
            while self.match_pieces(key, image, has_time)? {}
        }
        Ok(())
    }

    /// Compares the bytes that both first pieces have. `false` if a recording has no piece.
    fn match_pieces(
        &mut self,
        key: Key,
        image: Option<&VerifiedImage>,
        has_time: bool,
    ) -> Result<bool, Box<Mismatch>> {
        let [left, right] = &mut self.pending;
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
                content: Content::Message(piece.sent.clone()),
            };
            return Err(Box::new(Mismatch::Clocks([item(a), item(b)])));
        }
        if a.at == a.bytes.len() {
            let text = render::message(image, &a.sent);
            remember(&mut self.before, text);
        }
        for pending in [left, right] {
            let Some(pieces) = pending.run.get_mut(&key) else {
                continue;
            };
            if pieces.front().is_some_and(|p| p.at == p.bytes.len())
                && let Some(piece) = pieces.pop_front()
            {
                let (clock, content) = (piece.clock, Content::Piece(piece));
                pending.weight = pending
                    .weight
                    .saturating_sub(Item { clock, content }.weight());
            }
        }
        Ok(true)
    }

    fn matched(&mut self, image: Option<&VerifiedImage>, item: &Item, found: &mut Counts) {
        match &item.content {
            Content::Opened(_) => found.sessions += 1,
            Content::Message(_) => found.messages += 1,
            Content::Called { .. } => found.calls += 1,
            Content::Piece(_)
            | Content::Ended(_)
            | Content::Answered { .. }
            | Content::Failed { .. }
            | Content::Faulted(_)
            | Content::Ticks(_) => {}
        }
        if matches!(item.content, Content::Called { .. }) {
            self.calls += 1;
        }
        remember(&mut self.before, render::item(image, &item.content));
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

fn same(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (Content::Opened(a), Content::Opened(b)) => a.digest() == b.digest(),
        (Content::Ended(a), Content::Ended(b)) => a == b,
        (Content::Message(a), Content::Message(b)) => {
            let Sent { label, payload, .. } = b;
            a.label == *label && a.payload == *payload
        }
        (
            Content::Called { operation, args },
            Content::Called {
                operation: other,
                args: others,
            },
        ) => operation == other && args == others,
        (
            Content::Answered { operation, result },
            Content::Answered {
                operation: other,
                result: value,
            },
        ) => operation == other && result == value,
        (
            Content::Failed {
                operation,
                kind,
                detail,
            },
            Content::Failed {
                operation: other,
                kind: as_kind,
                detail: as_detail,
            },
        ) => operation == other && kind == as_kind && detail == as_detail,
        (Content::Faulted(a), Content::Faulted(b)) => same_fault(a, b),
        (Content::Ticks(a), Content::Ticks(b)) => a == b,
        (
            Content::Opened(_)
            | Content::Ended(_)
            | Content::Message(_)
            | Content::Piece(_)
            | Content::Called { .. }
            | Content::Answered { .. }
            | Content::Failed { .. }
            | Content::Faulted(_)
            | Content::Ticks(_),
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
