//! Measures one side of one contest in this process.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::contest::Contest;
use crate::sides::{Absent, Prepared, Side};

/// The exit code of the command `one` for a side that does not take part in the contest.
pub(crate) const ABSENT: i32 = 3;

/// How long a side runs before it is measured.
const WARM: Duration = Duration::from_millis(30);

/// Reads the counting allocator of this process.
pub type Meter = fn() -> Heap;

/// The state of the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// The number of allocations, including reallocations.
    pub allocations: u64,
    /// The number of bytes allocated and not freed.
    pub held: u64,
}

/// The result of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The number of messages exchanged while measuring.
    pub messages: u64,
    /// The time it took, in nanoseconds.
    pub nanos: u64,
    /// The number of allocations while measuring; only with a counting allocator.
    pub allocations: Option<u64>,
    /// The number of bytes allocated per session; only with a counting allocator.
    pub session_bytes: Option<u64>,
    /// A remark for readers.
    pub note: Option<String>,
}

/// The length of a measurement.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// About this time, after warming up.
    Time(Duration),
    /// Exactly this number of messages, starting right after preparation. For counting
    /// instructions.
    Messages(u64),
}

/// Measures one side of one contest.
///
/// # Errors
/// [`Absent`] when the side does not take part in the contest.
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
        // Each session has several turns, so that starting them is a small part of the whole.
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
        // A fixed length is measured on a new machine each time.
        prepared = side.prepare(contest)?;
    }
}

/// Runs until warm. Returns the number of messages that fill the time.
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

/// The time that an exchange takes.
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
