//! Runs to record, with small images and deterministic hosts.

use std::sync::Arc;

use antiphon_machine::{
    Class, DeterminismMode, EffectHandler, EffectRequest, FailureKind, Outcome, ProtocolMachine,
    ProtocolMachineConfig, ProtocolMachineKernel, Reply, Rest, Value, VerifiedImage, sample,
};
use antiphon_record::{Entry, Flush, Header, Reader, Recorder, Writer};

/// The hosts of both roles of a ping-pong: a number of pings per session, then stop.
pub(crate) struct Host {
    pub(crate) pings: u64,
    pub(crate) payload: fn(u64) -> Value,
    pub(crate) asked: Vec<u64>,
}

impl Host {
    pub(crate) fn new(pings: u64) -> Host {
        Host {
            pings,
            payload: Value::Nat,
            asked: Vec::new(),
        }
    }

    pub(crate) fn of_bytes(pings: u64, payload: fn(u64) -> Value) -> Host {
        Host {
            payload,
            ..Host::new(pings)
        }
    }
}

impl EffectHandler for Host {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let session = request.effect().session.index();
        if self.asked.len() <= session {
            self.asked.resize(session + 1, 0);
        }
        let asked = &mut self.asked[session];
        Reply::Now(match request.class() {
            Class::Decide { .. } => {
                let label = if *asked == self.pings { "stop" } else { "ping" };
                *asked += 1;
                let chosen = request.choose(label);
                chosen.unwrap_or(Outcome::failure(FailureKind::InvalidInput, ""))
            }
            Class::Produce { .. } => Outcome::Success((self.payload)(*asked)),
            Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => {
                Outcome::done()
            }
        })
    }
}

/// As [`Host`], but every answer comes later.
pub(crate) struct Later(
    pub(crate) Host,
    pub(crate) Vec<(antiphon_machine::EffectId, Outcome)>,
);

impl EffectHandler for Later {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        if let Reply::Now(outcome) = self.0.handle(request) {
            self.1.push((request.effect(), outcome));
        }
        Reply::Later
    }
}

pub(crate) fn header(mode: DeterminismMode) -> Header {
    Header {
        tool: "test 1".to_owned(),
        config: ProtocolMachineConfig {
            determinism_mode: mode,
            ..Default::default()
        },
        source: Some("protocol PingPong".to_owned()),
        notes: vec![("command".to_owned(), "none".to_owned())],
    }
}

pub(crate) fn full() -> Header {
    header(DeterminismMode::Full)
}

/// Runs sessions of an image to their end and records them.
pub(crate) fn recorded<H: EffectHandler>(
    header: &Header,
    image: &Arc<VerifiedImage>,
    sessions: usize,
    host: H,
) -> (Vec<u8>, ProtocolMachineKernel) {
    let recorder =
        Recorder::create(Vec::new(), header, Flush::default()).expect("memory does not fail");
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    for _ in 0..sessions {
        machine
            .load_choreography(image, "me")
            .expect("there is room");
    }
    assert_eq!(machine.run(u64::MAX), Some(Rest::Done));
    let (kernel, _, recorder) = machine.into_parts();
    (
        recorder.finish(&kernel).expect("memory does not fail"),
        kernel,
    )
}

/// A recording with records of some hundred bytes: every rest ends a record, and every answer comes
/// at a rest.
pub(crate) fn small() -> Vec<u8> {
    small_of(2).0
}

pub(crate) fn small_of(pings: u64) -> (Vec<u8>, ProtocolMachineKernel) {
    let header = full();
    let recorder =
        Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
    let host = Later(Host::new(pings), Vec::new());
    let mut machine = ProtocolMachine::with_sink(header.config.clone(), host, recorder);
    machine
        .load_choreography(&sample::ping_pong(1), "me")
        .expect("there is room");
    while machine.run(u64::MAX) == Some(Rest::Idle) {
        for (effect, outcome) in std::mem::take(&mut machine.handler().1) {
            let input = antiphon_machine::Ingress::Outcome { effect, outcome };
            let _ = machine.ingress(input).expect("the effect is outstanding");
        }
    }
    let (kernel, _, recorder) = machine.into_parts();
    (
        recorder.finish(&kernel).expect("memory does not fail"),
        kernel,
    )
}

/// The header and the entries after it.
pub(crate) fn entries(bytes: &[u8]) -> (Header, Vec<Entry>) {
    let mut reader = Reader::open(bytes).expect("a header");
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry().expect("memory does not fail") {
        entries.push(entry);
    }
    (reader.header().clone(), entries)
}

/// A valid recording of these entries. An end among them gets the right number of entries.
pub(crate) fn written(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), header).expect("memory does not fail");
    for entry in entries {
        let entry = match entry {
            Entry::End(end) => Entry::End(antiphon_record::End {
                entries: writer.entries(),
                ..*end
            }),
            other => other.clone(),
        };
        writer.entry(&entry).expect("memory does not fail");
    }
    writer.finish().expect("memory does not fail")
}

/// A recording with its entries edited.
pub(crate) fn edited(bytes: &[u8], edit: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let (header, mut entries) = entries(bytes);
    edit(&mut entries);
    written(&header, &entries)
}
