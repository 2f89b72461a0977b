//! The watch over a silent guest.

use std::sync::Arc;

use antiphon_machine::{EffectId, FailureKind, Outcome, Reply, SessionId, Sort, SortId, Value};
use antiphon_wire::{
    AgentEvent, AgentLink, AgentOffer, Deframer, Envelope, ErrorCode, ErrorReply, Features,
    HostOffer, Message,
};

use crate::link::demux::{Ask, Completion, Demux, PING_AFTER, Request};

/// The two ends of a line.
struct Line {
    host: Demux,
    guest: AgentLink,
    frames: Deframer,
}

impl Line {
    /// A line after the handshake.
    fn ready(silence: Option<u64>) -> Line {
        let mut host = Demux::new(HostOffer::default()).expect("a good offer");
        host.set_silence(silence);
        let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1".to_owned());
        let mut line = Line {
            host,
            guest: AgentLink::new(offer),
            frames: Deframer::default(),
        };
        assert_eq!(line.deliver(), ["hello"]);
        assert!(matches!(line.host.handshake(), Some(Ok(_))));
        line.host.tick(0);
        line
    }

    /// Advances time as a driver does: with a tick at least every second.
    fn pass(&mut self, from: u64, to: u64) {
        let seconds = (from..to).step_by(1_000).skip(1);
        seconds.chain([to]).for_each(|at| self.host.tick(at));
    }

    /// Delivers the host's messages to the guest, and the guest's answers to the host.
    fn deliver(&mut self) -> Vec<String> {
        let (names, answers) = self.deliver_to_guest();
        self.deliver_to_host(&answers);
        names
    }

    /// Delivers the host's messages to the guest. Returns their names, and the guest's answers.
    fn deliver_to_guest(&mut self) -> (Vec<String>, Vec<u8>) {
        self.frames.push(&self.host.take_out());
        let (mut names, mut answers) = (Vec::new(), Vec::new());
        while let Some(envelope) = self.frames.next().expect("the host writes good frames") {
            names.push(envelope.message.name().to_owned());
            let event = self.guest.receive(envelope, &mut answers);
            assert!(matches!(
                event.expect("the host keeps the rules"),
                AgentEvent::Ready(_) | AgentEvent::Pinged | AgentEvent::Request { .. }
            ));
        }
        (names, answers)
    }

    fn deliver_to_host(&mut self, bytes: &[u8]) {
        let mut frames = Deframer::default();
        frames.push(bytes);
        while let Some(frame) = frames.next().transpose() {
            self.host.receive(frame);
        }
    }

    /// Opens a request that the guest does not answer.
    fn open(&mut self) -> EffectId {
        let effect = EffectId {
            session: SessionId(1),
            number: 0,
        };
        let sorts: Arc<[Sort]> = Arc::from([
            Sort::Unit,
            Sort::Text,
            Sort::Record {
                name: "Dir".into(),
                fields: vec![("path".into(), SortId(1))],
            },
        ]);
        let path = Value::record(vec![Value::text("/")]);
        let want = Request::Call {
            operation: "fs_list",
            args: &[(&path, SortId(2))],
            result: SortId(0),
        };
        let reply = self.host.ask(Ask {
            effect,
            deadline: None,
            sorts: &sorts,
            request: want,
        });
        assert_eq!(reply, Reply::Later);
        effect
    }

    fn end(&mut self) -> Option<(EffectId, FailureKind)> {
        let Completion { effect, outcome } = self.host.completion()?;
        match outcome {
            Outcome::Failure(failure) => Some((effect, failure.kind)),
            Outcome::Success(value) => panic!("nothing was answered, got {value:?}"),
        }
    }
}

#[test]
fn a_silent_guest_is_pinged_and_then_lost() {
    let mut line = Line::ready(Some(15_000));
    line.pass(0, 5_000);
    let effect = line.open();
    assert_eq!(line.deliver_to_guest().0, ["fs_list"]);
    assert_eq!(line.host.next_deadline(), Some(5_000 + PING_AFTER));
    line.pass(5_000, 5_000 + PING_AFTER - 1);
    assert_eq!(line.deliver_to_guest().0, [""; 0]);

    let pinged = 5_000 + PING_AFTER;
    line.host.tick(pinged);
    assert_eq!(line.deliver_to_guest().0, ["ping"]);
    line.pass(pinged, pinged + 15_000 - 1);
    assert_eq!(line.end(), None);
    assert!(!line.host.is_silent());
    line.host.tick(pinged + 15_000);
    assert_eq!(line.end(), Some((effect, FailureKind::Lost)));
    line.host.tick(pinged + 16_000);
    assert!(line.host.is_silent(), "it is not forgotten");
    assert_eq!(line.host.next_deadline(), None);
}

#[test]
fn time_without_the_host_running_is_not_silence() {
    let mut line = Line::ready(Some(15_000));
    let effect = line.open();
    line.pass(0, PING_AFTER);
    assert_eq!(line.deliver_to_guest().0, ["fs_list", "ping"]);
    // The host was stopped for an hour. Only one second counts.
    let back = PING_AFTER + 3_600_000;
    line.host.tick(back);
    line.pass(back, back + 15_000 - PING_AFTER - 1);
    assert_eq!(line.end(), None);
    line.host.tick(back + 15_000 - PING_AFTER);
    assert_eq!(line.end(), Some((effect, FailureKind::Lost)));
}

#[test]
fn a_probe_has_its_own_timeout() {
    let mut line = Line::ready(Some(60_000));
    line.host.probe(1_500);
    assert_eq!(
        line.deliver_to_guest().0,
        [""; 0],
        "nothing waits for the guest"
    );
    let effect = line.open();
    line.host.probe(1_500);
    // A later probe does not extend an earlier one.
    line.host.tick(500);
    line.host.probe(1_500);
    assert_eq!(line.deliver_to_guest().0, ["fs_list", "ping"]);
    line.host.tick(1_499);
    assert_eq!(line.end(), None);
    line.host.tick(1_500);
    assert_eq!(line.end(), Some((effect, FailureKind::Lost)));

    let mut line = Line::ready(None);
    line.open();
    line.host.probe(1_500);
    line.deliver();
    line.pass(0, 100_000);
    assert_eq!(line.end(), None, "it has answered, and silence has no end");
}

#[test]
fn a_guest_that_answers_pings_is_not_lost() {
    let mut line = Line::ready(Some(15_000));
    line.open();
    line.deliver();
    let mut pings = 0;
    for second in 0..100 {
        line.host.tick(second * 1_000);
        pings += line.deliver().iter().filter(|name| *name == "ping").count();
    }
    assert_eq!(line.end(), None);
    assert!((30..=100).contains(&pings), "{pings}");
}

#[test]
fn a_replaced_agent_is_lost_at_once() {
    let mut line = Line::ready(Some(15_000));
    let effect = line.open();
    line.deliver();
    line.host.tick(PING_AFTER);
    line.host.tick(PING_AFTER * 2);
    let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "1".to_owned());
    line.guest = AgentLink::new(offer);
    line.frames.push(&line.host.take_out());
    let ping = line.frames.next().expect("a good frame").expect("a ping");
    let mut answer = Vec::new();
    assert!(line.guest.receive(ping, &mut answer).is_err());
    line.deliver_to_host(&answer);
    assert_eq!(line.end(), Some((effect, FailureKind::Lost)));
}

#[test]
fn an_idle_link_is_not_pinged() {
    let mut idle = Line::ready(Some(15_000));
    idle.pass(0, 1_000_000);
    assert_eq!(
        (idle.deliver_to_guest().0, idle.host.next_deadline()),
        (Vec::new(), None)
    );
}

#[test]
fn an_agent_that_closes_the_link_is_lost() {
    let mut line = Line::ready(None);
    let effect = line.open();
    let goodbye = ErrorReply::new(ErrorCode::ShuttingDown, "so long".to_owned());
    line.host
        .receive(Ok(Envelope::new(0, Message::Error(goodbye))));
    assert_eq!(line.end(), Some((effect, FailureKind::Lost)));
}
