//! Frames that arrive in pieces, are cut off, are hostile, or use another well-formed encoding.

use crate::common;
use crate::common::{fixtures, golden, samples};
use antiphon_codec::{Item, Limits, decode_strict};
use antiphon_wire::*;
use proptest::prelude::*;

fn frames() -> Vec<Vec<u8>> {
    samples()
        .iter()
        .map(|(_, envelope)| envelope.to_frame().expect("a sample follows the schema"))
        .collect()
}

/// The messages and errors of a deframer that gets `pieces`.
fn run<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Envelope>, Deframer) {
    let mut deframer = Deframer::default();
    let mut got = Vec::new();
    for piece in pieces {
        deframer.push(piece);
        while let Some(envelope) = deframer.next().expect("a good stream") {
            got.push(envelope);
        }
    }
    (got, deframer)
}

proptest! {
    #[test]
    fn decodes_messages_at_any_split(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let samples = samples();
        let mut sent = Vec::new();
        let mut stream = Vec::new();
        for pick in picks {
            let (_, envelope) = pick.get(&samples);
            envelope.encode(&mut stream, FrameLen::DEFAULT).expect("a sample");
            sent.push(envelope.clone());
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        let (got, deframer) = run(pieces);
        prop_assert_eq!(got, sent);
        prop_assert_eq!(deframer.finish(), Ok(()));
        prop_assert_eq!(deframer.held_len(), 0);
    }
}

#[test]
fn decodes_every_message_byte_by_byte() {
    let sent: Vec<_> = samples()
        .into_iter()
        .map(|(_, envelope)| envelope)
        .collect();
    let stream = frames().concat();
    let (got, deframer) = run(stream.chunks(1));
    assert_eq!(got, sent);
    assert_eq!(deframer.finish(), Ok(()));
    // Also if all bytes are pushed first.
    let (got, _) = run([&stream[..]]);
    assert_eq!(got, sent);
}

#[test]
fn an_end_within_a_frame_is_an_error() {
    let frames = frames();
    let stream = frames[..3].concat();
    let ends: Vec<usize> = frames[..3]
        .iter()
        .scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        })
        .collect();
    for len in 0..=stream.len() {
        let (_, deframer) = run([&stream[..len]]);
        let whole = ends
            .iter()
            .copied()
            .filter(|end| *end <= len)
            .max()
            .unwrap_or(0);
        let held = len - whole;
        let needed = if held < HEADER_LEN {
            HEADER_LEN
        } else {
            frames[ends.iter().filter(|end| **end <= len).count()].len()
        };
        let expected = if held == 0 {
            Ok(())
        } else {
            Err(FrameError::Cut { held, needed })
        };
        assert_eq!(deframer.finish(), expected, "cut at {len}");
    }
}

/// With quadratic work this would take minutes, not a second.
#[test]
fn work_is_linear_in_the_bytes_pushed() {
    let started = std::time::Instant::now();
    let data = vec![7; 4 << 20];
    let mut long = Vec::new();
    let room = usize::try_from(FRAME_OVERHEAD_LEN).expect("small");
    encode_exec_output(
        &mut long,
        1,
        1,
        Stream::Stdout,
        &data[..data.len() - room],
        FrameLen::DEFAULT,
    )
    .expect("as long as a frame may be");
    let (got, _) = run(long.chunks(1));
    assert_eq!(got.len(), 1);

    let ping = Envelope::new(1, Message::Ping(Empty {}))
        .to_frame()
        .expect("a ping");
    let count = 200_000;
    let (got, deframer) = run([&ping.repeat(count)[..]]);
    assert_eq!(got.len(), count);
    assert_eq!(deframer.held_len(), 0);

    // A long backlog: one frame is taken for each frame pushed.
    let mut deframer = Deframer::default();
    let backlog = ping.repeat(4 * count);
    deframer.push(&backlog);
    for _ in 0..count {
        deframer.push(&ping);
        assert!(matches!(deframer.next(), Ok(Some(_))));
    }
    assert_eq!(deframer.held_len(), backlog.len());
    let reserved = deframer.reserved_len();
    assert!(
        reserved <= 4 * backlog.len(),
        "{reserved} bytes for a backlog that does not grow"
    );

    // A backlog that never empties: one frame is taken between two pushes.
    let mut deframer = Deframer::default();
    let mut taken = 0;
    deframer.push(&ping[..3]);
    for _ in 0..count {
        deframer.push(&ping[3..]);
        deframer.push(&ping[..3]);
        taken += usize::from(deframer.next().expect("a good stream").is_some());
    }
    assert_eq!(taken, count);
    assert!(
        deframer.reserved_len() < 1024,
        "{} bytes reserved",
        deframer.reserved_len()
    );
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn memory_grows_with_the_bytes_received() {
    let mut deframer = Deframer::default();
    deframer.push(&FRAME_LEN_MAX.to_be_bytes());
    deframer.push(b"ten bytes.");
    assert_eq!(deframer.next(), Ok(None));
    assert!(
        deframer.reserved_len() < 256,
        "{} bytes reserved",
        deframer.reserved_len()
    );

    // A length above the bound is a permanent error at once, and no bytes are kept.
    let mut deframer = Deframer::default();
    deframer.push(&(FRAME_LEN_MAX + 1).to_be_bytes());
    let error = FrameError::TooLong {
        len: FRAME_LEN_MAX + 1,
        max: FRAME_LEN_MAX,
    };
    for _ in 0..3 {
        assert_eq!(deframer.next(), Err(error.clone()));
        deframer.push(&[0; 1000]);
    }
    assert_eq!(deframer.finish(), Err(error));
    assert_eq!(deframer.reserved_len(), 0);

    // After a burst most memory is given back.
    let burst = Envelope::new(1, Message::Ping(Empty {}))
        .to_frame()
        .expect("a ping");
    let (_, deframer) = run([&burst.repeat(100_000)[..]]);
    assert!(
        deframer.reserved_len() <= 256 << 10,
        "{} bytes reserved",
        deframer.reserved_len()
    );
}

#[test]
fn a_smaller_bound_applies_in_both_directions() {
    let len_max = FrameLen::new(FRAME_LEN_MIN).expect("the least");
    let mut out = vec![1, 2, 3];
    let data = vec![0; 5000];
    let refused = encode_exec_output(&mut out, 1, 1, Stream::Stderr, &data, len_max);
    assert!(
        matches!(refused, Err(EncodeError::TooLong { max: FRAME_LEN_MIN, len }) if len > 5000),
        "{refused:?}"
    );
    assert_eq!(out, [1, 2, 3], "nothing is written");
    let fits = usize::try_from(data_len_max(FRAME_LEN_MIN)).expect("small");
    encode_exec_output(
        &mut out,
        1,
        u32::MAX,
        Stream::Stderr,
        &data[..fits],
        len_max,
    )
    .expect("fits with the overhead");
    encode_stdin_data(&mut out, 1, u32::MAX, &data[..fits], true, len_max)
        .expect("fits with the overhead");
    let mut deframer = Deframer::new(len_max, VersionRange::SUPPORTED);
    deframer.push(&out[3..]);
    assert!(matches!(deframer.next(), Ok(Some(_))));
    assert!(matches!(deframer.next(), Ok(Some(_))));
    let (len, max) = (FRAME_LEN_MIN + 1, FRAME_LEN_MIN);
    deframer.push(&len.to_be_bytes());
    assert_eq!(deframer.next(), Err(FrameError::TooLong { len, max }));
}

#[test]
fn direct_encoding_of_data_writes_the_same_frame() {
    let data = b"bytes \x00\xff".to_vec();
    for stream in Stream::ALL {
        let mut straight = Vec::new();
        encode_exec_output(&mut straight, 1, 9, *stream, &data, FrameLen::DEFAULT).expect("short");
        let output = ExecOutput {
            data: data.clone(),
            stream: *stream,
        };
        let through = Envelope::new(9, Message::ExecOutput(output)).to_frame();
        assert_eq!(Ok(straight), through);
    }
    for (eof, field) in [(true, Some(true)), (false, None)] {
        let mut straight = Vec::new();
        encode_stdin_data(&mut straight, 1, 9, &data, eof, FrameLen::DEFAULT).expect("short");
        let input = StdinData {
            eof: field,
            data: data.clone(),
        };
        let through = Envelope::new(9, Message::StdinData(input)).to_frame();
        assert_eq!(Ok(straight), through);
    }
}

#[test]
fn refuses_to_encode_a_payload_that_violates_the_schema() {
    let args = vec![SyscallArg::Number(0); 7];
    let cases = [
        (
            Message::Syscall(Syscall {
                nr: 1,
                args,
                bufs: Vec::new(),
            }),
            "args",
        ),
        (
            Message::Syscall(Syscall {
                nr: 1,
                args: vec![SyscallArg::Buffer(BufferRef { buf: 0 })],
                bufs: Vec::new(),
            }),
            "args.0.buf",
        ),
        (
            Message::Hello(Hello {
                minor: None,
                ids_max: None,
                features: Features::all(),
                min_version: 3,
                frame_len_max: None,
                protocol_version: 2,
            }),
            "min_version",
        ),
        (
            Message::OpResult(OpResult::Ok(OpValue::FsList(Listing {
                more: false,
                entries: vec![
                    Entry {
                        kind: FileKind::File,
                        name: String::new(),
                        size: None
                    };
                    LIST_LEN_MAX + 1
                ],
                unlisted: None,
            }))),
            "value.entries",
        ),
    ];
    for (message, path) in cases {
        let mut out = Vec::new();
        let kind = message.kind();
        match Envelope::new(1, message).encode(&mut out, FrameLen::DEFAULT) {
            Err(EncodeError::Payload { t, fault }) => {
                assert_eq!((Some(t), fault.path.as_str()), (kind, path));
            }
            other => panic!("{path}: {other:?}"),
        }
        assert!(out.is_empty());
    }
}

/// A full page of entries with all fields is within the bound of items.
#[test]
fn a_full_page_of_entries_fits_a_frame() {
    let entries: Vec<_> = (0..LIST_LEN_MAX)
        .map(|n| Entry {
            kind: FileKind::File,
            name: format!("{n:0255}"),
            size: Some(u64::MAX),
        })
        .collect();
    let listing = Listing {
        more: true,
        entries,
        unlisted: Some(1),
    };
    let sent = Envelope::new(1, Message::OpResult(OpResult::Ok(OpValue::FsList(listing))));
    let frame = sent.to_frame().expect("fits");
    let (got, _) = run([&frame[..]]);
    assert_eq!(got, [sent]);
}

// Streams of a hostile peer.

fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short");
    [&len.to_be_bytes()[..], body].concat()
}

fn envelope(v: Item, t: Item, id: Item, p: Item) -> Vec<u8> {
    framed(&Item::map([("v", v), ("t", t), ("id", id), ("p", p)]).encode())
}

fn message(t: &str, payload: Item) -> Vec<u8> {
    envelope(Item::Uint(1), Item::from(t), Item::Uint(5), payload)
}

fn no_payload() -> Item {
    Item::Map(Vec::new())
}

fn output(data: Item, stream: &str) -> Vec<u8> {
    payload(
        "exec_output",
        [("data", data), ("stream", Item::from(stream))],
    )
}

fn payload<const N: usize>(t: &str, fields: [(&str, Item); N]) -> Vec<u8> {
    message(t, Item::map(fields))
}

fn ping_of(v: Item, id: Item) -> Vec<u8> {
    envelope(v, Item::from("ping"), id, no_payload())
}

/// Streams that must each end in an error, by name.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    [hostile_bodies(), hostile_envelopes(), hostile_payloads()].concat()
}

fn hostile_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut nested = vec![0x81; 64];
    nested.push(0x00);
    let mut many = vec![0x9a, 0x00, 0x01, 0x00, 0x01];
    many.extend(vec![0x00; 65_537]);
    let ping = ping_of(Item::Uint(1), Item::Uint(1));
    let trailing = framed(&[&ping[HEADER_LEN..], b"\x00"].concat());
    let long_array = framed(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff");
    let long_bytes = framed(b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff");
    vec![
        (
            "length-above-bound",
            (FRAME_LEN_MAX + 1).to_be_bytes().to_vec(),
        ),
        ("length-greatest", vec![0xff; 4]),
        ("length-zero", framed(b"")),
        ("cut-in-length", vec![0, 0, 0]),
        ("cut-in-body", vec![0, 0, 0, 2, 0xa1]),
        ("body-not-cbor", framed(b"\xff\xff")),
        ("body-reserved-head", framed(b"\x1c")),
        ("body-ends-early", framed(b"\xa4\x61p")),
        ("body-claims-too-much", long_array),
        ("body-claims-long-bytes", long_bytes),
        ("body-trailing-byte", trailing),
        ("body-nested", framed(&nested)),
        ("body-too-many-items", framed(&many)),
        ("body-text-not-utf8", framed(b"\xa1\x61v\x62\xc3\x28")),
        ("body-duplicate-key", framed(b"\xa2\x61v\x01\x61v\x01")),
        (
            "payload-duplicate-key",
            framed(b"\xa1\x61p\xa2\x61a\x01\x61a\x02"),
        ),
        ("body-array", framed(b"\x80")),
        ("body-integer", framed(b"\x01")),
    ]
}

fn hostile_envelopes() -> Vec<(&'static str, Vec<u8>)> {
    let (one, text) = (|| Item::Uint(1), Item::from);
    let without_v = Item::map([("t", text("ping"))]);
    let without_p = Item::map([("v", one()), ("t", text("ping")), ("id", one())]);
    let later = envelope(Item::Uint(2), text("exec_request"), Item::Uint(3), one());
    let hello = envelope(Item::Uint(2), text("hello"), Item::Uint(0), no_payload());
    vec![
        ("envelope-empty", framed(b"\xa0")),
        ("envelope-without-v", framed(&without_v.encode())),
        ("envelope-without-p", framed(&without_p.encode())),
        ("id-negative", ping_of(one(), Item::Nint(0))),
        ("id-above-32-bits", ping_of(one(), Item::Uint(1 << 32))),
        ("id-text", ping_of(one(), text("1"))),
        ("id-float", ping_of(one(), Item::Float(1.0))),
        ("v-text", ping_of(text("1"), one())),
        ("v-unknown", ping_of(Item::Uint(9), one())),
        ("v-unknown-with-unknown-payload", later),
        ("hello-in-another-version", hello),
        ("t-integer", envelope(one(), one(), one(), no_payload())),
        ("t-too-long", message(&"x".repeat(65), no_payload())),
        ("p-array", message("ping", Item::Array(Vec::new()))),
        ("p-null", message("ping", Item::Null)),
        ("p-null-of-unknown-type", message("later", Item::Null)),
    ]
}

fn hostile_payloads() -> Vec<(&'static str, Vec<u8>)> {
    let (text, none) = (|text| Item::from(text), || Item::Bytes(Vec::new()));
    let exit = |code: Item| payload("exec_response", [("exit_code", code)]);
    let argv = Item::Array(vec![text("ls"), Item::Uint(1)]);
    let value = Item::map([("written", Item::Uint(1))]);
    let result = [
        ("op", text("fs_open")),
        ("outcome", text("ok")),
        ("value", value),
    ];
    let hello = Item::map([
        ("features", Item::Array(Vec::new())),
        ("min_version", Item::Uint(2)),
        ("protocol_version", Item::Uint(1)),
    ]);
    let mode = [("mode", Item::Uint(64)), ("path", text("/"))];
    vec![
        ("field-missing", message("exec_request", no_payload())),
        ("field-null", exit(Item::Null)),
        (
            "optional-field-null",
            payload("exec_request", [("cmd", text("ls")), ("cwd", Item::Null)]),
        ),
        ("field-text-for-bytes", output(text("text"), "stdout")),
        ("field-float-for-integer", exit(Item::Float(1.0))),
        ("integer-too-large", exit(Item::Uint(1 << 31))),
        ("integer-too-small", exit(Item::Nint(1 << 31))),
        ("integer-least", exit(Item::Nint(u64::MAX))),
        ("name-unknown", output(none(), "stdlog")),
        ("name-with-escapes", output(none(), "\u{1b}[2J\u{7}evil")),
        ("name-long", output(none(), &"s".repeat(10_000))),
        ("signal-zero", payload("signal", [("signo", Item::Uint(0))])),
        (
            "credit-zero",
            payload("stdin_window", [("credit", Item::Uint(0))]),
        ),
        ("mode-unknown-bits", payload("fs_open", mode)),
        (
            "argument-in-array-wrong",
            payload("exec_request", [("cmd", text("ls")), ("argv", argv)]),
        ),
        ("result-of-another-shape", payload("op_result", result)),
        (
            "range-inverted",
            envelope(Item::Uint(1), text("hello"), Item::Uint(0), hello),
        ),
    ]
}

#[test]
fn every_hostile_stream_has_its_error() {
    let mut names = std::collections::BTreeSet::new();
    for (name, bytes) in hostile() {
        let mut deframer = Deframer::default();
        deframer.push(&bytes);
        let fault = match deframer.next() {
            Err(error) => error,
            Ok(None) => deframer.finish().expect_err(name),
            Ok(Some(envelope)) => panic!("{name} was accepted: {envelope:?}"),
        };
        let text = format!(
            "{fault}\nfatal: {}\nid: {:?}\n",
            fault.is_fatal(),
            fault.id()
        );
        assert!(
            text.len() < 1000,
            "{name}: an error of {} bytes",
            text.len()
        );
        assert!(
            !text.contains('\u{1b}'),
            "{name}: an escape of the peer is shown"
        );
        golden(&fixtures().join(format!("hostile/{name}.bytes")), &bytes);
        golden(
            &fixtures().join(format!("hostile/{name}.fault")),
            text.as_bytes(),
        );
        names.extend([format!("{name}.bytes"), format!("{name}.fault")]);

        // After an error of one frame the next one is read; after a fatal error no frame is.
        let good = Envelope::new(1, Message::Ping(Empty {}));
        deframer.push(&good.to_frame().expect("a ping"));
        match (&fault, fault.is_fatal()) {
            // Here the pushed ping completed the cut frame.
            (FrameError::Cut { .. }, _) => {}
            (_, true) => assert_eq!(deframer.next(), Err(fault), "{name}"),
            (_, false) => assert_eq!(deframer.next(), Ok(Some(good)), "{name}"),
        }
    }
    let found = std::fs::read_dir(fixtures().join("hostile")).expect("the fixtures");
    let found: std::collections::BTreeSet<_> = found
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    assert_eq!(found, names, "a fixture is left over or forgotten");
}

// The same messages in other well-formed CBOR.

/// Writes `item` in one of its forms that are not deterministic.
fn write_other_form(item: &Item, choose: &mut dyn FnMut(u8) -> u8, out: &mut Vec<u8>) {
    let mut head = |out: &mut Vec<u8>, major: u8, n: u64| {
        let major = major << 5;
        let least = match n {
            0..24 => 0,
            24..0x100 => 1,
            0x100..0x1_0000 => 2,
            0x1_0000..0x1_0000_0000 => 3,
            _ => 4,
        };
        match least + choose(5 - least) {
            0 => out.push(major | u8::try_from(n).expect("below 24")),
            1 => out.extend([major | 24, u8::try_from(n).expect("one byte")]),
            2 => {
                out.push(major | 25);
                out.extend(u16::try_from(n).expect("two bytes").to_be_bytes());
            }
            3 => {
                out.push(major | 26);
                out.extend(u32::try_from(n).expect("four bytes").to_be_bytes());
            }
            _ => {
                out.push(major | 27);
                out.extend(n.to_be_bytes());
            }
        }
    };
    let len = |n: usize| u64::try_from(n).expect("short");
    match item {
        Item::Uint(n) => head(out, 0, *n),
        Item::Nint(n) => head(out, 1, *n),
        Item::Bytes(bytes) => {
            let half = bytes.len() / 2;
            out.push(0x5f);
            head(out, 2, len(half));
            out.extend(&bytes[..half]);
            head(out, 2, len(bytes.len() - half));
            out.extend(&bytes[half..]);
            out.push(0xff);
        }
        Item::Text(text) => {
            head(out, 3, len(text.len()));
            out.extend(text.as_bytes());
        }
        Item::Array(items) => {
            out.push(0x9f);
            for item in items {
                write_other_form(item, choose, out);
            }
            out.push(0xff);
        }
        Item::Map(entries) => {
            head(out, 5, len(entries.len()));
            for (key, value) in entries.iter().rev() {
                write_other_form(key, choose, out);
                write_other_form(value, choose, out);
            }
        }
        Item::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        other => panic!("no message has {other:?}"),
    }
}

proptest! {
    #[test]
    fn accepts_any_well_formed_encoding(choices in prop::collection::vec(any::<u8>(), 64)) {
        for (name, envelope) in samples() {
            let frame = envelope.to_frame().expect("a sample follows the schema");
            let item = decode_strict(&frame[HEADER_LEN..], &Limits::default()).expect("strict");
            let mut next = choices.iter().cycle();
            let mut choose = |n: u8| next.next().copied().unwrap_or(0) % n.max(1);
            let mut body = Vec::new();
            write_other_form(&item, &mut choose, &mut body);
            prop_assert_ne!(&body[..], &frame[HEADER_LEN..], "{}", name);
            let (got, _) = run([&framed(&body)[..]]);
            prop_assert_eq!(got, [envelope], "{}", name);
        }
    }
}

#[test]
fn keeps_unknown_types_and_ignores_unknown_keys() {
    let later = message("fs_watch", Item::map([("path", Item::from("/"))]));
    let (got, _) = run([&later[..]]);
    let unknown = Message::Unknown(UnknownType {
        t: "fs_watch".to_owned(),
    });
    assert_eq!(
        got,
        [Envelope {
            v: 1,
            id: 5,
            message: unknown.clone()
        }]
    );
    assert_eq!(unknown.kind(), None);
    assert_eq!(unknown.name(), "fs_watch");

    let payload = [
        ("signo", Item::Uint(9)),
        ("core", Item::Bool(true)),
        ("x", Item::Null),
    ];
    let mut entries: Vec<_> = payload
        .into_iter()
        .map(|(key, value)| (Item::from(key), value))
        .collect();
    entries.push((Item::Uint(7), Item::Array(Vec::new())));
    let body = Item::map([
        ("v", Item::Uint(1)),
        ("t", Item::from("signal")),
        ("id", Item::Uint(5)),
        ("p", Item::Map(entries)),
        ("trace", Item::from("abc")),
    ]);
    let (got, _) = run([&framed(&body.encode())[..]]);
    let signal = Message::Signal(Signal { signo: Signo::KILL });
    assert_eq!(
        got,
        [Envelope {
            v: 1,
            id: 5,
            message: signal
        }]
    );
}

#[test]
fn a_deframer_accepts_only_the_agreed_version() {
    let range = VersionRange { min: 1, max: 3 };
    let mut deframer = Deframer::new(FrameLen::DEFAULT, range);
    let ping = |v| Envelope {
        v,
        id: 1,
        message: Message::Ping(Empty {}),
    };
    for v in 1..=3 {
        deframer.push(&ping(v).to_frame().expect("a ping"));
        assert_eq!(deframer.next(), Ok(Some(ping(v))));
    }
    let supported = VersionRange { min: 2, max: 2 };
    deframer.set_versions(supported);
    for got in [1, 3] {
        deframer.push(&ping(got).to_frame().expect("a ping"));
        let error = FrameError::Version {
            id: 1,
            got,
            supported,
        };
        assert_eq!(error.reply().code, ErrorCode::UnsupportedVersion);
        assert_eq!(error.reply().supported, Some(supported));
        assert_eq!(deframer.next(), Err(error));
    }
    deframer.push(&ping(2).to_frame().expect("a ping"));
    assert_eq!(deframer.next(), Ok(Some(ping(2))));
}

#[test]
fn decodes_events_at_any_split_and_skips_faulty_ones() {
    let events = common::events();
    let mut stream = Vec::new();
    for (_, event) in &events {
        event.encode(&mut stream).expect("a sample is short");
    }
    for size in [1, 7, stream.len()] {
        let mut deframer = EventDeframer::default();
        let mut got = Vec::new();
        for piece in stream.chunks(size) {
            deframer.push(piece);
            while let Some(event) = deframer.next().expect("a good stream") {
                got.push(event);
            }
        }
        assert!(got.iter().eq(events.iter().map(|(_, event)| event)));
        assert_eq!(deframer.finish(), Ok(()));
    }
    let later = Item::map([("v", Item::Uint(2)), ("what", Item::Null)]);
    let mut deframer = EventDeframer::default();
    deframer.push(&framed(&later.encode()));
    deframer.push(&framed(&Item::map([("v", Item::Uint(1))]).encode()));
    deframer.push(&stream);
    assert!(matches!(
        deframer.next(),
        Err(FrameError::Version { got: 2, .. })
    ));
    assert!(matches!(deframer.next(), Err(FrameError::Envelope(_))));
    assert_eq!(deframer.next(), Ok(Some(events[0].1.clone())));
}
