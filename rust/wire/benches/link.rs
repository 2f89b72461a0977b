//! The throughput of both sides of a link, without a transport.

use std::hint::black_box;

use antiphon_wire::*;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Both sides after their handshake, with one command open that has no flow control.
struct Pair {
    host: HostLink,
    agent: AgentLink,
    deframer: Deframer,
    id: u32,
}

impl Pair {
    fn new() -> Self {
        let (mut to_agent, mut to_host) = (Vec::new(), Vec::new());
        let offer = HostOffer::default();
        let mut host = HostLink::new(offer, &mut to_agent).expect("a good offer");
        let offer = AgentOffer::new(Features::all(), String::new(), String::new());
        let mut agent = AgentLink::new(offer);
        let mut deframer = Deframer::default();
        let take = |deframer: &mut Deframer, bytes: &mut Vec<u8>| {
            deframer.push(bytes);
            bytes.clear();
            deframer.next().expect("good").expect("whole")
        };
        let hello = take(&mut deframer, &mut to_agent);
        let event = agent.receive(hello, &mut to_host).expect("ready");
        assert!(matches!(event, AgentEvent::Ready(_)));
        let ok = take(&mut deframer, &mut to_host);
        let event = host.receive(ok, &mut to_agent).expect("ready");
        assert!(matches!(event, HostEvent::Ready(_)));
        let request = Message::ExecRequest(ExecRequest::new("yes".to_owned()));
        let id = host.request(request, &mut to_agent).expect("sent");
        let request = take(&mut deframer, &mut to_agent);
        let event = agent.receive(request, &mut to_host).expect("taken");
        assert!(matches!(event, AgentEvent::Request { .. }));
        Self {
            host,
            agent,
            deframer,
            id,
        }
    }

    /// Carries output from the agent to the host's events, `count` frames in one write.
    fn carry(&mut self, data: &[u8], count: usize, out: &mut Vec<u8>) -> usize {
        out.clear();
        for _ in 0..count {
            self.agent
                .send_output(self.id, Stream::Stdout, data, out)
                .expect("no bound");
        }
        // In pieces, as from a pipe.
        let mut len = 0;
        for piece in out.chunks(64 << 10) {
            self.deframer.push(piece);
            while let Some(envelope) = self.deframer.next().expect("good") {
                match self.host.receive(envelope, &mut Vec::new()).expect("good") {
                    HostEvent::Output { data, .. } => len += data.len(),
                    other => panic!("{other:?}"),
                }
            }
        }
        len
    }
}

fn output(c: &mut Criterion) {
    let mut group = c.benchmark_group("output through both sides");
    for (len, count) in [(64 << 10, 64), (32 << 10, 64), (64, 4096)] {
        let data = vec![b'y'; len];
        group.throughput(Throughput::Bytes((len * count) as u64));
        group.bench_function(format!("{count} chunks of {len} bytes"), |b| {
            let (mut pair, mut out) = (Pair::new(), Vec::new());
            b.iter(|| black_box(pair.carry(&data, count, &mut out)));
        });
    }
    group.finish();
}

fn request(c: &mut Criterion) {
    c.bench_function("a request and its result", |b| {
        b.iter_batched_ref(
            Pair::new,
            |pair| {
                let (mut to_agent, mut to_host) = (Vec::new(), Vec::new());
                let stat = FsStat {
                    path: "/etc/hosts".to_owned(),
                    follow: None,
                };
                let id = pair
                    .host
                    .request(Message::FsStat(stat), &mut to_agent)
                    .expect("sent");
                pair.deframer.push(&to_agent);
                let stat = pair.deframer.next().expect("good").expect("whole");
                let event = pair.agent.receive(stat, &mut to_host).expect("taken");
                let result = OpResult::Ok(OpValue::FsStat(Stat {
                    kind: FileKind::File,
                    perm: Permissions::new(0o644).expect("permissions"),
                    size: 1,
                    mtime_ms: None,
                }));
                pair.agent
                    .send(id, Message::OpResult(result), &mut to_host)
                    .expect("owed");
                pair.deframer.push(&to_host);
                let result = pair.deframer.next().expect("good").expect("whole");
                black_box((
                    event,
                    pair.host.receive(result, &mut to_agent).expect("good"),
                ))
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, output, request);
criterion_main!(benches);
