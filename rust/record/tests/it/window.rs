//! Reading and replaying a recording of any length needs bounded memory.
//!
//! The whole recording is never in memory: one thread records a run into a pipe, another replays
//! the bytes from the pipe. Allocations are counted per thread, so only those of the replay are
//! measured.

use std::io::{self, PipeWriter, Read, Write};
use std::thread::{self, JoinHandle};

use allocation_counter::measure;
use antiphon_machine::{Value, sample};
use antiphon_record::{
    CompareOptions, Flush, Likeness, Reader, Recorder, Store, Tail, Timeline, Verdict, compare,
    replay,
};

use crate::runs::{Host, full};

/// Bytes that a replay may allocate at a time: two records, an image, two dozen payloads of the
/// last events.
const WINDOW_MAX: u64 = 2 << 20;

struct Pipe(PipeWriter);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store for Pipe {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the bytes read.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read(buffer)?;
        self.1 += got as u64;
        Ok(got)
    }
}

/// A run with a number of pings, recorded by another thread.
fn streamed(pings: u64, payload: fn(u64) -> Value) -> (impl Read, JoinHandle<()>) {
    let (from, to) = io::pipe().expect("a pipe");
    let run = move || {
        let header = full();
        let recorder = Recorder::create(Pipe(to), &header, Flush::default()).expect("a pipe");
        let host = Host::of_bytes(pings, payload);
        let config = header.config.clone();
        let mut machine = antiphon_machine::ProtocolMachine::with_sink(config, host, recorder);
        let opened = machine.load_choreography(&sample::ping_pong_bytes(), "me");
        opened.expect("there is room");
        machine.run(u64::MAX);
        let (kernel, _, recorder) = machine.into_parts();
        recorder
            .finish(&kernel)
            .expect("the reader reads to the end");
    };
    (from, thread::spawn(run))
}

fn large(n: u64) -> Value {
    Value::bytes(&[n as u8; 32 << 10])
}

fn small(n: u64) -> Value {
    Value::bytes(&[n as u8; 64])
}

#[test]
fn hundreds_of_megabytes_replay_in_two_megabytes() {
    let asked = std::env::var("RECORDING_MEGABYTES").ok();
    let megabytes = asked.map_or(300, |n| n.parse().expect("a number of megabytes"));
    // Each round has its payload three times: the outcome of `produce` and two `deliver`s.
    let (from, run) = streamed(megabytes * 1_000_000 / (3 * (32 << 10)) + 1, large);
    let mut from = Counted(from, 0);
    let mut report = None;
    let counted = measure(|| report = Some(replay(&mut from).expect("a pipe")));
    run.join().expect("the run does not panic");
    let report = report.expect("the measurement ran");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.tail, Some(Tail::Sealed));
    assert!(from.1 > megabytes * 1_000_000, "{} bytes", from.1);
    assert!(
        counted.bytes_max < WINDOW_MAX,
        "{} bytes held at a time",
        counted.bytes_max
    );
}

#[test]
fn a_timeline_of_a_hundred_thousand_events_needs_bounded_memory() {
    let (from, run) = streamed(9_000, small);
    let (mut moments, mut tail) = (0u64, None);
    let counted = measure(|| {
        let mut timeline = Timeline::open(from).expect("a pipe");
        for moment in timeline.by_ref() {
            moment.expect("a pipe");
            moments += 1;
        }
        tail = timeline.tail().cloned();
    });
    run.join().expect("the run does not panic");
    assert!(moments > 100_000, "{moments} moments");
    assert_eq!(tail, Some(Tail::Sealed));
    assert!(
        counted.bytes_max < WINDOW_MAX,
        "{} bytes held at a time",
        counted.bytes_max
    );
}

#[test]
fn a_recorder_needs_bounded_memory() {
    let header = full();
    let counted = measure(|| {
        let store = io::sink();
        let recorder =
            Recorder::create(store, &header, Flush::default()).expect("the sink does not fail");
        let host = Host::of_bytes(500, large);
        let config = header.config.clone();
        let mut machine = antiphon_machine::ProtocolMachine::with_sink(config, host, recorder);
        let opened = machine.load_choreography(&sample::ping_pong_bytes(), "me");
        opened.expect("there is room");
        machine.run(u64::MAX);
        let (kernel, _, recorder) = machine.into_parts();
        recorder.finish(&kernel).expect("the sink does not fail");
    });
    assert!(
        counted.bytes_max < WINDOW_MAX,
        "{} bytes held at a time",
        counted.bytes_max
    );
}

#[test]
fn an_entry_of_endless_parts_is_refused() {
    // A valid record with a part that announces another part, repeated without end, as an attacker
    // who knows the format can write. The reader stops at its limit.
    struct Endless {
        content: Vec<u8>,
        chain: [u8; 32],
        out: Vec<u8>,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.out.is_empty() {
                let (record, chain) = crate::damage::sealed_record(&self.chain, &self.content);
                (self.out, self.chain) = (record, chain);
            }
            let len = buffer.len().min(self.out.len());
            buffer[..len].copy_from_slice(&self.out[..len]);
            self.out.drain(..len);
            Ok(len)
        }
    }
    let writer =
        antiphon_record::Writer::create(Vec::new(), &full()).expect("memory does not fail");
    let head = writer.finish().expect("memory does not fail");
    let chain = Reader::open(&head[..]).expect("a valid recording").chain();
    let mut content = vec![0x83, 0x07, 0xf5, 0x59, 0xc0, 0x00];
    content.resize(content.len() + 0xc000, 0x55);
    let endless = Endless {
        content,
        chain,
        out: Vec::new(),
    };
    let mut tail = None;
    let counted = measure(|| {
        let mut reader = Reader::open(head.chain(endless)).expect("a header");
        assert_eq!(reader.entry().expect("memory does not fail"), None);
        tail = reader.tail().map(Tail::to_string);
    });
    let tail = tail.expect("the reader has ended");
    assert!(
        tail.contains("its parts are longer than the limit of 16777216"),
        "{tail}"
    );
    assert!(
        counted.bytes_max < 40 << 20,
        "{} bytes held at a time",
        counted.bytes_max
    );
}

#[test]
fn a_comparison_needs_bounded_memory() {
    let rounds = 40_000_000 / (3 * (32 << 10)) + 1;
    let ((left, one), (right, other)) = (streamed(rounds, large), streamed(rounds, large));
    let mut compared = None;
    let options = CompareOptions::default();
    let counted = measure(|| {
        compared = Some(compare(left, right, &options).expect("pipes"));
    });
    one.join().expect("the run does not panic");
    other.join().expect("the run does not panic");
    let compared = compared.expect("the measurement ran");
    assert_eq!(compared.likeness, Likeness::Equal);
    assert!(compared.messages > rounds, "{compared:?}");
    assert!(
        counted.bytes_max < 3 * WINDOW_MAX,
        "{} bytes held at a time",
        counted.bytes_max
    );
}
