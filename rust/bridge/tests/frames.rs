//! The deframer of `antiphon-wire` against the model's, on streams that are cut anywhere. The test
//! fails if Lean is not installed.
#![allow(clippy::print_stdout, reason = "a successful run prints its figures")]

use antiphon_codec::Encoder;
use antiphon_wire::{
    Deframer, Envelope, FRAME_LEN_MIN, FrameError, FrameLen, HEADER_LEN, PROTOCOL_VERSION,
    VersionRange,
};

mod common;

use common::oracle;

/// Streams that are generated from a seed.
const STREAMS: u64 = 200;

/// The length of the longest generated body is below this, except for one body in a stream of its
/// own.
const BODY_LEN_MAX: u64 = 60;

/// A sequence of numbers that a seed determines: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// A body with this version, type and length of its payload's only field.
fn body(version: u32, name: &str, id: u32, len: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let mut out = Encoder::new(&mut body);
    out.map(4).text("v").uint(version.into()).text("t");
    out.text(name).text("id").uint(id.into()).text("p").map(1);
    out.text("x").bytes(&vec![7; len as usize]);
    body
}

/// A message, a fault or, rarely, a fatal fault.
fn any_body(numbers: &mut Numbers) -> Vec<u8> {
    let (id, len) = (numbers.below(9) as u32, numbers.below(BODY_LEN_MAX));
    match numbers.below(24) {
        0 => Vec::new(),
        1 => vec![0xff; 1 + len as usize],
        2..6 => body(99, "later", id, len),
        // Without the fields that it needs.
        6..10 => body(PROTOCOL_VERSION, "exec", id, len),
        _ => body(PROTOCOL_VERSION, "later", id, len),
    }
}

fn push_frame(stream: &mut Vec<u8>, body: &[u8]) {
    let len = u32::try_from(body.len()).expect("a short body");
    stream.extend(len.to_be_bytes());
    stream.extend(body);
}

/// Frames, some of which have too long a body, and perhaps the start of a further one.
fn stream(numbers: &mut Numbers) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..numbers.below(9) {
        push_frame(&mut stream, &any_body(numbers));
    }
    match numbers.below(6) {
        // The bound itself is allowed; the stream then ends in this frame.
        0 => stream.extend(FRAME_LEN_MIN.to_be_bytes()),
        1 => stream.extend((FRAME_LEN_MIN + 1).to_be_bytes()),
        2 => stream.extend([255; 9]),
        3 => stream.extend(&[0, 0, 0][..numbers.below(4) as usize]),
        _ => {}
    }
    stream
}

/// The stream in pieces of at most `len_max` bytes, some of them empty.
fn cut(mut stream: &[u8], len_max: u64, numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let len = (numbers.below(len_max + 1) as usize).min(stream.len());
        let (piece, rest) = stream.split_at(len);
        pieces.push(piece.to_vec());
        stream = rest;
    }
    pieces
}

/// The bodies of a stream up to the first incomplete or too long one.
fn bodies(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some((header, rest)) = stream.split_first_chunk::<HEADER_LEN>() {
        let len = u32::from_be_bytes(*header);
        if len > FRAME_LEN_MIN || rest.len() < len as usize {
            break;
        }
        let (body, rest) = rest.split_at(len as usize);
        bodies.push(body);
        stream = rest;
    }
    bodies
}

/// The number by which the model reads a body: a message, a fault, or a fatal fault.
fn kind(body: &[u8]) -> u64 {
    match Envelope::decode(body, VersionRange::SUPPORTED) {
        Ok(_) => 0,
        Err(error) if error.is_fatal() => 2,
        Err(_) => 1,
    }
}

/// A stream as the model reads it.
fn input(bodies: &[&[u8]], pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    out.array(3).uint(FRAME_LEN_MIN.into()).array(bodies.len());
    for body in bodies {
        out.uint(kind(body));
    }
    out.array(pieces.len());
    for piece in pieces {
        out.bytes(piece);
    }
    bytes
}

/// An error, with the body that it is about.
fn encode_error(error: &FrameError, body: &[u8], out: &mut Encoder<'_>) {
    match error {
        FrameError::TooLong { len, max } => {
            out.array(3).uint(1).uint((*len).into()).uint((*max).into());
        }
        FrameError::Malformed(_)
        | FrameError::Envelope(_)
        | FrameError::Version { .. }
        | FrameError::Payload { .. } => {
            out.array(2).uint(2).bytes(body);
        }
        FrameError::Cut { held, needed } => {
            out.array(3).uint(3).uint(*held as u64);
            out.uint(*needed as u64);
        }
    }
}

/// What a stream amounts to: messages, faults, fatal faults, too long frames, unfinished frames.
#[derive(Debug, Default)]
struct Counts {
    messages: usize,
    faults: usize,
    fatal: usize,
    too_long: usize,
    cut: usize,
}

/// The output of the deframer: for each piece what it completes, then the error of the end.
fn output(bodies: &[&[u8]], pieces: &[Vec<u8>], counts: &mut Counts) -> Vec<u8> {
    let len_max = FrameLen::new(FRAME_LEN_MIN).expect("the least bound");
    let mut deframer = Deframer::new(len_max, VersionRange::SUPPORTED);
    let mut left = bodies.iter();
    let mut last: &[u8] = &[];
    let mut ended = None;
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).array(pieces.len() + 1);
    for piece in pieces {
        deframer.push(piece);
        if let Some(error) = &ended {
            assert_eq!(deframer.next().as_ref(), Err(error), "the error stays");
            Encoder::new(&mut bytes).array(0);
            continue;
        }
        let (mut frames, mut len) = (Vec::new(), 0);
        let mut out = Encoder::new(&mut frames);
        while ended.is_none() {
            let next = deframer.next();
            match &next {
                Ok(None) => break,
                Ok(Some(envelope)) => {
                    last = left.next().expect("a body for each message");
                    let read = Envelope::decode(last, VersionRange::SUPPORTED);
                    assert_eq!(read.as_ref(), Ok(envelope));
                    out.array(2).uint(0).bytes(last);
                    counts.messages += 1;
                }
                Err(error) => {
                    if let FrameError::TooLong { .. } = error {
                        counts.too_long += 1;
                    } else {
                        last = left.next().expect("a body for each fault");
                        counts.faults += 1;
                    }
                    encode_error(error, last, &mut out);
                    if error.is_fatal() {
                        counts.fatal += 1;
                        ended = Some(error.clone());
                    }
                }
            }
            len += 1;
        }
        Encoder::new(&mut bytes).array(len);
        bytes.extend(frames);
    }
    let mut out = Encoder::new(&mut bytes);
    match deframer.finish() {
        Ok(()) => {
            out.null();
        }
        Err(error) => {
            counts.cut += usize::from(matches!(error, FrameError::Cut { .. }));
            encode_error(&error, last, &mut out);
        }
    }
    bytes
}

#[test]
fn frames_equal_the_model_s_wherever_a_stream_is_cut() {
    let mut streams = Vec::new();
    for seed in 1..=STREAMS {
        let mut numbers = Numbers(seed);
        let len_max = [1, 3, 40, 2_000][(seed % 4) as usize];
        let stream = stream(&mut numbers);
        let pieces = cut(&stream, len_max, &mut numbers);
        streams.push((stream, pieces));
    }
    let mut numbers = Numbers(STREAMS + 1);
    let mut long = Vec::new();
    push_frame(&mut long, &body(PROTOCOL_VERSION, "later", 1, 4_000));
    push_frame(&mut long, &body(PROTOCOL_VERSION, "later", 2, 3));
    let pieces = cut(&long, 90, &mut numbers);
    streams.push((long, pieces));

    let mut counts = Counts::default();
    let (mut inputs, mut expected) = (Vec::new(), Vec::new());
    for (stream, pieces) in &streams {
        let bodies = bodies(stream);
        inputs.push(input(&bodies, pieces));
        expected.push(output(&bodies, pieces, &mut counts));
    }
    println!("{} streams: {counts:?}", streams.len());
    let least = counts.faults.min(counts.fatal).min(counts.too_long);
    assert!(counts.messages > 300 && least > 20 && counts.cut > 20);
    let got = oracle().split(&inputs);
    let got = got.unwrap_or_else(|error| panic!("{error}"));
    for (n, (expected, got)) in expected.iter().zip(&got).enumerate() {
        assert_eq!(expected, got, "stream {n}");
    }
}
