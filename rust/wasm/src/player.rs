//! A recording that can be looked at from any step: it is replayed once, rows are kept of all that happens, and copies of
//! the replay at some steps, from which any other step is a short way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;

use antiphon_machine::{
    EffectId, EffectRequest, Event, Ingress, Phase, ProtocolMachineKernel, Refusal, Sink, Stamp,
    VerifiedImage,
};
use antiphon_record::{
    Cause, Damage, Divergence, Header, OpenError, Progress, Replay, ReplayError, Report, Request,
    Tail, Verdict,
};
use serde_json::json;

use crate::detail::{self, Catch, Seen};
use crate::problem::{Problem, hex};
use crate::rows::Rows;

/// Steps between copies at first. It doubles whenever there are too many.
const SPACING: u64 = 1024;

/// Copies at most, and at least.
const KEPT_MAX: usize = 128;
const KEPT_MIN: usize = 4;

/// Bytes that all copies together may take, about; and of what a copy takes, about.
const KEPT_BYTES: usize = 256 << 20;
const COPY_BYTES: usize = 192 << 10;
const SESSION_BYTES: usize = 1 << 10;

type Source = Cursor<Arc<[u8]>>;

/// Where events go: into the rows the first time, nowhere when a step is visited again, or one of them is looked at in
/// full.
#[derive(Clone, Debug)]
enum Tap {
    Rows(Rc<RefCell<Rows>>),
    Catch(Box<Catch>),
    Off,
}

/// A recording, replayed as far as was asked for.
#[derive(Debug)]
pub(crate) struct Player {
    /// The replay that makes the rows.
    ahead: Replay<Source, Tap>,
    rows: Rc<RefCell<Rows>>,
    /// Copies, in the order of their steps; the first is at step 0.
    kept: Vec<Replay<Source, Tap>>,
    spacing: u64,
    /// The replay that is looked at.
    at: Replay<Source, Tap>,
    over: bool,
    /// The waves, as the steps before and behind each: no replay stands within one.
    waves: Vec<(u64, u64)>,
    broken: Option<Problem>,
}

impl Player {
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Player, Problem> {
        let rows = Rc::new(RefCell::new(Rows::default()));
        let source = Cursor::new(Arc::from(bytes));
        let mut ahead = Replay::with_sink(source, Tap::Rows(Rc::clone(&rows)))
            .map_err(|error| of_replay(&error))?;
        let start = muted(&ahead);
        // What came in before the first step.
        let mut player = Player {
            at: start.clone(),
            kept: vec![start],
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

    /// Replays so many steps further. `true`: the recording is over.
    pub(crate) fn index(&mut self, steps: u64) -> bool {
        for _ in 0..steps {
            if self.over {
                break;
            }
            let now = self.indexed();
            let last = self.kept.last().map_or(0, step_of);
            if now >= last + self.spacing {
                self.keep();
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

    /// Keeps a copy of where the replay is, and of too many every second one.
    fn keep(&mut self) {
        let sessions = self.ahead.kernel().sessions().len();
        let cost = COPY_BYTES + sessions * SESSION_BYTES;
        let room = (KEPT_BYTES / cost).clamp(KEPT_MIN, KEPT_MAX);
        if self.kept.len() >= room {
            let mut n = 0;
            self.kept.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.spacing *= 2;
        }
        self.kept.push(muted(&self.ahead));
    }

    /// Steps that were replayed so far.
    pub(crate) fn indexed(&self) -> u64 {
        self.ahead.kernel().step_index()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Steps that were taken where the replay is looked at.
    pub(crate) fn step(&self) -> u64 {
        step_of(&self.at)
    }

    /// Goes to where so many steps were taken, and everything that came in before the next one. A wave is taken as a whole: within
    /// one it goes to its end, or to its beginning if it comes from behind.
    pub(crate) fn seek(&mut self, step: u64) -> Result<(), Problem> {
        let last = self.indexed();
        if step > last {
            let message = format!("step {step} is beyond the {last} steps that were replayed");
            return Err(Problem::new("beyond_end", message).at("step"));
        }
        let here = step_of(&self.at);
        let wave = self.waves.partition_point(|(start, _)| *start < step);
        let wave = wave.checked_sub(1).and_then(|n| self.waves.get(n));
        let step = match wave {
            Some((start, end)) if step < *end && here > step => *start,
            Some(_) | None => step,
        };
        let behind = self.kept.partition_point(|kept| step_of(kept) <= step);
        let from = behind.checked_sub(1).and_then(|n| self.kept.get(n));
        match from {
            Some(from) if here > step || here < step_of(from) => self.at = from.clone(),
            Some(_) | None => {}
        }
        // It went well the first time: the same error is told by `findings`.
        let _ = self.at.run_to(step).map_err(|error| of_replay(&error));
        Ok(())
    }

    pub(crate) fn kernel(&self) -> &ProtocolMachineKernel {
        self.at.kernel()
    }

    pub(crate) fn header(&self) -> &Header {
        self.ahead.header()
    }

    pub(crate) fn rows(&self) -> &RefCell<Rows> {
        &self.rows
    }

    /// A row in full: it is replayed once more, from a copy before it.
    pub(crate) fn detail(&self, row: usize) -> Option<serde_json::Value> {
        let (step, before) = self.rows.borrow().place_in_step(row)?;
        let behind = self.kept.partition_point(|kept| step_of(kept) < step);
        let mut replay = self.kept.get(behind.saturating_sub(1))?.clone();
        let catch = Catch::new(step, before, replay.kernel());
        *replay.sink() = Tap::Catch(Box::new(catch));
        // An error of the recording comes after it, or its row would not be there.
        let _ = replay.run_to(step + 1);
        let Tap::Catch(catch) = std::mem::replace(replay.sink(), Tap::Off) else {
            return None;
        };
        let detail = detail::of(&catch, replay.kernel());
        let related = detail
            .effect
            .map(|number| self.rows.borrow().of_effect(row, number));
        let mut value = serde_json::to_value(detail).ok()?;
        value["related"] = json!(related);
        Some(value)
    }

    /// How much was replayed and what was found.
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

/// How many sessions ended how; `active` are those that did not.
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

fn muted(replay: &Replay<Source, Tap>) -> Replay<Source, Tap> {
    let mut copy = replay.clone();
    *copy.sink() = Tap::Off;
    copy
}

fn rows_turn(replay: &mut Replay<Source, Tap>) {
    if let Tap::Rows(rows) = replay.sink() {
        rows.borrow_mut().turn();
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

/// What a replay's error is to JavaScript.
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
    fn wants_events(&self) -> bool {
        !matches!(self, Tap::Off)
    }

    fn event(&mut self, stamp: &Stamp, event: Event) {
        match self {
            Tap::Rows(rows) => rows.borrow_mut().event(stamp, event),
            Tap::Catch(catch) => {
                if let Event::EffectIssued {
                    number, operation, ..
                } = &event
                {
                    let session = stamp.session;
                    let effect = EffectId {
                        session,
                        number: *number,
                    };
                    catch.asked.insert(effect, *operation);
                }
                catch.see(stamp.step, || Seen::Event(*stamp, event));
            }
            Tap::Off => {}
        }
    }

    fn loaded(&mut self, image: &VerifiedImage) {
        if let Tap::Rows(rows) = self {
            rows.borrow_mut().loaded(image);
        }
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        match self {
            Tap::Rows(rows) => rows.borrow_mut().request(step, request),
            Tap::Catch(catch) => catch.see(step, || Seen::Request(Request::of(step, request))),
            Tap::Off => {}
        }
    }

    fn ingress(&mut self, step: u64, input: &Ingress) {
        match self {
            Tap::Rows(rows) => rows.borrow_mut().ingress(step, input),
            Tap::Catch(catch) => catch.see(step, || Seen::Input(input.clone())),
            Tap::Off => {}
        }
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        match self {
            Tap::Rows(rows) => rows.borrow_mut().refused(step, refusal),
            Tap::Catch(catch) => catch.see(step, || Seen::Refused),
            Tap::Off => {}
        }
    }
}
