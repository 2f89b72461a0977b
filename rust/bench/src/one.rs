//! One side of one contest, measured in a process of its own.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::contest::Contest;
use crate::sides::{Absent, Prepared, Side};

/// How long a side is run before it is measured.
const WARM: Duration = Duration::from_millis(30);

/// What counts the heap of this process, when something does.
pub type Meter = fn() -> Heap;

/// What the heap has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// How often memory was asked for, growing included.
    pub allocations: u64,
    /// Bytes that are held.
    pub held: u64,
}

/// What one process found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How many messages were exchanged while it was measured.
    pub messages: u64,
    /// How long that took, in nanoseconds.
    pub nanos: u64,
    /// How often memory was asked for meanwhile; only where something counts.
    pub allocations: Option<u64>,
    /// Bytes that a session holds; only where something counts.
    pub session_bytes: Option<u64>,
    /// What a reader should know about it.
    pub note: Option<String>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// For about so long, after warming up.
    Time(Duration),
    /// Exactly so many messages, as the first thing after making ready: for counting instructions.
    Messages(u64),
}

/// Measures.
///
/// # Errors
/// [`Absent`] when the side has no part in the contest.
pub fn measure(
    contest: &Contest,
    side: Side,
    length: Length,
    meter: Option<Meter>,
) -> Result<Measured, Absent> {
    let before = meter.map(|meter| meter().held);
    let mut prepared = side.prepare(contest)?;
    let fixed = prepared.fixed;
    let (batch, time) = match (length, fixed) {
        (Length::Messages(messages), _) => (messages, Duration::ZERO),
        (Length::Time(time), Some(fixed)) => (fixed, time),
        // Each session has its turn, and starting all of them is a small part of the whole.
        (Length::Time(time), None) => {
            let least = u64::from(contest.sessions) * 20;
            (warm(&mut prepared, least, time), Duration::ZERO)
        }
    };
    let session_bytes = meter.zip(before).map(|(meter, before)| {
        if fixed.is_some() {
            prepared.ready.exchange(64);
        }
        meter().held.saturating_sub(before)
            / u64::from(prepared.sessions.unwrap_or(contest.sessions))
    });
    let mut measured = Measured {
        session_bytes,
        note: prepared.note.clone(),
        ..Measured::default()
    };
    loop {
        let (received, heap) = (prepared.ready.received(), meter.map(|meter| meter()));
        measured.nanos += timed(&mut prepared, batch).as_nanos() as u64;
        let allocated = meter
            .zip(heap)
            .map(|(meter, heap)| meter().allocations - heap.allocations);
        measured.messages += prepared.ready.received() - received;
        measured.allocations = match (measured.allocations, allocated) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        };
        if Duration::from_nanos(measured.nanos) >= time {
            return Ok(measured);
        }
        // Of a new machine each time: that is what its fixed length means.
        prepared = side.prepare(contest)?;
    }
}

/// Runs until it is warm; how many messages fill the time.
fn warm(prepared: &mut Prepared, least: u64, time: Duration) -> u64 {
    let mut batch = least.max(64);
    loop {
        let took = timed(prepared, batch);
        if took >= WARM {
            let share = time.as_secs_f64() / took.as_secs_f64();
            return ((batch as f64 * share) as u64).max(least);
        }
        batch *= 2;
    }
}

/// How long an exchange takes.
fn timed(prepared: &mut Prepared, messages: u64) -> Duration {
    match prepared.threads {
        true => {
            let start = Instant::now();
            prepared.ready.exchange(messages);
            start.elapsed()
        }
        false => {
            let start = ProcessTime::now();
            prepared.ready.exchange(messages);
            start.elapsed()
        }
    }
}
