//! What happened in a run, as rows that a page can show some of: kept in blocks of plain numbers and one text each, forty
//! bytes and a line for a row, and no object of JavaScript before somebody looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_machine::{
    CoroutineId, EffectId, EffectRequest, Event, Ingress, ObsEvent, Refusal, RoleId, SessionId,
    Sink, Stamp, VerifiedImage,
};
use antiphon_record::{Request, describe};
use serde::{Deserialize, Serialize};

use crate::kinds::{Counts, Kind};

/// Rows of a block. Finding a row within one is a matter of its number; a search walks blocks one by one.
const BLOCK_LEN: usize = 4096;

/// The number of kept rows: 1.5 GB of the 4 GB that an instance can have. Beyond it only trouble and the ends of
/// sessions are kept, up to [`BEYOND_MAX`]; all other rows are counted by kind.
pub(crate) const ROWS_MAX: usize = 16 << 20;

/// Rows of trouble, and ends of sessions, that are kept beyond [`ROWS_MAX`]: the first of each.
pub(crate) const BEYOND_MAX: usize = 10_000;

/// No role, no label.
const NONE: u32 = u32::MAX;

/// One row: forty bytes, and its line in the block's text.
#[derive(Clone, Copy, Debug)]
struct Row {
    step: u64,
    clock: u64,
    /// Where the row's line ends in the block's text.
    end: u32,
    session: u32,
    role: u32,
    peer: u32,
    label: u32,
    kind: Kind,
    /// Whether a step did it, and not an input.
    by_step: bool,
}

impl Row {
    /// How many steps were taken once it had happened.
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

/// Which rows are wanted: those of which all that is said here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this session.
    #[serde(default)]
    pub(crate) session: Option<u32>,
    /// That this role did, or that were done to it.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// Of one of these kinds.
    #[serde(default)]
    pub(crate) kinds: Option<Vec<String>>,
    /// Whose line has this in it, whatever the case of its letters.
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

/// The rows that tell of one effect.
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
    /// How many rows there are under the filter.
    total: usize,
    /// Where the first row of the window stands among them.
    from: usize,
    rows: Vec<Shown<'r>>,
}

/// All rows so far. A sink, so that a machine and a replay fill it alike.
#[derive(Debug)]
pub(crate) struct Rows {
    /// [`ROWS_MAX`] and [`BEYOND_MAX`], smaller in a test.
    max: usize,
    beyond_max: usize,
    blocks: Vec<Block>,
    len: usize,
    names: Vec<String>,
    by_name: BTreeMap<String, u32>,
    images: BTreeMap<[u8; 32], Arc<VerifiedImage>>,
    /// The image of each session, in the order of their numbers.
    sessions: Vec<Option<Arc<VerifiedImage>>>,
    /// Rows of each session.
    counts: Vec<u32>,
    /// Who asked: outstanding effects.
    asked: BTreeMap<EffectId, u32>,
    clock: u64,
    /// What happens now is done by an input.
    by_input: bool,
    /// Everything that happened, kept or not.
    totals: Counts,
    /// The counts of rows that are not kept.
    left_out: Counts,
    /// Rows of trouble, and ends of sessions, beyond the bound.
    trouble: usize,
    ends: usize,
    /// The rows of the filter that was asked for last, and how many rows were looked at for it.
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
            asked: BTreeMap::new(),
            clock: 0,
            by_input: false,
            totals: Counts::default(),
            left_out: Counts::default(),
            trouble: 0,
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

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Whether there is room for one more row of the kind.
    fn admits(&mut self, kind: Kind) -> bool {
        if !self.is_full() {
            return true;
        }
        let place = match kind {
            Kind::SessionTerminal => &mut self.ends,
            kind if kind.is_trouble() => &mut self.trouble,
            _ => return false,
        };
        let has_room = *place < self.beyond_max;
        *place += usize::from(has_room);
        has_room
    }

    /// How many rows a session has.
    pub(crate) fn of_session(&self, session: SessionId) -> u32 {
        self.counts.get(session.index()).copied().unwrap_or(0)
    }

    /// A step is about to be taken: what happens up to the next input is its doing.
    pub(crate) fn turn(&mut self) {
        self.by_input = false;
    }

    /// The rows from one place to another under a filter.
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

    /// The next row at or after a place, or the last one before it, whose line has the text: its place under the filter.
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

    /// How many rows under the filter have happened when so many steps were taken.
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

    /// How many steps were taken once a row had happened.
    pub(crate) fn after(&self, row: usize) -> u64 {
        let (block, n) = self.place(row);
        block.rows[n].after()
    }

    /// At which step a row happened, and how many rows of that step come before it. `None` where rows before it were
    /// left out, so that its place is not known.
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

    /// The rows of an effect of the session that a row is of, found from that row on.
    pub(crate) fn of_effect(&self, row: usize, number: u64) -> Related {
        let at = |row: usize| {
            let (block, n) = self.place(row);
            (block.rows[n], block.text(n))
        };
        let session = at(row).0.session;
        let names = |row: usize| {
            let (it, text) = at(row);
            if it.session != session {
                return None;
            }
            let told = match it.kind {
                Kind::EffectIssued
                | Kind::EffectResolved
                | Kind::EffectFailed
                | Kind::EffectInvalidated => text.strip_prefix("effect "),
                Kind::Request | Kind::Input => text.split_once('.').map(|(_, rest)| rest),
                _ => None,
            };
            let told = told?.split(|c: char| !c.is_ascii_digit()).next()?;
            (told.parse() == Ok(number)).then_some(it.kind)
        };
        let mut related = Related::default();
        // An effect is issued once for each attempt; all of them are before the answer.
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

    /// The row that stands at a place under the filter that was applied last.
    fn nth(&self, at: usize) -> usize {
        self.found
            .as_ref()
            .map_or(at, |(_, rows, _)| rows[at] as usize)
    }

    /// Finds the rows of a filter; how many they are. What was found for the same filter before is kept and continued.
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
            kinds |= 1 << *kind.ok_or_else(|| format!("`{name}` is no kind of row"))? as u8;
        }
        let kinds = filter.kinds.as_ref().map(|_| kinds);
        // A role that no row has: `NONE` would be every row without a role.
        let absent = NONE - 1;
        let role = filter.role.as_ref();
        let role = role.map(|role| self.by_name.get(role).copied().unwrap_or(absent));
        let needle = filter.text.as_ref().map(|text| text.to_ascii_lowercase());
        let mut line = String::new();
        for row in seen..self.len {
            let (block, n) = self.place(row);
            let it = &block.rows[n];
            let fits = filter.session.is_none_or(|session| it.session == session)
                && role.is_none_or(|role| it.role == role || it.peer == role)
                && kinds.is_none_or(|kinds| kinds & (1 << it.kind as u8) != 0)
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

    /// The images that were loaded so far.
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

    /// The role of a coroutine: the first ones run the roles, in their order.
    fn role_of(&mut self, image: Option<&VerifiedImage>, coroutine: CoroutineId) -> u32 {
        let role = RoleId(coroutine.0);
        let is_role = image.is_some_and(|image| role.index() < image.image().roles.len());
        self.role(image, is_role.then_some(role))
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
        // A line is some hundreds of bytes at most, so the text of a block has a short length.
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

/// Without regard to the case of ASCII letters; the needle is in lower case. `line` is room to work in.
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
            // Sessions are numbered in the order of opening.
            self.sessions.push(self.images.get(image).cloned());
            self.counts.push(0);
        }
        let image = self.image(stamp.session);
        let image = image.as_deref();
        let mut row = self.entry(Kind::Opened, stamp.step, Some(stamp.session));
        row.by_step = !self.by_input;
        let effect = |number| EffectId {
            session: stamp.session,
            number,
        };
        let who = |rows: &Rows, number| rows.asked.get(&effect(number)).copied().unwrap_or(NONE);
        let message = |rows: &mut Rows, m: &antiphon_machine::Message, row: &mut Row| {
            let edge = image.and_then(|i| i.edges().get(m.edge.index()).copied());
            let from = rows.role(image, edge.map(|(from, _)| from));
            let to = rows.role(image, edge.map(|(_, to)| to));
            row.label = image.map_or(NONE, |i| rows.name(i.label_name(m.label)));
            (from, to)
        };
        row.kind = match &event {
            Event::Opened { .. } => Kind::Opened,
            Event::Sent(m) => {
                (row.role, row.peer) = message(self, m, &mut row);
                Kind::Sent
            }
            Event::Offered(m) => {
                (row.role, row.peer) = message(self, m, &mut row);
                Kind::Offered
            }
            Event::Received(m) => {
                (row.peer, row.role) = message(self, m, &mut row);
                Kind::Received
            }
            Event::Chose(m) => {
                (row.peer, row.role) = message(self, m, &mut row);
                Kind::Chose
            }
            Event::EffectIssued {
                number, coroutine, ..
            } => {
                row.role = self.role_of(image, *coroutine);
                self.asked.insert(effect(*number), row.role);
                Kind::EffectIssued
            }
            Event::EffectResolved { number, .. } => {
                row.role = who(self, *number);
                self.asked.remove(&effect(*number));
                Kind::EffectResolved
            }
            Event::EffectFailed { number, .. } => {
                row.role = who(self, *number);
                self.asked.remove(&effect(*number));
                Kind::EffectFailed
            }
            Event::EffectInvalidated { number } => {
                row.role = who(self, *number);
                self.asked.remove(&effect(*number));
                Kind::EffectInvalidated
            }
            Event::WitnessIssued { number, .. } => {
                row.role = who(self, *number);
                Kind::WitnessIssued
            }
            Event::WitnessExpired { .. } => Kind::WitnessExpired,
            Event::TimeoutIssued { number, .. } => {
                row.role = who(self, *number);
                Kind::TimeoutIssued
            }
            Event::CancellationRequested { .. } => Kind::CancellationRequested,
            Event::Cancelled { .. } => Kind::Cancelled,
            Event::FailureBranchEntered { coroutine, .. } => {
                row.role = self.role_of(image, *coroutine);
                Kind::FailureBranchEntered
            }
            Event::Spawned { coroutine, .. } => {
                row.role = self.role_of(image, *coroutine);
                Kind::Spawned
            }
            Event::Halted { coroutine } => {
                row.role = self.role_of(image, *coroutine);
                Kind::Halted
            }
            Event::Faulted { coroutine, .. } => {
                row.role = self.role_of(image, *coroutine);
                Kind::Faulted
            }
            Event::Closed => Kind::Closed,
            Event::SessionTerminal { .. } => Kind::SessionTerminal,
            Event::EpochAdvanced { .. } => Kind::EpochAdvanced,
        };
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
            row.role = self.asked.get(effect).copied().unwrap_or(NONE);
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
    fn trouble_and_ends_are_kept_beyond_the_bound_and_all_is_counted() {
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
        // Their places within their steps are not known.
        assert_eq!(rows.place_in_step(4), Some((4, 0)));
        assert_eq!(rows.place_in_step(5), None);
    }
}
