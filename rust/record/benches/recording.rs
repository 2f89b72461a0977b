//! The cost of recording a run and of replaying it: ping-pong of two roles with payloads of 64
//! bytes, whose hosts answer at once. One round has two messages and four requests.
//!
//! `run/…` is the whole run. `none` has no observer. `trace` computes the trace digest and keeps
//! nothing, as an unrecorded machine does that is compared with another one. `replay/…` reads,
//! verifies, decodes, runs and compares; `read` only reads and verifies. Files are in the system's
//! directory for temporary files.

use std::fs::File;
use std::hint::black_box;
use std::io::{Cursor, Seek, SeekFrom};

use antiphon_machine::{
    Class, DeterminismMode, EffectHandler, EffectRequest, FailureKind, NoSink, Outcome,
    ProtocolMachine, ProtocolMachineConfig, Reply, Sink, TraceDigest, Value, sample,
};
use antiphon_record::{Flush, Header, Reader, Recorder, Verdict, replay_twice};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ROUNDS: u64 = 2_000;

struct Host {
    left: u64,
    payload: Value,
}

impl EffectHandler for Host {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        Reply::Now(match request.class() {
            Class::Decide { labels, .. } if self.left == 0 => Outcome::chosen(labels[1]),
            Class::Decide { labels, .. } => {
                self.left -= 1;
                Outcome::chosen(labels[0])
            }
            Class::Produce { .. } => Outcome::Success(self.payload.clone()),
            Class::Deliver { .. } => Outcome::done(),
            Class::Command | Class::Observe | Class::Check => {
                Outcome::failure(FailureKind::InvalidInput, "")
            }
        })
    }
}

fn header(mode: DeterminismMode) -> Header {
    Header {
        config: ProtocolMachineConfig {
            determinism_mode: mode,
            ..Default::default()
        },
        ..Header::default()
    }
}

fn run<S: Sink>(config: &ProtocolMachineConfig, sink: S) -> ProtocolMachine<Host, S> {
    let host = Host {
        left: ROUNDS,
        payload: Value::bytes(&[7; 64]),
    };
    let mut machine = ProtocolMachine::with_sink(config.clone(), host, sink);
    let image = sample::ping_pong_bytes();
    machine
        .load_choreography(&image, "bench")
        .expect("there is room");
    machine.run(u64::MAX);
    machine
}

fn emptied(file: &File) -> File {
    let mut file = file.try_clone().expect("it is open");
    file.set_len(0).expect("it can be written");
    file.seek(SeekFrom::Start(0)).expect("it is a file");
    file
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("run");
    group.throughput(Throughput::Elements(ROUNDS * 2));
    let file = tempfile::tempfile().expect("there is room");
    let full = header(DeterminismMode::Full);
    group.bench_function("none", |b| b.iter(|| black_box(run(&full.config, NoSink))));
    group.bench_function("trace", |b| {
        b.iter(|| black_box(run(&full.config, TraceDigest::default())));
    });
    for (name, mode) in [
        ("modulo-effects", DeterminismMode::ModuloEffects),
        ("full", DeterminismMode::Full),
    ] {
        let header = header(mode);
        group.bench_function(format!("{name}/memory"), |b| {
            b.iter(|| {
                let out = Vec::with_capacity(16 << 20);
                let recorder = Recorder::create(out, &header, Flush::default()).expect("memory");
                let (kernel, _, recorder) = run(&header.config, recorder).into_parts();
                recorder.finish(&kernel).expect("memory")
            });
        });
        let make = || NoSync(emptied(&file));
        group.bench_function(format!("{name}/file"), |b| {
            let run = |out| {
                let recorder = Recorder::create(out, &header, Flush::default()).expect("a file");
                let (kernel, _, recorder) = run(&header.config, recorder).into_parts();
                recorder.finish(&kernel).expect("a file")
            };
            b.iter_batched(make, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// The sync at the end costs what the disk costs, once: it is not what these benches are about.
struct NoSync(File);

impl std::io::Write for NoSync {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl antiphon_record::Store for NoSync {
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn replaying(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(ROUNDS * 2));
    for (name, mode) in [
        ("modulo-effects", DeterminismMode::ModuloEffects),
        ("full", DeterminismMode::Full),
    ] {
        let header = header(mode);
        let recorder = Recorder::create(Vec::new(), &header, Flush::default()).expect("memory");
        let (kernel, _, recorder) = run(&header.config, recorder).into_parts();
        let bytes = recorder.finish(&kernel).expect("memory");
        group.bench_function(name, |b| {
            b.iter(|| {
                let report = replay_twice(Cursor::new(&bytes)).expect("it is sound");
                assert_eq!(report.verdict, Verdict::Equal);
                report
            });
        });
        group.bench_function(format!("{name}/read"), |b| {
            b.iter(|| {
                let mut reader = Reader::open(&bytes[..]).expect("it is sound");
                while let Some(entry) = reader.entry().expect("memory") {
                    black_box(entry);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, recording, replaying);
criterion_main!(benches);
