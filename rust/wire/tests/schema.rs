//! Compares the schema with the goldens and, in both directions, with the code. This is a separate
//! test program, because CI reports it on a line of its own.

#[path = "it/common.rs"]
mod common;

use std::collections::BTreeSet;

use antiphon_codec::{Item, Limits, decode_strict, diagnostic};
use antiphon_wire::*;
use cddl_cat::cbor::validate_cbor;
use cddl_cat::context::BasicContext;
use cddl_cat::flatten::flatten_from_str;
use cddl_cat::ivt::{Literal, Node};
use common::{events, root, samples};

struct Schema(BasicContext);

impl Schema {
    fn load() -> Self {
        let path = root().join("docs/schema/guest-link-v1.cddl");
        let text = std::fs::read_to_string(path).expect("the schema");
        // The library cannot parse the least signed 64-bit number, but its tree can hold it. So the
        // number is replaced in the tree.
        let (least, near) = ("-9223372036854775808", "-9223372036854775807");
        assert_eq!(
            text.matches(least).count(),
            1,
            "only `int64` has the number"
        );
        let text = text.replace(least, near);
        let mut rules = flatten_from_str(&text).expect("the schema is CDDL");
        match &mut rules.get_mut("int64").expect("`int64`").node {
            Node::Range(range) => *range.start = Node::Literal(Literal::Int(i64::MIN.into())),
            other => panic!("`int64` is a range, got {other}"),
        }
        Self(BasicContext::new(rules))
    }

    fn accepts(&self, rule: &str, bytes: &[u8]) -> bool {
        let rule = self
            .0
            .rules
            .get(rule)
            .unwrap_or_else(|| panic!("no rule `{rule}`"));
        let value = ciborium::from_reader(bytes).expect("well-formed");
        match validate_cbor(rule, &value, &self.0) {
            Ok(()) => true,
            Err(cddl_cat::ValidateError::Mismatch(_)) => false,
            Err(error) => panic!("the schema itself is at fault: {error}"),
        }
    }

    fn node(&self, rule: &str) -> &Node {
        &self
            .0
            .rules
            .get(rule)
            .unwrap_or_else(|| panic!("no rule `{rule}`"))
            .node
    }

    /// The keys of a map rule, and whether each is optional.
    fn keys(&self, rule: &str) -> BTreeSet<(String, bool)> {
        let Node::Map(map) = self.node(rule) else {
            panic!("`{rule}` is not a map");
        };
        map.members
            .iter()
            .map(|member| match member {
                Node::KeyValue(pair) => (literal(&pair.key), false),
                Node::Occur(occur) => match (occur.limits(), &*occur.node) {
                    ((0, 1), Node::KeyValue(pair)) => (literal(&pair.key), true),
                    other => panic!("`{rule}` has a member that is not a field: {other:?}"),
                },
                other => panic!("`{rule}` has a member that is not a field: {other:?}"),
            })
            .collect()
    }

    /// The texts of a rule that is one text or a choice of texts.
    fn names(&self, rule: &str) -> BTreeSet<String> {
        match self.node(rule) {
            Node::Choice(choice) => choice.options.iter().map(literal).collect(),
            one => [literal(one)].into(),
        }
    }

    /// The names of the alternatives of a rule.
    fn rules(&self, rule: &str) -> BTreeSet<String> {
        let Node::Choice(choice) = self.node(rule) else {
            panic!("`{rule}` is not a choice");
        };
        choice
            .options
            .iter()
            .map(|option| match option {
                Node::Rule(rule) => rule.name.clone(),
                other => panic!("`{rule}` has an option that is not a rule: {other}"),
            })
            .collect()
    }
}

fn literal(node: &Node) -> String {
    match node {
        Node::Literal(Literal::Text(text)) => text.clone(),
        other => panic!("not a text: {other}"),
    }
}

fn body(envelope: &Envelope) -> Vec<u8> {
    envelope
        .to_frame()
        .expect("a sample follows the schema")
        .split_off(HEADER_LEN)
}

fn event_body(event: &EventFrame) -> Vec<u8> {
    let mut frame = Vec::new();
    event.encode(&mut frame).expect("a sample is short");
    frame.split_off(HEADER_LEN)
}

#[test]
fn every_golden_matches_the_schema() {
    let schema = Schema::load();
    for (name, envelope) in samples() {
        let bytes = std::fs::read(common::fixtures().join(format!("{name}.cbor")))
            .unwrap_or_else(|_| body(&envelope));
        let kind = envelope.message.kind().expect("samples are of known types");
        assert!(schema.accepts("frame", &bytes), "{name}");
        assert!(
            schema.accepts(kind.name(), &bytes),
            "{name} by its own rule"
        );
        for other in MessageKind::ALL.iter().filter(|other| **other != kind) {
            assert!(
                !schema.accepts(other.name(), &bytes),
                "{name} is not `{other}`"
            );
        }
    }
    for (name, event) in events() {
        assert!(schema.accepts("event_frame", &event_body(&event)), "{name}");
        assert!(
            !schema.accepts("frame", &event_body(&event)),
            "{name} is not a message"
        );
    }
}

fn fields(fields: &[FieldSpec]) -> BTreeSet<(String, bool)> {
    fields
        .iter()
        .map(|field| (field.key.to_owned(), field.optional))
        .collect()
}

/// The schema and the code have the same messages, keys and names.
#[test]
fn the_schema_and_the_code_have_the_same_messages() {
    let schema = Schema::load();
    let by = |direction| {
        let kinds = MessageKind::ALL
            .iter()
            .filter(move |kind| kind.direction() == direction);
        kinds
            .map(|kind| kind.name().to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(schema.rules("from_host"), by(Direction::HostToGuest));
    assert_eq!(schema.rules("from_guest"), by(Direction::GuestToHost));
    assert_eq!(schema.rules("from_both"), by(Direction::Both));
    for kind in MessageKind::ALL
        .iter()
        .filter(|kind| **kind != MessageKind::OpResult)
    {
        let rule = format!("{kind}_payload");
        assert_eq!(schema.keys(&rule), fields(kind.fields()), "{rule}");
    }
    for rule in schema
        .rules("op_ok")
        .iter()
        .map(String::as_str)
        .chain(["op_err"])
    {
        assert_eq!(schema.keys(rule), fields(OpResult::FIELDS), "{rule}");
    }
    for op in Op::ALL {
        let rule = match op {
            Op::FsOpen => "opened",
            Op::FsRead | Op::FsReadFile => "file_data",
            Op::FsWrite | Op::FsWriteFile => "written",
            Op::FsSeek => "position",
            Op::FsClose | Op::FsMkdir | Op::FsUnlink | Op::FsRename => "nothing",
            Op::FsStat => "stat",
            Op::FsList => "listing",
            Op::Syscall => "syscall_result",
        };
        assert_eq!(schema.keys(rule), fields(op.value_fields()), "{rule}");
    }
}

/// The schema and the code have the same maps and lists within messages, and the same events.
#[test]
fn the_schema_and_the_code_have_the_same_maps_and_names() {
    let schema = Schema::load();
    let maps = [
        ("op_error", OpError::FIELDS),
        ("entry", Entry::FIELDS),
        ("version_range", VersionRange::FIELDS),
        ("buffer_ref", BufferRef::FIELDS),
        ("event_frame", EventFrame::FIELDS),
    ];
    for (rule, expected) in maps {
        assert_eq!(schema.keys(rule), fields(expected), "{rule}");
    }
    let kinds: BTreeSet<_> = EventKind::NAMES
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(schema.rules("event"), kinds);
    for kind in EventKind::ALL {
        let rule = format!("{kind}_value");
        assert_eq!(schema.keys(&rule), fields(kind.fields()), "{rule}");
    }
    let lists = [
        ("feature", Feature::NAMES),
        ("hello_err_code", HelloErrCode::NAMES),
        ("stream", Stream::NAMES),
        ("error_code", ErrorCode::NAMES),
        ("whence", Whence::NAMES),
        ("file_kind", FileKind::NAMES),
        ("op", Op::NAMES),
        ("op_error_code", OpErrorCode::NAMES),
        ("session_outcome", SessionOutcome::NAMES),
        ("failure", FailureName::NAMES),
        ("fault_code", FaultCode::NAMES),
        ("chunk_stream", ChunkStream::NAMES),
    ];
    for (rule, names) in lists {
        let names: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(schema.names(rule), names, "{rule}");
    }
}

/// A change at one place of a golden.
#[derive(Clone, Debug)]
enum Change {
    /// Replaces the value.
    Replace(Item),
    /// Removes the key.
    Drop,
    /// Adds an unknown key to the map.
    Unknown,
}

/// Every change of `item`, with its path: keys and numbers joined by dots.
fn changes(item: &Item, place: &str, found: &mut Vec<(String, Change, Item)>) {
    for value in replacements().into_iter().filter(|value| value != item) {
        found.push((place.to_owned(), Change::Replace(value.clone()), value));
    }
    let under = |part: &str| {
        if place.is_empty() {
            part.to_owned()
        } else {
            format!("{place}.{part}")
        }
    };
    let inner = |part: &str, item: &Item, rebuild: &dyn Fn(Item) -> Item| {
        let mut below = Vec::new();
        changes(item, &under(part), &mut below);
        below
            .into_iter()
            .map(|(at, what, item)| (at, what, rebuild(item)))
            .collect::<Vec<_>>()
    };
    match item {
        Item::Array(items) => {
            for (index, element) in items.iter().enumerate() {
                found.extend(inner(&index.to_string(), element, &|item| {
                    let mut items = items.clone();
                    items[index] = item;
                    Item::Array(items)
                }));
            }
        }
        Item::Map(entries) => {
            for (index, (key, value)) in entries.iter().enumerate() {
                let key = key.as_text().expect("a text key");
                found.extend(inner(key, value, &|item| {
                    let mut entries = entries.clone();
                    entries[index].1 = item;
                    Item::Map(entries)
                }));
                let mut fewer = entries.clone();
                fewer.remove(index);
                found.push((under(key), Change::Drop, Item::Map(fewer)));
            }
            let mut more = entries.clone();
            more.push((Item::Text("unknown".to_owned()), Item::Uint(1)));
            found.push((place.to_owned(), Change::Unknown, Item::Map(more)));
        }
        Item::Uint(_)
        | Item::Nint(_)
        | Item::Bytes(_)
        | Item::Text(_)
        | Item::Tag(..)
        | Item::Bool(_)
        | Item::Null
        | Item::Undefined
        | Item::Simple(_)
        | Item::Float(_) => {}
    }
}

/// Values of every shape, and numbers on both sides of every range.
fn replacements() -> Vec<Item> {
    let edges = [
        0,
        1,
        24,
        63,
        64,
        65,
        4095,
        4096,
        4_194_304,
        4_194_305,
        1 << 31,
        1 << 32,
        1 << 63,
    ];
    let below = edges.iter().filter(|edge| **edge > 0).map(|edge| edge - 1);
    let edges: Vec<u64> = edges
        .iter()
        .copied()
        .chain(below)
        .chain([u64::MAX])
        .collect();
    let mut values = vec![
        Item::Null,
        Item::Bool(true),
        Item::Float(1.0),
        Item::Text("bogus".to_owned()),
        Item::Bytes(vec![0; 3]),
        Item::Array(Vec::new()),
        Item::Array(vec![Item::Map(Vec::new()); 7]),
        Item::Map(Vec::new()),
    ];
    values.extend(edges.iter().map(|edge| Item::Uint(*edge)));
    values.extend(edges.iter().map(|edge| Item::Nint(*edge)));
    values
}

/// Changes that a receiver accepts although a sender must not send them.
fn is_lenient(t: &str, place: &str, change: &Change) -> bool {
    match change {
        Change::Unknown => true,
        Change::Drop => false,
        Change::Replace(value) => match place {
            // The use of id 0 is a rule of the link, not of a frame.
            "id" => true,
            // An unknown type is decoded as such.
            "t" => matches!(value, Item::Text(_)),
            // An empty list of buffers has two encodings.
            "p.value.out_bufs" => *value == Item::Array(Vec::new()),
            // An unknown feature is ignored.
            _ if place.starts_with("p.features.") || place.starts_with("p.agent_features.") => {
                matches!(value, Item::Text(_)) && t.starts_with("hello")
            }
            _ => false,
        },
    }
}

/// Relations between two values, which CDDL cannot express.
fn is_relation(t: &str, place: &str) -> bool {
    let range = place.ends_with(".min") || place.ends_with(".max");
    let buffers = t == "syscall" && (place.starts_with("p.args") || place.starts_with("p.bufs"));
    range || place == "p.min_version" || place == "p.protocol_version" || buffers
}

/// Changes each golden at every place in every way; the schema and the decoder must agree.
#[test]
fn the_schema_refuses_what_the_code_refuses() {
    let schema = Schema::load();
    let (mut refused, mut accepted) = (0, 0);
    for (name, envelope) in samples() {
        let item = decode_strict(&body(&envelope), &Limits::default()).expect("deterministic");
        let t = envelope.message.name();
        let mut all = Vec::new();
        changes(&item, "", &mut all);
        for (place, change, item) in all {
            let bytes = item.encode();
            let by_schema = schema.accepts("frame", &bytes);
            let by_code = Envelope::decode(&bytes, VersionRange::SUPPORTED).is_ok();
            let agree = match (by_schema, by_code) {
                (true, true) | (false, false) => true,
                (false, true) => is_lenient(t, &place, &change),
                (true, false) => is_relation(t, &place),
            };
            assert!(
                agree,
                "{name} with {change:?} at `{place}`: schema accepts it: {by_schema}, code: \
                 {by_code}: {}",
                diagnostic(&item)
            );
            if by_schema {
                accepted += 1
            } else {
                refused += 1
            }
        }
    }
    // Checks the test itself: the schema must refuse some changes, and accept some.
    assert!(
        refused > 5000 && accepted > 200,
        "refused {refused}, accepted {accepted}"
    );
}

/// Changes each event in the same way.
#[test]
fn the_schema_refuses_the_events_that_the_code_refuses() {
    let schema = Schema::load();
    let mut refused = 0;
    for (name, event) in events() {
        let item = decode_strict(&event_body(&event), &Limits::default()).expect("deterministic");
        let mut all = Vec::new();
        changes(&item, "", &mut all);
        for (place, change, item) in all {
            let bytes = item.encode();
            let by_schema = schema.accepts("event_frame", &bytes);
            let by_code = EventFrame::decode(&bytes).is_ok();
            let agree = by_schema == by_code || (by_code && matches!(change, Change::Unknown));
            assert!(
                agree,
                "{name} with {change:?} at `{place}`: schema {by_schema}"
            );
            refused += usize::from(!by_schema);
        }
    }
    assert!(refused > 1000, "refused {refused}");
}
