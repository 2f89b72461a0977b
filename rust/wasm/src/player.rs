//! A recording that can be inspected at any step. It is replayed once, keeping rows of everything
//! that happens and snapshots of the replay at some steps, from which any other step is near.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;

use antiphon_machine::{Interest, Observation, Phase, ProtocolMachineKernel, Sink};
use antiphon_record::rows::RowSink;
use antiphon_record::{
    Cause, Damage, Divergence, Header, OpenError, Progress, Replay, ReplayError, Report, Tail,
    Verdict,
};
use serde_json::json;

use crate::detail::{self, Capture};
use crate::problem::{Problem, hex};
use crate::rows::{Rows, SharedRows};

/// The initial number of steps between snapshots. It doubles when there are too many snapshots.
const SPACING: u64 = 1024;

/// The maximum and minimum number of snapshots.
const SNAPSHOTS_MAX: usize = 128;
const SNAPSHOTS_MIN: usize = 4;

/// The approximate memory for all snapshots, and the estimated size of a snapshot, in bytes.
const SNAPSHOTS_BYTES: usize = 256 << 20;
const SNAPSHOT_BYTES: usize = 192 << 10;
const SNAPSHOT_SESSION_BYTES: usize = 1 << 10;

type Source = Cursor<Arc<[u8]>>;

/// The sink of a replay: events become rows on the first pass, are ignored when a step is visited
/// again, or are captured to show one in full.
#[derive(Clone, Debug)]
enum Tap {
    Rows(Box<RowSink<SharedRows>>),
    Capture(Box<Capture>),
    Off,
}

/// A recording, replayed as far as was requested.
#[derive(Debug)]
pub(crate) struct Player {
    /// The replay that produces the rows.
    ahead: Replay<Source, Tap>,
    rows: Rc<RefCell<Rows>>,
    /// The snapshots, in the order of their steps. The first is at step 0.
    snapshots: Vec<Replay<Source, Tap>>,
    spacing: u64,
    /// The replay at the inspected step.
    cursor: Replay<Source, Tap>,
    over: bool,
    /// The waves, each as the steps before and after it. A replay cannot stop within a wave.
    waves: Vec<(u64, u64)>,
    broken: Option<Problem>,
}

impl Player {
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Player, Problem> {
        let shared = SharedRows::default();
        let rows = Rc::clone(&shared.0);
        let source = Cursor::new(Arc::from(bytes));
        let tap = Tap::Rows(Box::new(RowSink::new(shared)));
        let mut ahead = Replay::with_sink(source, tap).map_err(|error| of_replay(&error))?;
        let start = silenced(&ahead);
        // Processes the inputs before the first step.
        let mut player = Player {
            cursor: start.clone(),
            snapshots: vec![start],
            over: false,
            waves: Vec::new(),
            broken: None,
            spacing: SPACING,
            rows,
            ahead: {
                rows_turn(&mut ahead);
                ahead
            },
        };
        player.advance(0);
        player.seek(0)?;
        Ok(player)
    }

    /// Replays up to `steps` steps further. Returns whether the recording is over.
    pub(crate) fn index(&mut self, steps: u64) -> bool {
        for _ in 0..steps {
            if self.over {
                break;
            }
            let now = self.indexed();
            let last = self.snapshots.last().map_or(0, step_of);
            if now >= last + self.spacing {
                self.take_snapshot();
            }
            rows_turn(&mut self.ahead);
            self.advance(now + 1);
        }
        self.over
    }

    fn advance(&mut self, step: u64) {
        let before = self.indexed();
        match self.ahead.run_to(step) {
            Ok(Progress::AtStep) => {}
            Ok(Progress::Over) => self.over = true,
            Err(error) => {
                self.over = true;
                self.broken = Some(of_replay(&error));
            }
        }
        if self.indexed() > before + 1 {
            self.waves.push((before, self.indexed()));
        }
    }

    /// Takes a snapshot of the replay. When there are too many, every second one is dropped first.
    fn take_snapshot(&mut self) {
        let sessions = self.ahead.kernel().sessions().len();
        let cost = SNAPSHOT_BYTES + sessions * SNAPSHOT_SESSION_BYTES;
        let room = (SNAPSHOTS_BYTES / cost).clamp(SNAPSHOTS_MIN, SNAPSHOTS_MAX);
        if self.snapshots.len() >= room {
            let mut n = 0;
            self.snapshots.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.spacing *= 2;
        }
        self.snapshots.push(silenced(&self.ahead));
    }

    /// The number of steps replayed so far.
    pub(crate) fn indexed(&self) -> u64 {
        self.ahead.kernel().step_index()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The number of steps taken at the inspected point.
    pub(crate) fn step(&self) -> u64 {
        step_of(&self.cursor)
    }

    /// Moves to the point after `step` steps and all inputs before the next step. A wave is
    /// indivisible: within one, moves to its end, or to its beginning when coming from later steps.
    pub(crate) fn seek(&mut self, step: u64) -> Result<(), Problem> {
        let last = self.indexed();
        if step > last {
            let message = format!("step {step} is beyond the {last} steps that were replayed");
            return Err(Problem::new("beyond_end", message).at("step"));
        }
        let here = step_of(&self.cursor);
        let wave = self.waves.partition_point(|(start, _)| *start < step);
        let wave = wave.checked_sub(1).and_then(|n| self.waves.get(n));
        let step = match wave {
            Some((start, end)) if step < *end && here > step => *start,
            Some(_) | None => step,
        };
        let following = self
            .snapshots
            .partition_point(|snapshot| step_of(snapshot) <= step);
        let from = following.checked_sub(1).and_then(|n| self.snapshots.get(n));
        match from {
            Some(from) if here > step || here < step_of(from) => self.cursor = from.clone(),
            Some(_) | None => {}
        }
        // The first pass succeeded here; an error that it found is reported by `findings`.
        let _ = self.cursor.run_to(step).map_err(|error| of_replay(&error));
        Ok(())
    }

    pub(crate) fn kernel(&self) -> &ProtocolMachineKernel {
        self.cursor.kernel()
    }

    pub(crate) fn header(&self) -> &Header {
        self.ahead.header()
    }

    pub(crate) fn rows(&self) -> &RefCell<Rows> {
        &self.rows
    }

    /// A row in full, found by replaying again from a snapshot before it.
    pub(crate) fn detail(&self, row: usize) -> Option<serde_json::Value> {
        let (step, before) = self.rows.borrow().place_in_step(row)?;
        let following = self
            .snapshots
            .partition_point(|snapshot| step_of(snapshot) < step);
        let mut replay = self.snapshots.get(following.saturating_sub(1))?.clone();
        let capture = Capture::new(step, before, replay.kernel());
        *replay.sink() = Tap::Capture(Box::new(capture));
        // An error of the recording can only come after the row, or the row would not exist.
        let _ = replay.run_to(step + 1);
        let Tap::Capture(capture) = std::mem::replace(replay.sink(), Tap::Off) else {
            return None;
        };
        let detail = detail::of(&capture, replay.kernel());
        let related = detail
            .effect
            .map(|number| self.rows.borrow().of_effect(row, number));
        let mut value = serde_json::to_value(detail).ok()?;
        value["related"] = json!(related);
        Some(value)
    }

    /// The progress of the replay and its results.
    pub(crate) fn findings(&self) -> serde_json::Value {
        let report = self.ahead.report();
        let rows = self.rows.borrow();
        let verdict = match (&report.verdict, &self.broken, self.over) {
            (Verdict::Diverged(_), _, _) => "diverged",
            (_, Some(_), _) => "broken",
            (Verdict::Equal, None, true) => "equal",
            (Verdict::EqualUpTo { .. }, None, true) => "equal_up_to",
            (Verdict::Equal | Verdict::EqualUpTo { .. }, None, false) => "running",
        };
        json!({
            "verdict": verdict,
            "over": self.over,
            "steps": self.indexed(),
            "rows": rows.len(),
            "full": rows.is_full(),
            "total": rows.totals().sum(),
            "counts": rows.totals().by_name(),
            "leftOut": rows.left_out().by_name(),
            "ends": ends(self.ahead.kernel()),
            "records": report.records,
            "entries": report.entries,
            "requests": report.requests,
            "inputs": report.inputs,
            "checkpoints": report.checkpoints,
            "sessions": report.sessions,
            "clock": report.last.clock,
            "state": report.last.state.as_ref().map(|d| hex(d)),
            "trace": report.last.trace.as_ref().map(|d| hex(d)),
            "tail": report.tail.as_ref().map(tail),
            "divergence": divergence(&report),
            "broken": self.broken.as_ref().map(|problem| json!({
                "code": problem.code,
                "message": problem.message,
                "place": problem.place,
            })),
        })
    }
}

/// The number of sessions by how they ended; `active` counts those that did not.
fn ends(kernel: &ProtocolMachineKernel) -> BTreeMap<&'static str, u64> {
    let mut ends = BTreeMap::new();
    for session in kernel.sessions() {
        let name = match session.phase() {
            Phase::Terminal(end) => end.name(),
            Phase::Active => "active",
        };
        *ends.entry(name).or_default() += 1;
    }
    ends
}

fn step_of(replay: &Replay<Source, Tap>) -> u64 {
    replay.kernel().step_index()
}

fn silenced(replay: &Replay<Source, Tap>) -> Replay<Source, Tap> {
    let mut copy = replay.clone();
    *copy.sink() = Tap::Off;
    copy
}

fn rows_turn(replay: &mut Replay<Source, Tap>) {
    if let Tap::Rows(rows) = replay.sink() {
        rows.observer().0.borrow_mut().turn();
    }
}

fn tail(tail: &Tail) -> serde_json::Value {
    match tail {
        Tail::Sealed => json!({ "kind": "sealed" }),
        Tail::Open => json!({ "kind": "open" }),
        Tail::Torn {
            record,
            offset,
            len,
        } => json!({ "kind": "torn", "record": record, "offset": offset, "len": len }),
        Tail::Damaged(damage) => {
            let Damage {
                record,
                offset,
                len,
                cause,
            } = damage;
            json!({
                "kind": "damaged",
                "record": record,
                "offset": offset,
                "len": len,
                "cause": cause_code(cause),
                "message": damage.to_string(),
            })
        }
    }
}

fn cause_code(cause: &Cause) -> &'static str {
    match cause {
        Cause::Length => "length",
        Cause::TooLong { .. } => "too_long",
        Cause::Chain => "chain",
        Cause::Entry { .. } => "entry",
        Cause::Misplaced { .. } => "misplaced",
        Cause::BehindEnd => "behind_end",
    }
}

fn divergence(report: &Report) -> Option<serde_json::Value> {
    let Verdict::Diverged(divergence) = &report.verdict else {
        return None;
    };
    let Divergence {
        entry,
        step,
        session,
        role,
        instruction,
        difference,
        expected,
        got,
        recent,
    } = divergence.as_ref();
    let fields = match difference {
        antiphon_record::Difference::Request { fields, .. } => &fields[..],
        _ => &[],
    };
    let fields = fields
        .iter()
        .map(|field| json!({ "name": field.name, "expected": field.expected, "got": field.got }));
    let recent = recent.iter().map(|seen| {
        let stamp = &seen.event.stamp;
        json!({ "step": stamp.step, "session": stamp.session.0, "text": seen.text })
    });
    Some(json!({
        "code": difference.name().replace(' ', "_"),
        "message": divergence.to_string(),
        "entry": entry,
        "step": step,
        "session": session.map(|s| s.0),
        "role": role,
        "instruction": instruction.as_ref().map(|site| json!({
            "program": site.program, "pc": site.pc.0, "text": site.text,
        })),
        "expected": expected,
        "got": got,
        "fields": fields.collect::<Vec<_>>(),
        "recent": recent.collect::<Vec<_>>(),
    }))
}

/// The JavaScript error for a replay's error.
fn of_replay(error: &ReplayError) -> Problem {
    let message = error.to_string();
    match error {
        ReplayError::Open(open) => match open {
            OpenError::Io(_) => Problem::new("io", message),
            OpenError::NotARecording { offset, .. } => {
                Problem::new("not_a_recording", message).at(format!("byte {offset}"))
            }
            OpenError::Version { .. } => Problem::new("version", message).at("byte 7"),
            OpenError::NoHeader { len } => {
                Problem::new("no_header", message).at(format!("byte {len}"))
            }
            OpenError::Damaged(damage) => {
                Problem::new("damaged", message).at(format!("byte {}", damage.offset))
            }
            OpenError::HeaderMissing => Problem::new("no_header", message).at("entry 0"),
        },
        ReplayError::Io(_) => Problem::new("io", message),
        ReplayError::Image { entry, .. } | ReplayError::Unsound { entry, .. } => {
            Problem::new("bad_image", message).at(format!("entry {entry}"))
        }
    }
}

impl Sink for Tap {
    fn interest(&self) -> Interest {
        Interest {
            events: !matches!(self, Tap::Off),
            ..Interest::ALL
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        match self {
            Tap::Rows(rows) => rows.observe(observation),
            Tap::Capture(capture) => capture.observe(observation),
            Tap::Off => {}
        }
    }
}
