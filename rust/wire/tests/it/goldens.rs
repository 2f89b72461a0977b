//! Compares the encoding of every type of the wire with exact bytes. `BLESS=1` writes them.

use crate::common;
use std::collections::BTreeSet;

use crate::common::{events, fixtures, golden, root, samples};
use antiphon_codec::{Item, Limits, decode_strict, diagnostic};
use antiphon_wire::*;

/// The body of a frame, after its length.
fn body(frame: &[u8]) -> &[u8] {
    &frame[HEADER_LEN..]
}

#[test]
fn every_message_matches_its_golden() {
    let mut stream = Vec::new();
    for (name, envelope) in samples() {
        let frame = envelope.to_frame().expect("a sample follows the schema");
        let path = fixtures().join(format!("{name}.cbor"));
        golden(&path, body(&frame));
        let item = decode_strict(body(&frame), &Limits::default())
            .unwrap_or_else(|error| panic!("{name} is not deterministic: {error}"));
        golden(
            &path.with_extension("diag"),
            format!("{}\n", diagnostic(&item)).as_bytes(),
        );
        let decoded = Envelope::decode(body(&frame), VersionRange::SUPPORTED);
        assert_eq!(decoded, Ok(envelope), "{name}");
        stream.extend_from_slice(&frame);
    }
    // All frames in one stream, which also pins the length before each frame.
    golden(&fixtures().join("messages.frames"), &stream);
}

#[test]
fn every_event_matches_its_golden() {
    let mut stream = Vec::new();
    for (name, event) in events() {
        let mut frame = Vec::new();
        event.encode(&mut frame).expect("a sample is short");
        let path = fixtures().join(format!("events/{name}.cbor"));
        golden(&path, body(&frame));
        let item = decode_strict(body(&frame), &Limits::default())
            .unwrap_or_else(|error| panic!("{name} is not deterministic: {error}"));
        golden(
            &path.with_extension("diag"),
            format!("{}\n", diagnostic(&item)).as_bytes(),
        );
        assert_eq!(EventFrame::decode(body(&frame)), Ok(event), "{name}");
        stream.extend_from_slice(&frame);
    }
    golden(&fixtures().join("events.frames"), &stream);
}

#[test]
fn every_golden_has_a_sample() {
    let mut expected = BTreeSet::new();
    let both = |name: String| [format!("{name}.cbor"), format!("{name}.diag")];
    expected.extend(samples().into_iter().flat_map(|(name, _)| both(name)));
    expected.extend(
        events()
            .into_iter()
            .flat_map(|(name, _)| both(format!("events/{name}"))),
    );
    expected.extend(["messages.frames".to_owned(), "events.frames".to_owned()]);
    let mut found = BTreeSet::new();
    for (folder, prefix) in [(fixtures(), ""), (fixtures().join("events"), "events/")] {
        for entry in std::fs::read_dir(folder).expect("the goldens") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            // The surfaces and the hostile frames have their own tests.
            let other = name.starts_with("surface-") || entry.path().is_dir();
            if !other {
                found.insert(format!("{prefix}{name}"));
            }
        }
    }
    assert_eq!(found, expected);
}

/// The payload as a map from key to value.
fn payload(envelope: Envelope) -> Vec<(Item, Item)> {
    match envelope.message.into_payload() {
        Item::Map(entries) => entries,
        other => panic!("a payload is a map, got {other:?}"),
    }
}

fn keys(entries: &[(Item, Item)]) -> BTreeSet<&str> {
    entries
        .iter()
        .map(|(key, _)| key.as_text().expect("a text key"))
        .collect()
}

/// Without a sample, no golden would pin a message or a field.
#[test]
fn samples_cover_every_field_with_and_without() {
    for kind in MessageKind::ALL {
        let payloads: Vec<_> = samples()
            .into_iter()
            .filter(|(_, envelope)| envelope.message.kind() == Some(*kind))
            .map(|(_, envelope)| payload(envelope))
            .collect();
        assert!(!payloads.is_empty(), "no sample of `{kind}`");
        check_fields(kind.name(), kind.fields(), &payloads);
    }
    for kind in EventKind::ALL {
        let mut values = Vec::new();
        for (_, frame) in events()
            .into_iter()
            .filter(|(_, frame)| frame.event.kind() == *kind)
        {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes).expect("a sample is short");
            let item = decode_strict(body(&bytes), &Limits::default()).expect("deterministic");
            let event = item.field("event").expect("an event");
            values.push(entries_of(event.field("value").expect("a value")));
        }
        check_fields(kind.name(), kind.fields(), &values);
    }
    for op in Op::ALL {
        let values: Vec<_> = samples()
            .into_iter()
            .filter_map(|(_, envelope)| match &envelope.message {
                Message::OpResult(OpResult::Ok(value)) if value.op() == *op => {
                    let payload = envelope.message.into_payload();
                    Some(entries_of(payload.field("value").expect("a value")))
                }
                _ => None,
            })
            .collect();
        check_fields(&format!("a result of {op}"), op.value_fields(), &values);
    }
}

fn entries_of(item: &Item) -> Vec<(Item, Item)> {
    match item {
        Item::Map(entries) => entries.clone(),
        other => panic!("a value is a map, got {other:?}"),
    }
}

fn check_fields(name: &str, fields: &[FieldSpec], payloads: &[Vec<(Item, Item)>]) {
    assert!(!payloads.is_empty(), "no sample of {name}");
    for FieldSpec {
        key,
        optional,
        shape,
    } in fields.iter().copied()
    {
        let with = payloads
            .iter()
            .filter(|payload| keys(payload).contains(key));
        assert!(with.clone().count() > 0, "no sample of {name} has `{key}`");
        let without = payloads.len() - with.clone().count();
        assert_eq!(
            without > 0,
            optional,
            "{name}: `{key}` optional? absent in {without} samples"
        );
        for payload in with {
            let (_, value) = payload
                .iter()
                .find(|(k, _)| k.as_text() == Some(key))
                .expect("just found");
            assert_eq!(Shape::of(value), shape, "{name}: shape of `{key}`");
        }
    }
}

/// The surface of version 1, as text. The file of a released surface is never rewritten. A change
/// of the surface raises [`PROTOCOL_MINOR`] (or the major) and gets a new file.
#[test]
fn the_surface_matches_its_version() {
    let path = fixtures().join(format!("surface-{PROTOCOL_VERSION}.{PROTOCOL_MINOR}.txt"));
    let surface = surface();
    if !path.exists() && common::bless() {
        std::fs::write(&path, &surface).expect("write the surface");
    }
    let pinned = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 writes it", path.display()));
    assert_eq!(
        pinned,
        surface,
        "the messages or events have changed, but {} is frozen: raise PROTOCOL_MINOR (or \
         PROTOCOL_VERSION, see docs/guest-link.md), then BLESS=1 writes a new file",
        path.display()
    );
}

fn surface() -> String {
    let mut text = String::new();
    for kind in MessageKind::ALL {
        text += &format!("message {kind} {:?} {:?}\n", kind.role(), kind.direction());
        text += &fields_text(kind.fields());
    }
    for op in Op::ALL {
        text += &format!("result of {op}\n{}", fields_text(op.value_fields()));
    }
    text += &format!("failed result\n{}", fields_text(OpError::FIELDS));
    text += &format!("entry\n{}", fields_text(Entry::FIELDS));
    text += &format!("range\n{}", fields_text(VersionRange::FIELDS));
    text += &format!("buffer\n{}", fields_text(BufferRef::FIELDS));
    text += &format!("event frame\n{}", fields_text(EventFrame::FIELDS));
    for kind in EventKind::ALL {
        text += &format!("event {kind}\n{}", fields_text(kind.fields()));
    }
    let lists = [
        ("features", Feature::NAMES),
        ("hello_err codes", HelloErrCode::NAMES),
        ("streams", Stream::NAMES),
        ("error codes", ErrorCode::NAMES),
        ("whence", Whence::NAMES),
        ("file kinds", FileKind::NAMES),
        ("outcomes", Outcome::NAMES),
        ("operations", Op::NAMES),
        ("operation error codes", OpErrorCode::NAMES),
        ("session outcomes", SessionOutcome::NAMES),
        ("failures", FailureName::NAMES),
        ("fault codes", FaultCode::NAMES),
        ("chunk streams", ChunkStream::NAMES),
    ];
    for (name, names) in lists {
        text += &format!("{name}: {}\n", names.join(" "));
    }
    text += &format!("open mode bits: {:#b}\n", OpenMode::KNOWN.bits());
    text
}

fn fields_text(fields: &[FieldSpec]) -> String {
    fields
        .iter()
        .map(|field| {
            let mark = if field.optional { "?" } else { "" };
            format!("  {}{mark} {:?}\n", field.key, field.shape)
        })
        .collect()
}

/// The table of messages in the specification, between two marks, is generated from the code.
#[test]
fn the_specification_lists_every_message() {
    let path = root().join("docs/rfcs/0001-guest-link.md");
    let text = std::fs::read_to_string(&path).expect("the specification");
    let (open, close) = (
        "<!-- messages: made by BLESS=1 -->\n",
        "<!-- end of messages -->",
    );
    let (head, rest) = text.split_once(open).expect("the mark before the table");
    let (table, tail) = rest.split_once(close).expect("the mark after the table");
    if common::bless() {
        let text = format!("{head}{open}{}{close}{tail}", message_table());
        std::fs::write(&path, text).expect("write the specification");
        return;
    }
    assert_eq!(
        table,
        message_table(),
        "BLESS=1 writes the table in {}",
        path.display()
    );
}

fn message_table() -> String {
    let head = "| message | from | does to its id | payload (`?`: may be absent) |";
    let mut table = format!("{head}\n| --- | --- | --- | --- |\n");
    for kind in MessageKind::ALL {
        let from = match kind.direction() {
            Direction::HostToGuest => "host",
            Direction::GuestToHost => "guest",
            Direction::Both => "both",
        };
        let role = match kind.role() {
            MessageRole::Handshake => "handshake, id 0",
            MessageRole::Request => "opens it",
            MessageRole::OneWay => "leaves it open",
            MessageRole::Terminal => "ends it",
        };
        let fields: Vec<_> = kind
            .fields()
            .iter()
            .map(|field| format!("`{}{}`", field.key, if field.optional { "?" } else { "" }))
            .collect();
        table += &format!("| `{kind}` | {from} | {role} | {} |\n", fields.join(" "));
    }
    table
}

/// The generic view of a message has the same content.
#[test]
fn payloads_round_trip_through_items() {
    for (name, envelope) in samples() {
        let kind = envelope.message.kind().expect("samples are of known types");
        let item = envelope.message.clone().into_payload();
        assert_eq!(
            Message::from_payload(kind, item.clone()),
            Ok(envelope.message.clone())
        );
        let frame = envelope.to_frame().expect("a sample follows the schema");
        let decoded = decode_strict(body(&frame), &Limits::default()).expect("deterministic");
        assert_eq!(
            decoded.field("p"),
            Some(&item),
            "{name}: bytes and item differ"
        );
    }
}

#[test]
fn names_round_trip() {
    for kind in MessageKind::ALL {
        assert_eq!(MessageKind::from_name(kind.name()), Some(*kind));
    }
    assert_eq!(MessageKind::from_name("exec"), None);
    for op in Op::ALL {
        assert_eq!(Op::of(op.request()), Some(*op));
        assert_eq!(op.request().name(), op.name());
        assert!(op.request().is_answered_by(MessageKind::OpResult));
    }
    for kind in MessageKind::ALL {
        let request = kind.role() == MessageRole::Request;
        assert_eq!(kind.is_answered_by(MessageKind::Error), request, "{kind}");
        let has_op = Op::of(*kind).is_some();
        assert_eq!(
            kind.answer() == Some(MessageKind::OpResult),
            has_op,
            "{kind}"
        );
    }
}
