//! What happened in a run, as rows. A page shows a window of rows. They are kept in blocks of plain
//! numbers with one text each, and become JavaScript objects only when they are shown. A row takes
//! forty bytes and its line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use antiphon_machine::{RoleId, SessionId, VerifiedImage};
use antiphon_record::rows::{self, RowKind, RowObserver, Source};
use serde::{Deserialize, Serialize};

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
    kind: RowKind,
    /// Whether it is the effect of a step rather than of an input.
    by_step: bool,
}

impl Row {
    /// The number of steps taken by the time it had happened.
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
    fn note(&mut self, kind: Option<RowKind>, row: usize) {
        let place = match kind {
            Some(RowKind::Request) => &mut self.request,
            Some(RowKind::Input) => &mut self.answer,
            Some(RowKind::EffectResolved | RowKind::EffectFailed | RowKind::EffectInvalidated) => {
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

/// All rows so far, of a machine or of a replay.
#[derive(Debug)]
pub(crate) struct Rows {
    /// [`ROWS_MAX`] and [`BEYOND_MAX`], or smaller values in tests.
    max: usize,
    beyond_max: usize,
    blocks: Vec<Block>,
    len: usize,
    names: Vec<String>,
    by_name: BTreeMap<String, u32>,
    /// The loaded images, by digest.
    images: BTreeMap<[u8; 32], Arc<VerifiedImage>>,
    /// The number of rows of each session.
    counts: Vec<u32>,
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
            counts: Vec::new(),
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
    fn admits(&mut self, kind: RowKind) -> bool {
        if !self.is_full() {
            return true;
        }
        let place = match kind {
            RowKind::SessionTerminal => &mut self.ends,
            kind if kind.is_trouble() => &mut self.problems,
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

    /// The number of steps taken by the time a row had happened.
    pub(crate) fn after(&self, row: usize) -> u64 {
        let (block, n) = self.place(row);
        block.rows[n].after()
    }

    /// The step at which a row happened, and the number of rows of that step before it. `None` when
    /// rows before it may have been left out, so that this number is not known.
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
                RowKind::EffectIssued
                | RowKind::EffectResolved
                | RowKind::EffectFailed
                | RowKind::EffectInvalidated => text.strip_prefix("effect "),
                RowKind::Request | RowKind::Input => text.split_once('.').map(|(_, rest)| rest),
                _ => None,
            };
            let digits = number_text?.split(|c: char| !c.is_ascii_digit()).next()?;
            (digits.parse() == Ok(number)).then_some(entry.kind)
        };
        let mut related = Related::default();
        // An effect is issued once per attempt; all of these rows come before the answer.
        for row in (0..=row).rev() {
            match names(row) {
                Some(RowKind::EffectIssued) => {
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
            let kind = RowKind::ALL.iter().find(|kind| kind.name() == name);
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
}

/// Whether `text` contains `needle`, ignoring ASCII case. The needle is in lower case; `line` is a
/// buffer for reuse.
fn contains(text: &str, needle: &str, line: &mut String) -> bool {
    line.clear();
    line.push_str(text);
    line.make_ascii_lowercase();
    line.contains(needle)
}

impl RowObserver for Rows {
    fn row(&mut self, row: rows::Row, image: Option<&VerifiedImage>) {
        if row.kind == RowKind::Opened {
            // Sessions are numbered in the order in which they are opened.
            self.counts.push(0);
        }
        let by_step = match &row.source {
            Source::Event(_) => !self.by_input,
            Source::Input(_) => {
                self.by_input = true;
                false
            }
            Source::Request(_)
            | Source::Refused(_)
            | Source::Checkpoint(_)
            | Source::Diverged(_) => false,
        };
        let label = row.label.zip(image);
        // A filter finds a role's rows by role and peer. A request to the host of another role,
        // about a message to this role, is not one of this role's rows, so its peer is left out.
        let peer = row.peer.filter(|_| row.label.is_some());
        let entry = Row {
            step: row.step,
            clock: row.clock,
            end: 0,
            session: row.session.map_or(NONE, |session| session.0),
            role: self.role(image, row.role),
            peer: self.role(image, peer),
            label: label.map_or(NONE, |(label, image)| self.name(image.label_name(label))),
            kind: row.kind,
            by_step,
        };
        self.push(entry, &row.text(image));
    }

    fn loaded(&mut self, image: &Arc<VerifiedImage>) {
        self.images.insert(*image.digest(), Arc::clone(image));
    }
}

/// Rows shared with the JavaScript object, which reads windows while more rows are added.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRows(pub(crate) Rc<RefCell<Rows>>);

impl RowObserver for SharedRows {
    fn row(&mut self, row: rows::Row, image: Option<&VerifiedImage>) {
        self.0.borrow_mut().row(row, image);
    }

    fn loaded(&mut self, image: &Arc<VerifiedImage>) {
        self.0.borrow_mut().loaded(image);
    }
}

/// The number of rows of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([u64; RowKind::ALL.len()]);

impl Counts {
    fn add(&mut self, kind: RowKind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    fn of(&self, kind: RowKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counts above 0, by name.
    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let kinds = RowKind::ALL.iter();
        let counts = kinds.map(|kind| (kind.name(), self.of(*kind)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use antiphon_machine::{End, Event, ObsEvent, Stamp};
    use antiphon_record::rows::RowBuilder;

    use super::*;

    fn happens(rows: &mut Rows, step: u64, event: Event) {
        let stamp = Stamp {
            session: SessionId(0),
            index: step,
            step,
            clock: 0,
        };
        let row = RowBuilder::default().event(ObsEvent { stamp, event }, None);
        rows.row(row, None);
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
        assert_eq!(rows.totals().of(RowKind::Cancelled), 3);
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
