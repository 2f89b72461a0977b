//! The cost of a session over a real agent process: its throughput, and its start and end.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use antiphon_guest::driver::{Driver, Guests, Remote};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::GUEST_EXEC;
use antiphon_guest::transport::Transport;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::{
    Class, EffectHandler, EffectId, EffectRequest, Ingress, NoSink, Outcome, Reply, Rest, Value,
    VerifiedImage,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const STREAM_LEN: u64 = 256 << 20;

/// Runs one command, counts its output, detaches at its end.
struct App {
    argv: Vec<&'static str>,
    bytes: u64,
    waiting: Option<(EffectId, Outcome)>,
    over: bool,
    remote: Option<Remote>,
}

impl EffectHandler for App {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        match *request.class() {
            Class::Decide { .. } => {
                let detach = request.choose("detach").expect("it may always detach");
                if self.over {
                    return Reply::Now(detach);
                }
                self.waiting = Some((request.effect(), detach));
                Reply::Later
            }
            Class::Produce { .. } => {
                let argv = self.argv.iter().map(|arg| Value::text(arg)).collect();
                Reply::Now(Outcome::Success(Value::record(vec![
                    Value::text(self.argv[0]),
                    Value::list(argv),
                    Value::list(Vec::new()),
                    Value::option(None),
                    Value::Bool(false),
                    Value::option(None),
                ])))
            }
            _ => {
                self.told(request);
                Reply::Now(Outcome::done())
            }
        }
    }
}

impl App {
    fn told(&mut self, request: &EffectRequest<'_>) {
        let Some(Value::Record(fields)) = request.arg(0) else {
            return;
        };
        if let Some(Value::Bytes(data)) = fields.get(1) {
            self.bytes += data.len() as u64;
            return;
        }
        self.over = true;
        if let (Some((effect, outcome)), Some(remote)) = (self.waiting.take(), &self.remote) {
            remote
                .try_send(Ingress::Outcome { effect, outcome })
                .expect("the driver listens");
        }
    }
}

fn image() -> Arc<VerifiedImage> {
    let source = Source::new("guest_exec.anti", GUEST_EXEC);
    let built = compile_source(source, &NoModules, &Limits::default()).expect("it compiles");
    let (_, compiled) = built.protocols.into_iter().next().expect("it holds one");
    Arc::new(compiled.image.verify().expect("it verifies"))
}

fn exec(image: &Arc<VerifiedImage>, argv: &[&'static str]) -> u64 {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_antiphon-agent"));
    agent.arg("--stdio");
    let transport = Transport::spawn(agent).expect("the agent starts");
    let link = GuestLink::open(transport, Default::default(), Duration::from_secs(10));
    let app = App {
        argv: argv.to_vec(),
        bytes: 0,
        waiting: None,
        over: false,
        remote: None,
    };
    let mut driver = Driver::new(Default::default(), app, NoSink);
    driver.application().remote = Some(driver.remote());
    let guest = driver.add_guest(link.expect("a link"));
    driver
        .open(
            image,
            "bench",
            &Guests::new().roles(guest, ["Agent", "Sink"]),
        )
        .expect("it opens");
    assert_eq!(driver.run(), Rest::Done);
    driver.close().0.bytes
}

fn stream(c: &mut Criterion) {
    let image = image();
    let mut group = c.benchmark_group("guest");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Bytes(STREAM_LEN));
    group.bench_function("head -c 256M /dev/zero", |b| {
        b.iter(|| {
            assert_eq!(
                exec(&image, &["head", "-c", "256M", "/dev/zero"]),
                STREAM_LEN
            )
        });
    });
    group.finish();
}

fn life(c: &mut Criterion) {
    let image = image();
    let mut group = c.benchmark_group("guest");
    group.bench_function("exec true", |b| b.iter(|| exec(&image, &["true"])));
    group.bench_function("plain true", |b| {
        b.iter(|| assert!(Command::new("true").status().expect("it starts").success()));
    });
    group.finish();
}

criterion_group!(benches, stream, life);
criterion_main!(benches);
