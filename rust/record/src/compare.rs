//! Whether two recordings hold the same conversation.
//!
//! Both are replayed side by side and compared track by track: the beginning and the end of each
//! session, the messages of each edge, the calls of each role. Interleaving of tracks and time are
//! ignored.
//!
//! How much of the input of a command was sent before the command ended is a matter of time, too:
//! where one recording is at `detach`, or its session ended by a fault or a cancellation, further
//! `stdin_data` and the `stdin_eof` of the other one are ignored. Labels are those of the guest
//! link.

mod feed;
mod headers;
mod lane;
mod render;
mod result;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use antiphon_machine::{End, RoleId, VerifiedImage};

use crate::describe;
use crate::reader::Tail;
use crate::replay::ReplayError;
use crate::text;
use feed::{Feed, Item, Of, Track, What};
use headers::notes;
use lane::{Found, Lane, Parted};

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareOptions {
    /// Whether the clock at each message is compared, and the advances of the clock.
    pub time: bool,
    /// The approximate number of bytes of one recording that may wait for the other one. When one
    /// recording runs further ahead on some track, the comparison stops with
    /// [`Likeness::Undecided`].
    pub lookahead_max: u64,
}

impl Default for CompareOptions {
    /// Without time, and with 64 MiB: a thousand messages of the largest default payload, or some
    /// hundred thousand small ones.
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
    /// Whether they are alike.
    pub likeness: Likeness,
    /// Equal messages. A run of pieces of a stream counts as one, also where one recording has more
    /// input behind the end of the command in the other one.
    pub messages: u64,
    /// Equal calls.
    pub calls: u64,
    /// Sessions that both have.
    pub sessions: u64,
    /// Differences that are ignored: of the tool, the configuration, the source, the notes.
    pub notes: Vec<String>,
    /// How far the first recording was read.
    pub left: Extent,
    /// How far the second recording was read.
    pub right: Extent,
}

/// How far a recording was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How many steps were replayed.
    pub step: u64,
    /// How it ends; `None` when it was not read to its end.
    pub tail: Option<Tail>,
    /// How many records proved to be what was written.
    pub records: u64,
    /// Where its replay is not the recorded run, if it is not.
    pub divergence: Option<String>,
    /// Whether some of what was read had nothing in the other recording to be compared with, which
    /// is cut itself.
    pub has_rest: bool,
}

/// Whether two recordings are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Both are whole and equal.
    Equal,
    /// They are equal up to the place where a recording is cut or damaged, or does not replay: see
    /// [`Compared::left`] and [`Compared::right`].
    EqualUpTo,
    /// They are of other protocols.
    Protocols {
        /// The first session whose protocol differs.
        session: u32,
        /// The first recording's protocol.
        left: String,
        /// The second recording's protocol.
        right: String,
    },
    /// They part here.
    Different(Box<Parting>),
    /// One recording runs so far ahead of the other one that the comparison stopped.
    Undecided {
        /// The bound.
        lookahead_max: u64,
    },
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The session; `None` for the clock.
    pub session: Option<u32>,
    /// Where in the session.
    pub place: Place,
    /// The label or the operation, where both have the same; else empty.
    pub name: String,
    /// The way to what differs, as in `exec_response.exit_code`; empty where the whole differs.
    pub path: String,
    /// The first byte that differs, where texts or bytes do: of a stream, from the beginning of
    /// its run.
    pub offset: Option<u64>,
    /// The last equal items of the same place, oldest first.
    pub before: Vec<String>,
    /// What the first recording has.
    pub left: String,
    /// What the second recording has; never the text of the first.
    pub right: String,
}

/// Where in a session something is.
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
        /// The role, or which spawned coroutine.
        role: String,
        /// How many calls both have before it.
        calls: u64,
    },
    /// At the beginning or the end of the session.
    Session,
    /// Among the advances of the clock.
    Clock,
}

/// Compares the messages and calls of two recordings.
///
/// Memory is that of the two replayed machines, a window of each recording, and what of one
/// recording waits for the other one, which [`CompareOptions`] bounds. Each replay takes the steps
/// that its recording claims.
///
/// # Errors
/// [`CompareError`] when a recording cannot be opened, read or loaded. Damage and divergences are
/// results.
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
        found: Found::default(),
    };
    let likeness = comparer.run()?;
    let Found {
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
    /// The first one cannot be opened, read or loaded.
    #[error("the first recording: {0}")]
    Left(#[source] ReplayError),
    /// The second one cannot.
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

/// How far one of the recordings is.
#[derive(Debug, Default)]
struct Side {
    over: Over,
    /// Bytes that wait for the other one.
    waiting: u64,
    /// Sessions that have ended in this recording and not in the other one, and how.
    ended: BTreeMap<u32, End>,
}

impl Side {
    /// Whether a session has ended in this recording, and not by its protocol.
    fn is_cut_off(&self, session: u32) -> bool {
        match self.ended.get(&session) {
            Some(End::Cancelled | End::Faulted) => true,
            Some(End::Closed) | None => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Over {
    /// There is more.
    #[default]
    No,
    /// It ended, and nothing follows.
    Whole,
    /// It is cut, damaged or diverged: what follows is not known.
    Cut,
}

struct Comparer<A, B> {
    left: Feed<A>,
    right: Feed<B>,
    options: CompareOptions,
    sides: [Side; 2],
    lanes: BTreeMap<Track, Lane>,
    images: BTreeMap<u32, Arc<VerifiedImage>>,
    found: Found,
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

    /// Which recording is read next: the one with fewer waiting bytes. `None`: nothing is left that
    /// can be compared.
    fn side(&self) -> Option<usize> {
        let [left, right] = &self.sides;
        // What follows in the other recording has nothing here to be compared with.
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

    fn take(&mut self, side: usize, track: Track, item: Item) -> Result<(), (Track, Box<Parted>)> {
        if let What::Opened(image) = &item.what {
            let image = Arc::clone(image);
            self.images.entry(track.session).or_insert(image);
        }
        let end = match &item.what {
            What::Ended(end) => Some(*end),
            What::Opened(_)
            | What::Message(_)
            | What::Piece(_)
            | What::Called { .. }
            | What::Answered { .. }
            | What::Failed { .. }
            | What::Faulted(_)
            | What::Ticks(_) => None,
        };
        let lane = self.lanes.entry(track).or_default();
        if self.sides[1 - side].over == Over::Cut && lane.halves[1 - side].is_empty() {
            return Ok(());
        }
        let before = lane.weights();
        lane.halves[side].push(item);
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

    /// A session has ended in one recording: further items of it in the other one are a difference.
    fn ended(&mut self, side: usize, session: u32, end: End) -> Result<(), (Track, Box<Parted>)> {
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

    /// One recording has no more of a session, or of any.
    fn over(&mut self, side: usize, session: Option<u32>) -> Result<(), (Track, Box<Parted>)> {
        for track in self.tracks(session) {
            self.track_over(side, track)?;
        }
        Ok(())
    }

    /// One recording has no more of a track.
    fn track_over(&mut self, side: usize, track: Track) -> Result<(), (Track, Box<Parted>)> {
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
            of: Of::Life,
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

    fn parted(&mut self, track: Track, parted: Parted) -> Result<Likeness, CompareError> {
        if let Parted::Items([Some(a), Some(b)]) = &parted
            && let (What::Opened(a), What::Opened(b)) = (&a.what, &b.what)
        {
            let (left, right) = protocols(a, b);
            let session = track.session;
            return Ok(Likeness::Protocols {
                session,
                left,
                right,
            });
        }
        if let Parted::Run { key, .. } = &parted {
            self.fill(track, *key)?;
        }
        let image = self.images.get(&track.session).cloned();
        let image = image.as_deref();
        let lane = self.lanes.entry(track).or_default();
        let numbers = numbers(&parted, lane);
        let before = lane.before.iter().cloned().collect();
        let calls = lane.calls;
        let rendered = match &parted {
            Parted::Items(items) => items_parted(image, items),
            Parted::Clocks(items) => clocks_parted(image, items),
            Parted::Run { key, run } => run_parted(image, lane, *key, run),
        };
        let place = match track.of {
            Of::Life => Place::Session,
            Of::Clock => Place::Clock,
            Of::Edge(edge) => {
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
            Of::Calls(coroutine) => {
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
            session: (track.of != Of::Clock).then_some(track.session),
            place,
            name: rendered.name,
            path: rendered.path,
            offset: rendered.offset,
            before,
            left: rendered.left,
            right: rendered.right,
        })))
    }

    /// Reads on, so that a difference of streams can be shown with the bytes that follow it. The
    /// comparison is over, so items of other tracks are dropped.
    fn fill(&mut self, track: Track, key: Option<u64>) -> Result<(), CompareError> {
        /// Items of each recording that are looked at for it.
        const ITEMS_MAX: usize = 256;
        for side in 0..2 {
            for _ in 0..ITEMS_MAX {
                let half = &self.lanes.entry(track).or_default().halves[side];
                let (bytes, _) = half.bytes(key, render::AFTER + 1);
                let is_over = self.sides[side].over != Over::No || half.next_item().is_some();
                if is_over || bytes.len() > render::AFTER {
                    break;
                }
                match self.next(side)? {
                    Some((found, item)) if found == track => {
                        let half = &mut self.lanes.entry(track).or_default().halves[side];
                        half.push(item);
                        half.open();
                    }
                    Some(_) => {}
                    None => self.sides[side].over = self.how_it_ended(side),
                }
            }
        }
        Ok(())
    }
}

/// Both protocols by their names, and where these are the same by their images too.
fn protocols(left: &VerifiedImage, right: &VerifiedImage) -> (String, String) {
    let name = |image: &VerifiedImage| text::line(&image.image().name);
    let (a, b) = (name(left), name(right));
    if a != b {
        return (a, b);
    }
    let digest = |image: &VerifiedImage| describe::digest(image.digest());
    (
        format!("{a} (image {})", digest(left)),
        format!("{b} (image {})", digest(right)),
    )
}

/// The numbers of the messages at which the recordings part.
fn numbers(parted: &Parted, lane: &Lane) -> [Option<u64>; 2] {
    let of_item = |item: Option<&Item>| match &item?.what {
        What::Message(sent) => Some(sent.number),
        What::Piece(piece) => Some(piece.sent.number),
        What::Opened(_)
        | What::Ended(_)
        | What::Called { .. }
        | What::Answered { .. }
        | What::Failed { .. }
        | What::Faulted(_)
        | What::Ticks(_) => None,
    };
    match parted {
        Parted::Items([a, b]) => [of_item(a.as_ref()), of_item(b.as_ref())],
        Parted::Clocks([a, b]) => [of_item(Some(a)), of_item(Some(b))],
        Parted::Run { key, .. } => [0, 1].map(|side| {
            let half = &lane.halves[side];
            let piece = half.piece(*key).map(|piece| piece.sent.number);
            piece.or_else(|| of_item(half.next_item()))
        }),
    }
}

const NOTHING: &str = "nothing more";

fn items_parted(image: Option<&VerifiedImage>, items: &[Option<Item>; 2]) -> render::Rendered {
    let text = |item: &Option<Item>| match item {
        Some(item) => render::item(image, &item.what),
        None => NOTHING.to_owned(),
    };
    match items {
        [Some(a), Some(b)] => render::difference(image, &a.what, &b.what),
        [a, b] => render::Rendered {
            left: text(a),
            right: text(b),
            ..render::Rendered::default()
        },
    }
}

fn clocks_parted(image: Option<&VerifiedImage>, items: &[Item; 2]) -> render::Rendered {
    let [left, right] = items.each_ref().map(|item| {
        let text = render::item(image, &item.what);
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
        let half = &lane.halves[side];
        let Some(piece) = half.piece(key) else {
            return match half.next_item() {
                Some(item) => render::item(image, &item.what),
                None => NOTHING.to_owned(),
            };
        };
        let (rest, has_more) = half.bytes(key, render::AFTER);
        let has_before = run.len > run.last.len() as u64;
        let bytes = render::run(&run.last, has_before, &rest, has_more);
        render::piece(image, piece, &bytes)
    };
    let piece = lane.halves.iter().find_map(|half| half.piece(key));
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
