//! Compares the conversations of two recordings.
//!
//! Both are replayed side by side and compared track by track. A *track* is a sequence whose order
//! counts: the start and the end of a session, the messages of an edge, or the calls of a role. The
//! interleaving of tracks is ignored, and so is time.
//!
//! Timing also decides how much of a command's input is sent before the command ends. When one
//! recording is at `detach`, or its session has ended by a fault or a cancellation, further
//! `stdin_data` and the `stdin_eof` of the other recording are ignored. These labels are those of
//! the guest link's protocols.

mod feed;
mod headers;
mod lane;
mod render;
mod result;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use antiphon_machine::{End, RoleId, VerifiedImage, text};

use crate::describe;
use crate::error::ReplayError;
use crate::tail::Tail;
use feed::{Content, Feed, Item, Track, TrackKind};
use headers::notes;
use lane::{Counts, Lane, Mismatch};

/// The options of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareOptions {
    /// Whether the clock at each message and the advances of the clock are compared.
    pub time: bool,
    /// The approximate number of bytes of one recording that may wait to be compared with the other
    /// recording. When one recording is further ahead on a track, the comparison stops with
    /// [`Likeness::Undecided`].
    pub lookahead_max: u64,
}

impl Default for CompareOptions {
    /// Without time, and with 64 MiB: about a thousand messages of the largest default payload, or
    /// some hundred thousand small messages.
    fn default() -> Self {
        CompareOptions {
            time: false,
            lookahead_max: 64 << 20,
        }
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whether the conversations are equal.
    pub likeness: Likeness,
    /// Number of equal messages. A run of pieces of a stream counts as one message, even if one
    /// recording has more input after the end of the command in the other recording.
    pub messages: u64,
    /// Number of equal calls.
    pub calls: u64,
    /// Number of sessions that both recordings have.
    pub sessions: u64,
    /// Differences of the tool, the configuration, the source and the notes, which are ignored.
    pub notes: Vec<String>,
    /// How far the first recording was read.
    pub left: Extent,
    /// How far the second recording was read.
    pub right: Extent,
}

/// How far a recording was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of steps replayed.
    pub step: u64,
    /// How it ends; `None` if it was not read to its end.
    pub tail: Option<Tail>,
    /// Number of intact records.
    pub records: u64,
    /// Where its replay differs from the recorded run, if it does.
    pub divergence: Option<String>,
    /// Whether items were read that could not be compared, because the other recording is
    /// truncated.
    pub has_rest: bool,
}

/// The verdict of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Both are complete and equal.
    Equal,
    /// They are equal up to the place where a recording is truncated or damaged, or diverges: see
    /// [`Compared::left`] and [`Compared::right`].
    EqualUpTo,
    /// Their protocols differ.
    Protocols {
        /// The first session whose protocol differs.
        session: u32,
        /// The first recording's protocol.
        left: String,
        /// The second recording's protocol.
        right: String,
    },
    /// They differ.
    Different(Box<Parting>),
    /// The comparison stopped because one recording was too far ahead of the other.
    Undecided {
        /// The bound in bytes.
        lookahead_max: u64,
    },
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The session; `None` for the clock.
    pub session: Option<u32>,
    /// The place in the session.
    pub place: Place,
    /// The label or the operation, if both have the same; otherwise empty.
    pub name: String,
    /// The path to the part that differs, as in `exec_response.exit_code`; empty if the whole item
    /// differs.
    pub path: String,
    /// The first byte that differs, if texts or bytes differ. In a stream it is counted from the
    /// start of the run.
    pub offset: Option<u64>,
    /// The last equal items at the same place, oldest first.
    pub before: Vec<String>,
    /// The item of the first recording.
    pub left: String,
    /// The item of the second recording; never the same text as that of the first.
    pub right: String,
}

/// A place in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the messages from one role to another.
    Edge {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// The number of the first recording's message on the edge, from 0.
        left: Option<u64>,
        /// The number of the second recording's message.
        right: Option<u64>,
    },
    /// Among the calls of a role.
    Calls {
        /// The role's name, or the spawned coroutine.
        role: String,
        /// Number of equal calls before it.
        calls: u64,
    },
    /// At the start or the end of the session.
    Session,
    /// Among the advances of the clock.
    Clock,
}

/// Compares the messages and calls of two recordings.
///
/// Needs the memory of the two replayed machines, a bounded part of each recording, and the items
/// of one recording that wait for the other, which [`CompareOptions`] bounds. The recordings
/// determine how many steps the replays take.
///
/// # Errors
/// [`CompareError`] when a recording cannot be opened or read, or an image in it is invalid. Damage
/// and divergences are results.
pub fn compare(
    left: impl Read,
    right: impl Read,
    options: &CompareOptions,
) -> Result<Compared, CompareError> {
    let left = Feed::open(left, options.time).map_err(CompareError::Left)?;
    let right = Feed::open(right, options.time).map_err(CompareError::Right)?;
    let notes = notes(left.timeline.header(), right.timeline.header());
    let mut comparer = Comparer {
        left,
        right,
        options: *options,
        sides: [Side::default(), Side::default()],
        lanes: BTreeMap::new(),
        images: BTreeMap::new(),
        found: Counts::default(),
    };
    let likeness = comparer.run()?;
    let Counts {
        messages,
        calls,
        sessions,
    } = comparer.found;
    Ok(Compared {
        likeness,
        messages,
        calls,
        sessions,
        notes,
        left: extent(&comparer.left, &comparer.sides[0]),
        right: extent(&comparer.right, &comparer.sides[1]),
    })
}

/// Why two recordings could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The first recording cannot be opened or read, or an image in it is invalid.
    #[error("the first recording: {0}")]
    Left(#[source] ReplayError),
    /// The same for the second recording.
    #[error("the second recording: {0}")]
    Right(#[source] ReplayError),
}

fn extent<R: Read>(feed: &Feed<R>, side: &Side) -> Extent {
    Extent {
        step: feed.timeline.kernel().step_index(),
        tail: feed.timeline.tail().cloned(),
        records: feed.timeline.records(),
        divergence: feed.divergence.clone(),
        has_rest: side.waiting > 0,
    }
}

/// The progress of one recording.
#[derive(Debug, Default)]
struct Side {
    over: Over,
    /// Bytes that wait for the other recording.
    waiting: u64,
    /// Sessions that have ended in this recording but not in the other, and how they ended.
    ended: BTreeMap<u32, End>,
}

impl Side {
    /// Whether a session has ended in this recording before its protocol did.
    fn is_cut_off(&self, session: u32) -> bool {
        match self.ended.get(&session) {
            Some(End::Cancelled | End::Faulted) => true,
            Some(End::Closed) | None => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Over {
    /// The recording has not ended.
    #[default]
    No,
    /// The recording is complete.
    Whole,
    /// The recording is truncated, damaged or diverged, so its rest is not known.
    Cut,
}

struct Comparer<A, B> {
    left: Feed<A>,
    right: Feed<B>,
    options: CompareOptions,
    sides: [Side; 2],
    lanes: BTreeMap<Track, Lane>,
    images: BTreeMap<u32, Arc<VerifiedImage>>,
    found: Counts,
}

impl<A: Read, B: Read> Comparer<A, B> {
    fn run(&mut self) -> Result<Likeness, CompareError> {
        while let Some(side) = self.side() {
            let Some((track, item)) = self.next(side)? else {
                self.sides[side].over = self.how_it_ended(side);
                if self.sides[side].over == Over::Whole
                    && let Err((track, parted)) = self.over(side, None)
                {
                    return self.parted(track, *parted);
                }
                continue;
            };
            if let Err((track, parted)) = self.take(side, track, item) {
                return self.parted(track, *parted);
            }
            let waiting: u64 = self.sides.iter().map(|side| side.waiting).sum();
            if waiting > self.options.lookahead_max {
                let lookahead_max = self.options.lookahead_max;
                return Ok(Likeness::Undecided { lookahead_max });
            }
        }
        for lane in self.lanes.values_mut() {
            lane.end_runs(&mut self.found);
        }
        let is_whole = self.sides.iter().all(|side| side.over == Over::Whole);
        Ok(match is_whole {
            true => Likeness::Equal,
            false => Likeness::EqualUpTo,
        })
    }

    /// The recording to read next: the one with fewer waiting bytes. `None` if nothing is left to
    /// compare.
    fn side(&self) -> Option<usize> {
        let [left, right] = &self.sides;
        // The rest of the other recording cannot be compared with anything.
        let is_past = |side: &Side| side.over == Over::Cut && side.waiting == 0;
        match (left.over, right.over) {
            _ if is_past(left) || is_past(right) => None,
            (Over::No, Over::No) => Some(usize::from(left.waiting > right.waiting)),
            (Over::No, Over::Whole | Over::Cut) => Some(0),
            (Over::Whole | Over::Cut, Over::No) => Some(1),
            (Over::Whole | Over::Cut, Over::Whole | Over::Cut) => None,
        }
    }

    fn next(&mut self, side: usize) -> Result<Option<(Track, Item)>, CompareError> {
        match side {
            0 => self.left.next().map_err(CompareError::Left),
            _ => self.right.next().map_err(CompareError::Right),
        }
    }

    fn how_it_ended(&self, side: usize) -> Over {
        let (tail, divergence) = match side {
            0 => (self.left.timeline.tail(), &self.left.divergence),
            _ => (self.right.timeline.tail(), &self.right.divergence),
        };
        match tail {
            Some(Tail::Sealed) if divergence.is_none() => Over::Whole,
            Some(Tail::Sealed | Tail::Open | Tail::Torn { .. } | Tail::Damaged(_)) | None => {
                Over::Cut
            }
        }
    }

    fn take(
        &mut self,
        side: usize,
        track: Track,
        item: Item,
    ) -> Result<(), (Track, Box<Mismatch>)> {
        if let Content::Opened(image) = &item.content {
            let image = Arc::clone(image);
            self.images.entry(track.session).or_insert(image);
        }
        let end = match &item.content {
            Content::Ended(end) => Some(*end),
            Content::Opened(_)
            | Content::Message(_)
            | Content::Piece(_)
            | Content::Called { .. }
            | Content::Answered { .. }
            | Content::Failed { .. }
            | Content::Faulted(_)
            | Content::Ticks(_) => None,
        };
        let lane = self.lanes.entry(track).or_default();
        if self.sides[1 - side].over == Over::Cut && lane.pending[1 - side].is_empty() {
            return Ok(());
        }
        let before = lane.weights();
        lane.pending[side].push(item);
        let image = self.images.get(&track.session).map(AsRef::as_ref);
        let settled = lane.settle(image, self.options.time, &mut self.found);
        let after = lane.weights();
        for ((side, before), after) in self.sides.iter_mut().zip(before).zip(after) {
            side.waiting = (side.waiting + after).saturating_sub(before);
        }
        settled.map_err(|parted| (track, parted))?;
        let other = &self.sides[1 - side];
        if other.over == Over::Whole || other.ended.contains_key(&track.session) {
            self.track_over(1 - side, track)?;
        }
        match end {
            Some(end) => self.ended(side, track.session, end),
            None => Ok(()),
        }
    }

    /// Handles the end of a session in one recording. Further items of the session in the other
    /// recording are differences.
    fn ended(&mut self, side: usize, session: u32, end: End) -> Result<(), (Track, Box<Mismatch>)> {
        self.sides[side].ended.insert(session, end);
        self.over(side, Some(session))?;
        if self.sides[1 - side].ended.remove(&session).is_none() {
            return Ok(());
        }
        self.sides[side].ended.remove(&session);
        // The session has ended in both recordings, and all of its items were equal.
        let tracks: Vec<Track> = self.tracks(Some(session));
        for track in tracks {
            if let Some(mut lane) = self.lanes.remove(&track) {
                lane.end_runs(&mut self.found);
            }
        }
        self.images.remove(&session);
        Ok(())
    }

    /// Handles the end of one recording, or of a session in it.
    fn over(&mut self, side: usize, session: Option<u32>) -> Result<(), (Track, Box<Mismatch>)> {
        for track in self.tracks(session) {
            self.track_over(side, track)?;
        }
        Ok(())
    }

    /// Handles the end of a track in one recording.
    fn track_over(&mut self, side: usize, track: Track) -> Result<(), (Track, Box<Mismatch>)> {
        let Some(lane) = self.lanes.get_mut(&track) else {
            return Ok(());
        };
        let image = self.images.get(&track.session).map(AsRef::as_ref);
        let before = lane.weights();
        let is_cut_off = self.sides[side].is_cut_off(track.session);
        lane.over(side, image, is_cut_off)
            .map_err(|parted| (track, parted))?;
        let after = lane.weights();
        for ((side, before), after) in self.sides.iter_mut().zip(before).zip(after) {
            side.waiting = side.waiting.saturating_sub(before.saturating_sub(after));
        }
        Ok(())
    }

    fn tracks(&self, session: Option<u32>) -> Vec<Track> {
        let first = |session| Track {
            session,
            kind: TrackKind::Life,
        };
        let tracks = match session {
            Some(session) => {
                let end = session.saturating_add(1);
                self.lanes.range(first(session)..first(end))
            }
            None => self.lanes.range(first(0)..),
        };
        tracks.map(|(track, _)| *track).collect()
    }

    fn parted(&mut self, track: Track, parted: Mismatch) -> Result<Likeness, CompareError> {
        if let Mismatch::Items([Some(a), Some(b)]) = &parted
            && let (Content::Opened(a), Content::Opened(b)) = (&a.content, &b.content)
        {
            let (left, right) = protocols(a, b);
            let session = track.session;
            return Ok(Likeness::Protocols {
                session,
                left,
                right,
            });
        }
        if let Mismatch::Run { key, .. } = &parted {
            self.fill(track, *key)?;
        }
        let image = self.images.get(&track.session).cloned();
        let image = image.as_deref();
        let lane = self.lanes.entry(track).or_default();
        let numbers = numbers(&parted, lane);
        let before = lane.before.iter().cloned().collect();
        let calls = lane.calls;
        let rendered = match &parted {
            Mismatch::Items(items) => items_parted(image, items),
            Mismatch::Clocks(items) => clocks_parted(image, items),
            Mismatch::Run { key, run } => run_parted(image, lane, *key, run),
        };
        let place = match track.kind {
            TrackKind::Life => Place::Session,
            TrackKind::Clock => Place::Clock,
            TrackKind::Edge(edge) => {
                let ends = image.and_then(|image| image.edges().get(edge.index()).copied());
                let name = |role: Option<RoleId>| {
                    role.map_or_else(String::new, |role| text::line(&describe::role(image, role)))
                };
                let [left, right] = numbers;
                Place::Edge {
                    from: name(ends.map(|(from, _)| from)),
                    to: name(ends.map(|(_, to)| to)),
                    left,
                    right,
                }
            }
            TrackKind::Calls(coroutine) => {
                let role = RoleId(coroutine.0);
                let row = image.and_then(|image| image.image().roles.get(role.index()));
                let role = match row {
                    Some(row) => text::line(&row.name),
                    None => format!("spawned coroutine {coroutine}"),
                };
                Place::Calls { role, calls }
            }
        };
        Ok(Likeness::Different(Box::new(Parting {
            session: (track.kind != TrackKind::Clock).then_some(track.session),
            place,
            name: rendered.name,
            path: rendered.path,
            offset: rendered.offset,
            before,
            left: rendered.left,
            right: rendered.right,
        })))
    }

    /// Reads more items, to show the bytes after a difference of streams. The comparison is over,
    /// so items of other tracks are dropped.
    fn fill(&mut self, track: Track, key: Option<u64>) -> Result<(), CompareError> {
        /// Most items to read of each recording.
        const ITEMS_MAX: usize = 256;
        for side in 0..2 {
            for _ in 0..ITEMS_MAX {
                let pending = &self.lanes.entry(track).or_default().pending[side];
                let (bytes, _) = pending.bytes(key, render::AFTER + 1);
                let is_over = self.sides[side].over != Over::No || pending.next_item().is_some();
                if is_over || bytes.len() > render::AFTER {
                    break;
                }
                match self.next(side)? {
                    Some((found, item)) if found == track => {
                        let pending = &mut self.lanes.entry(track).or_default().pending[side];
                        pending.push(item);
                        pending.open();
                    }
                    Some(_) => {}
                    None => self.sides[side].over = self.how_it_ended(side),
                }
            }
        }
        Ok(())
    }
}

/// The names of both protocols. If these are equal, also the digests of the images.
fn protocols(left: &VerifiedImage, right: &VerifiedImage) -> (String, String) {
    let name = |image: &VerifiedImage| text::line(&image.image().name);
    let (a, b) = (name(left), name(right));
    if a != b {
        return (a, b);
    }
    let (left, right) = describe::digests(left.digest(), right.digest());
    (
        format!("{a} (image {left})"),
        format!("{b} (image {right})"),
    )
}

/// The numbers of the messages that differ.
fn numbers(parted: &Mismatch, lane: &Lane) -> [Option<u64>; 2] {
    let of_item = |item: Option<&Item>| match &item?.content {
        Content::Message(sent) => Some(sent.number),
        Content::Piece(piece) => Some(piece.sent.number),
        Content::Opened(_)
        | Content::Ended(_)
        | Content::Called { .. }
        | Content::Answered { .. }
        | Content::Failed { .. }
        | Content::Faulted(_)
        | Content::Ticks(_) => None,
    };
    match parted {
        Mismatch::Items([a, b]) => [of_item(a.as_ref()), of_item(b.as_ref())],
        Mismatch::Clocks([a, b]) => [of_item(Some(a)), of_item(Some(b))],
        Mismatch::Run { key, .. } => [0, 1].map(|side| {
            let pending = &lane.pending[side];
            let piece = pending.piece(*key).map(|piece| piece.sent.number);
            piece.or_else(|| of_item(pending.next_item()))
        }),
    }
}

const NOTHING: &str = "nothing more";

fn items_parted(image: Option<&VerifiedImage>, items: &[Option<Item>; 2]) -> render::Rendered {
    let text = |item: &Option<Item>| match item {
        Some(item) => render::item(image, &item.content),
        None => NOTHING.to_owned(),
    };
    match items {
        [Some(a), Some(b)] => render::difference(image, &a.content, &b.content),
        [a, b] => render::Rendered {
            left: text(a),
            right: text(b),
            ..render::Rendered::default()
        },
    }
}

fn clocks_parted(image: Option<&VerifiedImage>, items: &[Item; 2]) -> render::Rendered {
    let [left, right] = items.each_ref().map(|item| {
        let text = render::item(image, &item.content);
        format!("at clock {}: {text}", item.clock)
    });
    render::Rendered {
        path: "clock".to_owned(),
        left,
        right,
        ..render::Rendered::default()
    }
}

fn run_parted(
    image: Option<&VerifiedImage>,
    lane: &Lane,
    key: Option<u64>,
    run: &lane::Run,
) -> render::Rendered {
    let of_side = |side: usize| {
        let pending = &lane.pending[side];
        let Some(piece) = pending.piece(key) else {
            return match pending.next_item() {
                Some(item) => render::item(image, &item.content),
                None => NOTHING.to_owned(),
            };
        };
        let (rest, has_more) = pending.bytes(key, render::AFTER);
        let has_before = run.len > run.last.len() as u64;
        let bytes = render::run(&run.last, has_before, &rest, has_more);
        render::piece(image, piece, &bytes)
    };
    let piece = lane.pending.iter().find_map(|pending| pending.piece(key));
    let (name, path) =
        piece.map_or_else(Default::default, |piece| render::piece_path(image, piece));
    render::Rendered {
        name,
        path,
        offset: Some(run.len),
        left: of_side(0),
        right: of_side(1),
    }
}
