//! Messages a second of the cooperative machine, against a bare loop over the same queues.
//!
//! `just bench` runs it; `docs/performance.md` keeps what it said. Compare within a run only.

use std::hint::black_box;

use antiphon_machine::{
    Class, Edge, EffectRequest, FromFn, NoSink, Outcome, Parcel, ProtocolMachine,
    ProtocolMachineConfig, Reply, Sink, TraceDigest, Value, VerifiedImage, sample,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Messages per measured run: long enough that opening a session does not show.
const MESSAGES: u64 = 100_000;

/// Steps of so many messages: each is a send, a receive that finds nothing yet, a receive, a jump.
/// `the_samples_take_the_steps_that_the_benches_count_on` keeps these numbers true.
fn bare_steps(messages: u64) -> u64 {
    messages * 4
}

/// As [`bare_steps`], with an `Invoke` a message.
fn told_steps(messages: u64) -> u64 {
    messages * 5
}

/// Two messages take thirteen steps: one side decides, branches, produces and offers.
fn compiled_steps(messages: u64) -> u64 {
    messages * 13 / 2
}

/// The lower bound of any monitor's cost: the same parcels through the same bounded queues, and
/// nothing else.
fn bare_loop(messages: u64) -> u64 {
    let (mut ping, mut pong) = (Edge::default(), Edge::default());
    let (mut sent, mut taken) = (0, 0);
    let label = antiphon_machine::LabelId(0);
    while taken < messages {
        for (edge, number) in [(&mut ping, 0), (&mut pong, 1)] {
            if edge.queue.len() < black_box(64) {
                let parcel = Parcel {
                    payload: Value::Unit,
                    sequence: sent + number,
                    label,
                };
                edge.queue.push_back(black_box(parcel));
                edge.sent += 1;
            }
            if let Some(parcel) = black_box(&mut edge.queue).pop_front() {
                taken += 1;
                black_box(parcel);
            }
        }
        sent += 2;
    }
    taken
}

fn bare_machine<S: Sink>(sessions: u32, sink: S) -> ProtocolMachine<FromFn<Ask>, S> {
    let image = sample::bare_ping_pong();
    open(&image, sessions, FromFn(ask_nobody as Ask), sink)
}

type Ask = fn(&EffectRequest<'_>) -> Reply;

fn ask_nobody(_: &EffectRequest<'_>) -> Reply {
    Reply::Later
}

fn open<S: Sink>(
    image: &std::sync::Arc<VerifiedImage>,
    sessions: u32,
    handler: FromFn<Ask>,
    sink: S,
) -> ProtocolMachine<FromFn<Ask>, S> {
    let config = ProtocolMachineConfig::default();
    let mut machine = ProtocolMachine::with_sink(config, handler, sink);
    for _ in 0..sessions {
        machine
            .load_choreography(image, "bench")
            .expect("there is room");
    }
    machine
}

/// A client's host that never stops: the compiled form of ping-pong, with every question asked.
fn endless(request: &EffectRequest<'_>) -> Reply {
    Reply::Now(match request.class() {
        Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
        Class::Produce { .. } => Outcome::Success(Value::Nat(7)),
        Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => Outcome::done(),
    })
}

fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("ping-pong");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("bare loop", |b| b.iter(|| bare_loop(MESSAGES)));
    group.bench_function("messages only", |b| {
        let mut machine = bare_machine(1, NoSink);
        b.iter(|| machine.run(bare_steps(MESSAGES)));
    });
    group.bench_function("messages only, trace digest", |b| {
        let mut machine = bare_machine(1, TraceDigest::default());
        b.iter(|| machine.run(bare_steps(MESSAGES)));
    });
    // What the compiler makes of two messages for ever: each is told to its receiver's host.
    group.bench_function("told", |b| {
        let mut machine = open(&sample::told_ping_pong(), 1, FromFn(endless as Ask), NoSink);
        b.iter(|| machine.run(told_steps(MESSAGES)));
    });
    group.bench_function("told, trace digest", |b| {
        let sink = TraceDigest::default();
        let mut machine = open(&sample::told_ping_pong(), 1, FromFn(endless as Ask), sink);
        b.iter(|| machine.run(told_steps(MESSAGES)));
    });
    // A choice, a payload and two deliveries are asked for every two messages.
    group.bench_function("decided, produced, told", |b| {
        let mut machine = open(&sample::ping_pong(1), 1, FromFn(endless as Ask), NoSink);
        b.iter(|| machine.run(compiled_steps(MESSAGES)));
    });
    group.bench_function("decided, produced, told, trace digest", |b| {
        let sink = TraceDigest::default();
        let mut machine = open(&sample::ping_pong(1), 1, FromFn(endless as Ask), sink);
        b.iter(|| machine.run(compiled_steps(MESSAGES)));
    });
    group.finish();
}

fn many(c: &mut Criterion) {
    let mut group = c.benchmark_group("sessions");
    for sessions in [1, 1_000, 100_000] {
        group.throughput(Throughput::Elements(bare_steps(MESSAGES)));
        group.bench_function(format!("{sessions}, steps"), |b| {
            let mut machine = bare_machine(sessions, NoSink);
            b.iter(|| machine.run(bare_steps(MESSAGES)));
        });
    }
    group.finish();
}

criterion_group!(benches, single, many);
criterion_main!(benches);
