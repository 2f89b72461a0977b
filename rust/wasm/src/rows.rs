//! What happened in a run, as rows. A page shows a window of rows. They are kept in blocks of plain
//! numbers with one text each, and become JavaScript objects only when they are shown. A row takes
//! forty bytes and its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_machine::{
    CoroutineId, EffectId, EffectRequest, Event, Ingress, Message, ObsEvent, Refusal, RoleId,
    SessionId, Sink, Stamp, VerifiedImage,
};
use antiphon_record::{Request, describe};
use serde::{Deserialize, Serialize};

use crate::kinds::{Counts, Kind};

/// The number of rows in a block. A row's block follows from its number; a search visits the blocks
/// in order.
const BLOCK_LEN: usize = 4096;

/// The number of kept rows: 1.5 GB of the 4 GB that an instance can have. Beyond it, only problems
/// and the ends of sessions are kept, up to [`BEYOND_MAX`]; all other rows are only counted by
/// kind.
pub(crate) const ROWS_MAX: usize = 16 << 20;

/// The number of problems and of ends of sessions that are kept beyond [`ROWS_MAX`]: the first of
/// each.
pub(crate) const BEYOND_MAX: usize = 10_000;

/// Marks the absence of a role, label or session.
const NONE: u32 = u32::MAX;

/// One row, whose line is in the block's text.
#[derive(Clone, Copy, Debug)]
struct Row {
    step: u64,
    clock: u64,
    /// The end of the row's line in the block's text.
    end: u32,
    session: u32,
    role: u32,
    peer: u32,
    label: u32,
    kind: Kind,
    /// Whether it is the effect of a step rather than of an input.
    by_step: bool,
}

impl Row {
    /// The number of steps taken once it had happened.
    fn after(&self) -> u64 {
        self.step + u64::from(self.by_step)
    }
}

#[derive(Debug, Default)]
struct Block {
    rows: Vec<Row>,
    text: String,
}

impl Block {
    fn text(&self, n: usize) -> &str {
        let start = match n.checked_sub(1) {
            Some(before) => self.rows[before].end,
            None => 0,
        };
        &self.text[start as usize..self.rows[n].end as usize]
    }
}

/// Selects the rows that satisfy all given conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Filter {
    /// The row belongs to this session.
    #[serde(default)]
    pub(crate) session: Option<u32>,
    /// The row's role or peer is this role.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// The row is of one of these kinds.
    #[serde(default)]
    pub(crate) kinds: Option<Vec<String>>,
    /// The row's line contains this text, ignoring ASCII case.
    #[serde(default)]
    pub(crate) text: Option<String>,
}

/// A row, to be shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown<'r> {
    row: u32,
    step: u64,
    after: u64,
    clock: u64,
    session: Option<u32>,
    kind: &'static str,
    role: Option<&'r str>,
    peer: Option<&'r str>,
    label: Option<&'r str>,
    text: &'r str,
}

/// The rows of one effect.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Related {
    issued: Option<u32>,
    request: Option<u32>,
    answer: Option<u32>,
    ended: Option<u32>,
}

impl Related {
    fn note(&mut self, kind: Option<Kind>, row: usize) {
        let place = match kind {
            Some(Kind::Request) => &mut self.request,
            Some(Kind::Input) => &mut self.answer,
            Some(Kind::EffectResolved | Kind::EffectFailed | Kind::EffectInvalidated) => {
                &mut self.ended
            }
            Some(_) | None => return,
        };
        place.get_or_insert(row as u32);
    }
}

/// A window of rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Window<'r> {
    /// The number of rows that match the filter.
    total: usize,
    /// The position of the window's first row among them.
    from: usize,
    rows: Vec<Shown<'r>>,
}

/// All rows so far. It is a sink, so that a machine and a replay fill it alike.
#[derive(Debug)]
pub(crate) struct Rows {
    /// [`ROWS_MAX`] and [`BEYOND_MAX`], or smaller values in tests.
    max: usize,
    beyond_max: usize,
    blocks: Vec<Block>,
    len: usize,
    names: Vec<String>,
    by_name: BTreeMap<String, u32>,
    images: BTreeMap<[u8; 32], Arc<VerifiedImage>>,
    /// The image of each session, by session number.
    sessions: Vec<Option<Arc<VerifiedImage>>>,
    /// The number of rows of each session.
    counts: Vec<u32>,
    /// The roles that issued the outstanding effects.
    issuers: BTreeMap<EffectId, u32>,
    clock: u64,
    /// Whether events are currently caused by an input.
    by_input: bool,
    /// The counts of everything that happened, kept or not.
    totals: Counts,
    /// The counts of rows that are not kept.
    left_out: Counts,
    /// The number of problems and of ends of sessions kept beyond the bound.
    problems: usize,
    ends: usize,
    /// The most recent filter, its rows, and the number of rows searched for it.
    found: Option<(Filter, Vec<u32>, usize)>,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows::bounded(ROWS_MAX, BEYOND_MAX)
    }
}

impl Rows {
    fn bounded(max: usize, beyond_max: usize) -> Rows {
        Rows {
            max,
            beyond_max,
            blocks: Vec::new(),
            len: 0,
            names: Vec::new(),
            by_name: BTreeMap::new(),
            images: BTreeMap::new(),
            sessions: Vec::new(),
            counts: Vec::new(),
            issuers: BTreeMap::new(),
            clock: 0,
            by_input: false,
            totals: Counts::default(),
            left_out: Counts::default(),
            problems: 0,
            ends: 0,
            found: None,
        }
    }

    /// The counts of all rows by kind, kept or not.
    pub(crate) fn totals(&self) -> &Counts {
        &self.totals
    }

    /// The counts of rows that are not kept, by kind.
    pub(crate) fn left_out(&self) -> &Counts {
        &self.left_out
    }

    /// The number of kept rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the bound on kept rows is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Whether one more row of the kind is kept.
    fn admits(&mut self, kind: Kind) -> bool {
        if !self.is_full() {
            return true;
        }
        let place = match kind {
            Kind::SessionTerminal => &mut self.ends,
            kind if kind.is_problem() => &mut self.problems,
            _ => return false,
        };
        let has_room = *place < self.beyond_max;
        *place += usize::from(has_room);
        has_room
    }

    /// The number of rows of a session.
    pub(crate) fn of_session(&self, session: SessionId) -> u32 {
        self.counts.get(session.index()).copied().unwrap_or(0)
    }

    /// Marks the start of a step: events up to the next input are attributed to it.
    pub(crate) fn turn(&mut self) {
        self.by_input = false;
    }

    /// The rows in a range of positions among those that match the filter.
    pub(crate) fn window(
        &mut self,
        from: usize,
        to: usize,
        filter: Option<Filter>,
    ) -> Result<Window<'_>, String> {
        let total = self.apply(filter)?;
        let from = from.min(total);
        let places = from..to.clamp(from, total);
        let rows = places.map(|at| self.shown(self.nth(at))).collect();
        Ok(Window { total, from, rows })
    }

    /// The position of the next row at or after `from`, or of the last one before it, whose line
    /// contains the text, among those that match the filter.
    pub(crate) fn search(
        &mut self,
        text: &str,
        from: usize,
        backwards: bool,
        filter: Option<Filter>,
    ) -> Result<Option<usize>, String> {
        let total = self.apply(filter)?;
        let needle = text.to_ascii_lowercase();
        let mut line = String::new();
        let mut has = |at: &usize| {
            let (block, n) = self.place(self.nth(*at));
            contains(block.text(n), &needle, &mut line)
        };
        Ok(match backwards {
            false => (from..total).find(&mut has),
            true => (0..from.min(total)).rev().find(&mut has),
        })
    }

    /// The number of rows that match the filter and happened within the first `step` steps.
    pub(crate) fn before(&mut self, step: u64, filter: Option<Filter>) -> Result<usize, String> {
        let total = self.apply(filter)?;
        let (mut low, mut high) = (0, total);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.after(self.nth(middle)) <= step {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// The number of steps taken once a row had happened.
    pub(crate) fn after(&self, row: usize) -> u64 {
        let (block, n) = self.place(row);
        block.rows[n].after()
    }

    /// The step at which a row happened, and the number of rows of that step before it. `None` when
    /// rows before it were left out, so that its position is not known.
    pub(crate) fn place_in_step(&self, row: usize) -> Option<(u64, usize)> {
        let step_of = |row: usize| {
            let (block, n) = self.place(row);
            block.rows[n].step
        };
        if row >= self.len.min(self.max) {
            return None;
        }
        let step = step_of(row);
        let before = (0..row).rev().take_while(|row| step_of(*row) == step);
        Some((step, before.count()))
    }

    /// The rows of an effect, searched for in both directions from a row of its session.
    pub(crate) fn of_effect(&self, row: usize, number: u64) -> Related {
        let at = |row: usize| {
            let (block, n) = self.place(row);
            (block.rows[n], block.text(n))
        };
        let session = at(row).0.session;
        let names = |row: usize| {
            let (entry, text) = at(row);
            if entry.session != session {
                return None;
            }
            let number_text = match entry.kind {
                Kind::EffectIssued
                | Kind::EffectResolved
                | Kind::EffectFailed
                | Kind::EffectInvalidated => text.strip_prefix("effect "),
                Kind::Request | Kind::Input => text.split_once('.').map(|(_, rest)| rest),
                _ => None,
            };
            let digits = number_text?.split(|c: char| !c.is_ascii_digit()).next()?;
            (digits.parse() == Ok(number)).then_some(entry.kind)
        };
        let mut related = Related::default();
        // An effect is issued once per attempt; all of these rows come before the answer.
        for row in (0..=row).rev() {
            match names(row) {
                Some(Kind::EffectIssued) => {
                    related.issued = Some(row as u32);
                    break;
                }
                found => related.note(found, row),
            }
        }
        for row in row + 1..self.len {
            let found = names(row);
            related.note(found, row);
            if related.ended.is_some() {
                break;
            }
        }
        related
    }

    fn place(&self, row: usize) -> (&Block, usize) {
        (&self.blocks[row / BLOCK_LEN], row % BLOCK_LEN)
    }

    fn shown(&self, row: usize) -> Shown<'_> {
        let (block, n) = self.place(row);
        let Row {
            step,
            clock,
            session,
            role,
            peer,
            label,
            kind,
            ..
        } = block.rows[n];
        let name = |id: u32| self.names.get(id as usize).map(String::as_str);
        Shown {
            row: row as u32,
            step,
            after: block.rows[n].after(),
            clock,
            session: (session != NONE).then_some(session),
            kind: kind.name(),
            role: name(role),
            peer: name(peer),
            label: name(label),
            text: block.text(n),
        }
    }

    /// The row at a position among those that match the most recent filter.
    fn nth(&self, at: usize) -> usize {
        self.found
            .as_ref()
            .map_or(at, |(_, rows, _)| rows[at] as usize)
    }

    /// Finds the rows that match a filter. Returns their number. The result for the most recent
    /// filter is kept and extended.
    fn apply(&mut self, filter: Option<Filter>) -> Result<usize, String> {
        let Some(filter) = filter.filter(|filter| *filter != Filter::default()) else {
            self.found = None;
            return Ok(self.len);
        };
        let (mut rows, seen) = match self.found.take() {
            Some((before, rows, seen)) if before == filter => (rows, seen),
            Some(_) | None => (Vec::new(), 0),
        };
        let mut kinds = 0_u32;
        for name in filter.kinds.iter().flatten() {
            let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
            kinds |= 1 << *kind.ok_or_else(|| format!("unknown kind of row `{name}`"))? as u8;
        }
        let kinds = filter.kinds.as_ref().map(|_| kinds);
        // An id that no row has. `NONE` would match every row without a role.
        let absent = NONE - 1;
        let role = filter.role.as_ref();
        let role = role.map(|role| self.by_name.get(role).copied().unwrap_or(absent));
        let needle = filter.text.as_ref().map(|text| text.to_ascii_lowercase());
        let mut line = String::new();
        for row in seen..self.len {
            let (block, n) = self.place(row);
            let entry = &block.rows[n];
            let fits = filter
                .session
                .is_none_or(|session| entry.session == session)
                && role.is_none_or(|role| entry.role == role || entry.peer == role)
                && kinds.is_none_or(|kinds| kinds & (1 << entry.kind as u8) != 0)
                && needle
                    .as_ref()
                    .is_none_or(|needle| contains(block.text(n), needle, &mut line));
            if fits {
                rows.push(row as u32);
            }
        }
        let total = rows.len();
        self.found = Some((filter, rows, self.len));
        Ok(total)
    }

    /// The images loaded so far.
    pub(crate) fn images(&self) -> impl Iterator<Item = &VerifiedImage> {
        self.images.values().map(AsRef::as_ref)
    }

    fn image(&self, session: SessionId) -> Option<Arc<VerifiedImage>> {
        self.sessions.get(session.index()).cloned().flatten()
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        id
    }

    fn role(&mut self, image: Option<&VerifiedImage>, role: Option<RoleId>) -> u32 {
        match image.zip(role) {
            Some((image, role)) => self.name(image.role_name(role)),
            None => NONE,
        }
    }

    /// The role of a coroutine. The first coroutines run the roles, in order.
    fn role_of(&mut self, image: Option<&VerifiedImage>, coroutine: CoroutineId) -> u32 {
        let role = RoleId(coroutine.0);
        let is_role = image.is_some_and(|image| role.index() < image.image().roles.len());
        self.role(image, is_role.then_some(role))
    }

    /// Sets the roles and the label of an event's row, and tracks which role issued each effect.
    fn set_roles(
        &mut self,
        row: &mut Row,
        image: Option<&VerifiedImage>,
        session: SessionId,
        event: &Event,
    ) {
        let effect = |number: &u64| EffectId {
            session,
            number: *number,
        };
        match event {
            Event::Sent(message) | Event::Offered(message) => {
                (row.role, row.peer) = self.message_roles(image, message);
                row.label = self.label(image, message);
            }
            Event::Received(message) | Event::Chose(message) => {
                (row.peer, row.role) = self.message_roles(image, message);
                row.label = self.label(image, message);
            }
            Event::EffectIssued {
                number, coroutine, ..
            } => {
                row.role = self.role_of(image, *coroutine);
                self.issuers.insert(effect(number), row.role);
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => {
                row.role = self.issuers.remove(&effect(number)).unwrap_or(NONE);
            }
            Event::WitnessIssued { number, .. } | Event::TimeoutIssued { number, .. } => {
                let issuer = self.issuers.get(&effect(number));
                row.role = issuer.copied().unwrap_or(NONE);
            }
            Event::FailureBranchEntered { coroutine, .. }
            | Event::Spawned { coroutine, .. }
            | Event::Halted { coroutine }
            | Event::Faulted { coroutine, .. } => row.role = self.role_of(image, *coroutine),
            Event::Opened { .. }
            | Event::WitnessExpired { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::Closed
            | Event::SessionTerminal { .. }
            | Event::EpochAdvanced { .. } => {}
        }
    }

    /// A message's sender and receiver.
    fn message_roles(&mut self, image: Option<&VerifiedImage>, message: &Message) -> (u32, u32) {
        let edge = image.and_then(|image| image.edges().get(message.edge.index()).copied());
        let from = self.role(image, edge.map(|(from, _)| from));
        let to = self.role(image, edge.map(|(_, to)| to));
        (from, to)
    }

    fn label(&mut self, image: Option<&VerifiedImage>, message: &Message) -> u32 {
        image.map_or(NONE, |image| self.name(image.label_name(message.label)))
    }

    fn push(&mut self, mut row: Row, text: &str) {
        self.totals.add(row.kind);
        if !self.admits(row.kind) {
            self.left_out.add(row.kind);
            return;
        }
        if self.len.is_multiple_of(BLOCK_LEN) {
            self.blocks.push(Block::default());
        }
        if let Some(count) = self.counts.get_mut(row.session as usize) {
            *count += 1;
        }
        let Some(block) = self.blocks.last_mut() else {
            return;
        };
        // A line has at most some hundreds of bytes, so the text of a block stays short.
        block.text.push_str(text);
        row.end = block.text.len() as u32;
        block.rows.push(row);
        self.len += 1;
    }

    fn entry(&self, kind: Kind, step: u64, session: Option<SessionId>) -> Row {
        Row {
            step,
            clock: self.clock,
            end: 0,
            session: session.map_or(NONE, |session| session.0),
            role: NONE,
            peer: NONE,
            label: NONE,
            kind,
            by_step: false,
        }
    }
}

/// Whether `text` contains `needle`, ignoring ASCII case. The needle is in lower case; `line` is a
/// buffer for reuse.
fn contains(text: &str, needle: &str, line: &mut String) -> bool {
    line.clear();
    line.push_str(text);
    line.make_ascii_lowercase();
    line.contains(needle)
}

impl Sink for Rows {
    fn loaded(&mut self, image: &VerifiedImage) {
        let digest = *image.digest();
        self.images
            .entry(digest)
            .or_insert_with(|| Arc::new(image.clone()));
    }

    fn event(&mut self, stamp: &Stamp, event: Event) {
        self.clock = stamp.clock;
        if let Event::Opened { image, .. } = &event {
            // Sessions are numbered in the order in which they are opened.
            self.sessions.push(self.images.get(image).cloned());
            self.counts.push(0);
        }
        let image = self.image(stamp.session);
        let image = image.as_deref();
        let mut row = self.entry(Kind::of(&event), stamp.step, Some(stamp.session));
        row.by_step = !self.by_input;
        self.set_roles(&mut row, image, stamp.session, &event);
        let event = ObsEvent {
            stamp: *stamp,
            event,
        };
        self.push(row, &describe::event(image, &event));
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let mut row = self.entry(Kind::Request, step, Some(request.effect().session));
        row.role = self.role(Some(request.image()), request.role());
        let text = describe::request(Some(request.image()), &Request::of(step, request));
        self.push(row, &text);
    }

    fn ingress(&mut self, step: u64, input: &Ingress) {
        self.by_input = true;
        let session = match input {
            Ingress::Outcome { effect, .. } => Some(effect.session),
            Ingress::Cancel { session, .. } => Some(*session),
            Ingress::Open { .. } | Ingress::AdvanceClock { .. } => None,
        };
        let mut row = self.entry(Kind::Input, step, session);
        if let Ingress::Outcome { effect, .. } = input {
            row.role = self.issuers.get(effect).copied().unwrap_or(NONE);
        }
        self.push(row, &describe::input(input));
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        let row = self.entry(Kind::Refused, step, None);
        self.push(row, &refusal.to_string());
    }
}

#[cfg(test)]
mod tests {
    use antiphon_machine::{End, SessionId};

    use super::*;

    fn happens(rows: &mut Rows, step: u64, event: Event) {
        let stamp = Stamp {
            session: SessionId(0),
            index: step,
            step,
            clock: 0,
        };
        rows.event(&stamp, event);
    }

    #[test]
    fn problems_and_ends_are_kept_beyond_the_bound_and_all_rows_are_counted() {
        let mut rows = Rows::bounded(5, 2);
        for step in 0..8 {
            happens(&mut rows, step, Event::EpochAdvanced { epoch: step });
        }
        for witness in 0..3 {
            happens(&mut rows, 8 + witness, Event::Cancelled { witness });
        }
        let end = End::Faulted;
        happens(&mut rows, 20, Event::SessionTerminal { end });
        assert!(rows.is_full());
        assert_eq!(rows.len(), 5 + 2 + 1);
        assert_eq!(rows.totals().sum(), 12);
        assert_eq!(rows.totals().of(Kind::Cancelled), 3);
        let left_out = rows.left_out().by_name();
        assert_eq!(
            left_out,
            BTreeMap::from([("cancelled", 1), ("epoch_advanced", 3)])
        );
        let window = rows.window(5, 8, None).expect("no filter");
        let kinds: Vec<_> = window.rows.iter().map(|row| (row.kind, row.step)).collect();
        assert_eq!(
            kinds,
            [("cancelled", 8), ("cancelled", 9), ("session_terminal", 20)]
        );
        // The positions within their steps are not known.
        assert_eq!(rows.place_in_step(4), Some((4, 0)));
        assert_eq!(rows.place_in_step(5), None);
    }
}
