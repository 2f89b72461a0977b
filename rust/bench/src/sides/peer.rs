//! telltale-machine 22, in the fastest configuration that still checks the messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telltale_machine::coroutine::Value;
use telltale_machine::model::effects::{EffectFailure, EffectHandler, EffectResult};
use telltale_machine::runtime::loader::CodeImage;
use telltale_machine::{
    CommunicationReplayMode, EffectTraceCaptureMode, ObservabilityRetentionConfig,
    ObservabilityRetentionMode, ProtocolMachine, ProtocolMachineConfig,
};
use telltale_types::{GlobalType, Label, LocalTypeR};

use super::bare::roles;
use super::prepared::{Absent, Prepared, Ready};
use crate::contest::{ARMS, Contest, Exchange, RING};

/// The number of messages measured. The cost grows with the length of a run, so a short run favours
/// it.
const MESSAGES: u64 = 64;

/// The maximum number of sessions. The cost grows with their number too; opening more takes
/// minutes.
const SESSIONS_MAX: u32 = 1_000;

/// The rounds between two checks of the number of received messages.
const ROUNDS: usize = 16;

struct Hosts {
    received: Arc<AtomicU64>,
}

impl EffectHandler for Hosts {
    fn handle_send(
        &self,
        _role: &str,
        _partner: &str,
        _label: &str,
        _state: &[Value],
    ) -> EffectResult<Value> {
        EffectResult::success(Value::Unit)
    }

    fn handle_recv(
        &self,
        _role: &str,
        _partner: &str,
        _label: &str,
        _state: &mut Vec<Value>,
        _payload: &Value,
    ) -> EffectResult<()> {
        self.received.fetch_add(1, Ordering::Relaxed);
        EffectResult::success(())
    }

    fn handle_choose(
        &self,
        _role: &str,
        _partner: &str,
        labels: &[String],
        _state: &[Value],
    ) -> EffectResult<String> {
        match labels.first() {
            Some(label) => EffectResult::success(label.clone()),
            None => EffectResult::failure(EffectFailure::invalid_input("nothing to choose from")),
        }
    }

    fn step(&self, _role: &str, _state: &mut Vec<Value>) -> EffectResult<()> {
        EffectResult::success(())
    }
}

struct Peer {
    machine: ProtocolMachine,
    hosts: Hosts,
    received: Arc<AtomicU64>,
}

pub(super) fn prepare(contest: &Contest) -> Result<Prepared, Absent> {
    if contest.work > 0 || contest.steps.is_some() {
        return Err(Absent("not supported".to_owned()));
    }
    let sessions = contest.sessions.min(SESSIONS_MAX);
    let image = image(contest.exchange);
    let mut machine = ProtocolMachine::new(config(sessions, roles(contest.exchange)));
    for number in 0..sessions {
        machine
            .load_choreography_owned(&image, format!("bench/{number}"))
            .map_err(|error| Absent(error.to_string()))?;
    }
    let received = Arc::new(AtomicU64::new(0));
    let hosts = Hosts {
        received: Arc::clone(&received),
    };
    let mut prepared = Prepared::of(Peer {
        machine,
        hosts,
        received,
    })?;
    prepared.fixed = Some(MESSAGES);
    prepared.sessions = Some(sessions);
    prepared.note = Some(match sessions < contest.sessions {
        false => format!("its first {MESSAGES} messages"),
        true => format!("its first {MESSAGES} messages in only {sessions} sessions"),
    });
    Ok(prepared)
}

/// Disables all tracing and retention that can be disabled.
fn config(sessions: u32, roles: usize) -> ProtocolMachineConfig {
    ProtocolMachineConfig {
        max_sessions: sessions as usize + 16,
        max_coroutines: sessions as usize * roles + 16,
        effect_trace_capture_mode: EffectTraceCaptureMode::Disabled,
        communication_replay_mode: CommunicationReplayMode::Off,
        observability_retention: ObservabilityRetentionConfig {
            mode: ObservabilityRetentionMode::Disabled,
            ..ObservabilityRetentionConfig::default()
        },
        ..ProtocolMachineConfig::strict_minimal()
    }
}

fn image(exchange: Exchange) -> CodeImage {
    let locals: BTreeMap<String, LocalTypeR> = match exchange {
        Exchange::PingPong => pair(&["ping"], "pong"),
        Exchange::Choice => pair(&["north", "east", "south", "west"][..ARMS], "ack"),
        Exchange::Ring => (0..RING).map(ring_role).collect(),
    };
    let global = match exchange {
        Exchange::PingPong => round_trip(&["ping"], "pong"),
        Exchange::Choice => round_trip(&["north", "east", "south", "west"][..ARMS], "ack"),
        Exchange::Ring => {
            let round = (0..RING).rev().fold(GlobalType::var("Loop"), |rest, n| {
                GlobalType::send(name(n), name(n + 1), Label::new("token"), rest)
            });
            GlobalType::mu("Loop", round)
        }
    };
    CodeImage::from_local_types(&locals, &global)
}

fn name(role: usize) -> String {
    format!("R{}", role % RING)
}

fn ring_role(n: usize) -> (String, LocalTypeR) {
    let (next, last) = (name(n + 1), name(n + RING - 1));
    let (token, again) = (|| Label::new("token"), LocalTypeR::var("Loop"));
    let body = match n {
        0 => LocalTypeR::send(next, token(), LocalTypeR::recv(last, token(), again)),
        _ => LocalTypeR::recv(last, token(), LocalTypeR::send(next, token(), again)),
    };
    (name(n), LocalTypeR::mu("Loop", body))
}

/// A client that sends one of the labels, and a server that answers.
fn pair(labels: &[&str], answer: &str) -> BTreeMap<String, LocalTypeR> {
    let arms = |then: &dyn Fn() -> LocalTypeR| {
        labels
            .iter()
            .map(|label| (Label::new(*label), None, then()))
            .collect::<Vec<_>>()
    };
    let again = || LocalTypeR::var("Loop");
    let answered = || LocalTypeR::recv("Server", Label::new(answer), again());
    let answers = || LocalTypeR::send("Client", Label::new(answer), again());
    let client = LocalTypeR::send_choice("Server", arms(&answered));
    let server = LocalTypeR::recv_choice("Client", arms(&answers));
    BTreeMap::from([
        ("Client".to_owned(), LocalTypeR::mu("Loop", client)),
        ("Server".to_owned(), LocalTypeR::mu("Loop", server)),
    ])
}

fn round_trip(labels: &[&str], answer: &str) -> GlobalType {
    let arms = labels.iter().map(|label| {
        let back = GlobalType::send(
            "Server",
            "Client",
            Label::new(answer),
            GlobalType::var("Loop"),
        );
        (Label::new(*label), back)
    });
    GlobalType::mu("Loop", GlobalType::comm("Client", "Server", arms.collect()))
}

impl Ready for Peer {
    /// Runs the machine, one step per round, until the messages are received.
    fn exchange(&mut self, messages: u64) {
        let until = self.received() + messages;
        while self.received() < until {
            if self.machine.run(&self.hosts, ROUNDS).is_err() {
                return;
            }
        }
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}
