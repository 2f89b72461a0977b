//! Antiphon's sides.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use antiphon_machine::threaded::{Shared, ThreadedProtocolMachine};
use antiphon_machine::{
    Class, EffectHandler, EffectRequest, NoSink, Outcome, ProtocolMachine, ProtocolMachineConfig,
    ProtocolMachineKernel, Reply, Sink, TraceDigest, Value,
};
use antiphon_record::{Flush, Header, Recorder, Store};

use super::images::image;
use super::prepared::{Absent, Prepared, Ready};
use super::side::Side;
use crate::contest::{Contest, Exchange};

/// The hosts of all roles: they choose in turn, produce units, and work for the contest's time on
/// each delivery.
#[derive(Clone, Debug)]
struct Hosts {
    turn: usize,
    work: Duration,
}

impl EffectHandler for Hosts {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } => {
                self.turn = self.turn.wrapping_add(1);
                Outcome::chosen(labels[self.turn % labels.len()])
            }
            Class::Deliver { .. } => {
                work(self.work);
                Outcome::done()
            }
            Class::Produce { .. } | Class::Command | Class::Observe | Class::Check => {
                Outcome::Success(Value::Unit)
            }
        })
    }
}

/// Keeps the processor busy.
fn work(time: Duration) {
    if !time.is_zero() {
        let start = Instant::now();
        while black_box(start).elapsed() < time {}
    }
}

fn hosts(contest: &Contest) -> Hosts {
    Hosts {
        turn: 0,
        work: Duration::from_nanos(contest.work),
    }
}

struct Cooperative<S> {
    machine: ProtocolMachine<Hosts, S>,
    /// The number of steps that two messages take.
    steps: u64,
}

pub(super) fn cooperative(side: Side, contest: &Contest) -> Result<Prepared, Absent> {
    match side {
        Side::Digest => machine(contest, TraceDigest::default()),
        Side::Recording => {
            let header = Header {
                tool: "antiphon-bench".to_owned(),
                ..Header::default()
            };
            let recorder = Recorder::create(Memory::default(), &header, Flush::default());
            machine(
                contest,
                recorder.map_err(|error| Absent(error.to_string()))?,
            )
        }
        _ => machine(contest, NoSink),
    }
}

fn machine<S: Sink + 'static>(contest: &Contest, sink: S) -> Result<Prepared, Absent> {
    let (image, steps) = image(contest)?;
    let config = ProtocolMachineConfig::default();
    let mut machine = ProtocolMachine::with_sink(config, hosts(contest), sink);
    for _ in 0..contest.sessions {
        let opened = machine.load_choreography(&image, "bench");
        opened.map_err(|refusal| Absent(refusal.to_string()))?;
    }
    let mut prepared = Prepared::of(Cooperative { machine, steps })?;
    prepared.fixed = contest.steps.map(|count| count * 2 / steps);
    Ok(prepared)
}

impl<S: Sink> Ready for Cooperative<S> {
    fn exchange(&mut self, messages: u64) {
        black_box(self.machine.run(messages * self.steps / 2));
    }

    fn received(&self) -> u64 {
        received(self.machine.kernel())
    }
}

fn received(kernel: &ProtocolMachineKernel) -> u64 {
    let edges = kernel.sessions().iter().flat_map(|session| session.edges());
    edges.map(|edge| edge.received()).sum()
}

/// The handler of the threaded driver, called from all its threads. It only handles deliveries.
#[derive(Debug)]
struct Deliveries(Duration);

impl EffectHandler for &Deliveries {
    fn handle(&mut self, _: &EffectRequest<'_>) -> Reply {
        work(self.0);
        Reply::Now(Outcome::done())
    }
}

struct Threaded {
    machine: ThreadedProtocolMachine<Shared<Deliveries>>,
    /// The number of steps that two messages take.
    steps: u64,
}

pub(super) fn threaded(workers: usize, contest: &Contest) -> Result<Prepared, Absent> {
    if contest.exchange != Exchange::PingPong || contest.steps.is_some() {
        return Err(Absent("not supported".to_owned()));
    }
    let (image, steps) = image(contest)?;
    let handler = Deliveries(Duration::from_nanos(contest.work));
    let config = ProtocolMachineConfig::default();
    let machine = ThreadedProtocolMachine::try_with_workers(config, Shared(handler), workers);
    let mut machine = machine.map_err(|error| Absent(error.to_string()))?;
    for _ in 0..contest.sessions {
        let opened = machine.load_choreography(&image, "bench");
        opened.map_err(|refusal| Absent(refusal.to_string()))?;
    }
    let mut prepared = Prepared::of(Threaded { machine, steps })?;
    // Also with one worker, because the two are compared with each other.
    prepared.threads = true;
    Ok(prepared)
}

impl Ready for Threaded {
    /// Counts the steps taken in waves.
    fn exchange(&mut self, messages: u64) {
        let taken = |machine: &ThreadedProtocolMachine<_>| {
            let report = machine.report();
            report.steps + report.turns
        };
        let until = taken(&self.machine) + messages * self.steps / 2;
        while taken(&self.machine) < until {
            if self.machine.run(1).is_some() {
                return;
            }
        }
    }

    fn received(&self) -> u64 {
        received(self.machine.kernel())
    }
}

/// A store in memory that is reused from the start when full, so that neither a disk nor growth is
/// measured.
struct Memory {
    bytes: Vec<u8>,
}

/// The size of the store.
const MEMORY: usize = 1 << 20;

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            bytes: Vec::with_capacity(MEMORY),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MEMORY {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store for Memory {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
