//! The first difference between a replay and its recording.

use antiphon_machine::text::{Excerpt, Printer};
use antiphon_machine::{
    ObsEvent, Pc, ProtocolMachineKernel, Refusal, SessionId, VerifiedImage, WaveRefusal,
};

use crate::checks::stop_of;
use crate::describe;
use crate::entry::{Entry, Request, Stop};

/// The first difference between a replay and its recording.
///
/// Its [`Display`](std::fmt::Display) prints all facts on several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The entry's number in the recording, from 0 for the header.
    pub entry: u64,
    /// Number of steps that the machine had taken.
    pub step: u64,
    /// The session, if it concerns one.
    pub session: Option<SessionId>,
    /// The role's name; empty for a spawned coroutine.
    pub role: Option<String>,
    /// The current instruction of that role.
    pub instruction: Option<Site>,
    /// The difference.
    pub difference: Difference,
    /// What the recording has, as text, derived from the difference and the entry.
    pub expected: String,
    /// What the machine did, as text.
    pub got: String,
    /// The last events of the machine before it, oldest first.
    pub recent: Vec<RecentEvent>,
}

/// An instruction of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The program's name.
    pub program: String,
    /// The instruction's number in the program.
    pub pc: Pc,
    /// The instruction as text.
    pub text: String,
}

/// An event before a divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// The event.
    pub event: ObsEvent,
    /// The event as text, with names.
    pub text: String,
}

/// A difference between a replay and its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The machine makes another request.
    Request {
        /// The recorded request.
        expected: Box<Request>,
        /// The machine's request.
        got: Box<Request>,
        /// The fields that differ; never empty.
        fields: Vec<Field>,
    },
    /// The machine makes a request, but the recording continues with another kind of entry.
    RequestExtra(Box<Request>),
    /// The recording has a request that the machine does not make.
    RequestMissing(Box<Request>),
    /// The machine is at rest before the step of the next entry.
    Rest {
        /// The step of the entry.
        step: u64,
    },
    /// The machine has taken more steps than the next entry has before it.
    Past {
        /// The step of the entry.
        step: u64,
    },
    /// The recording has an answer, but no request is waiting for one.
    AnswerToNothing,
    /// An input was accepted and is refused in the recording, or the other way round, or it was
    /// refused for another reason.
    Refusal {
        /// The recorded refusal; `None` if the input was accepted.
        expected: Option<Refusal>,
        /// The machine's refusal; `None` if the input was accepted.
        got: Option<Refusal>,
    },
    /// The clocks differ.
    Clock {
        /// The recorded clock.
        expected: u64,
        /// The machine's.
        got: u64,
    },
    /// The states' digests differ.
    State {
        /// The recorded digest.
        expected: [u8; 32],
        /// The machine's.
        got: [u8; 32],
    },
    /// The traces' digests differ.
    Trace {
        /// The recorded digest.
        expected: [u8; 32],
        /// The machine's.
        got: [u8; 32],
    },
    /// The machine refuses a recorded wave.
    Wave(WaveRefusal),
    /// The machine is not in the state in which the recording ends.
    Stop {
        /// The recorded state.
        expected: Stop,
        /// The machine's.
        got: Stop,
    },
}

/// A field of a request that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name: `step`, `effect`, `role`, `operation`, `attempt`, `deadline`, `arguments`
    /// (their number) or `argument n`, followed by the path of the part that differs, as in
    /// `argument 0.exit_code`.
    pub name: String,
    /// The recorded value as text.
    pub expected: String,
    /// The machine's value as text.
    pub got: String,
}

impl Difference {
    /// The kind of difference in a word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Difference::Request { .. } => "request",
            Difference::RequestExtra(_) => "extra request",
            Difference::RequestMissing(_) => "missing request",
            Difference::Rest { .. } => "early rest",
            Difference::Past { .. } => "step",
            Difference::AnswerToNothing => "answer to nothing",
            Difference::Refusal { .. } => "refusal",
            Difference::Clock { .. } => "clock",
            Difference::State { .. } => "state digest",
            Difference::Trace { .. } => "trace digest",
            Difference::Wave(_) => "wave",
            Difference::Stop { .. } => "stop",
        }
    }
}

impl Difference {
    /// Describes what the recording has and what the machine did. `recorded` is the entry at which
    /// they differ; it is needed where the difference does not contain it.
    pub(crate) fn texts(
        &self,
        recorded: Option<&Entry>,
        kernel: &ProtocolMachineKernel,
    ) -> (String, String) {
        let now = kernel.step_index();
        let recorded = || recorded.map_or_else(String::new, |entry| describe::entry(None, entry));
        let request = |request: &Request| {
            let image = describe::image_of(kernel, request.effect.session);
            describe::request(image, request)
        };
        let digests = |name: &str, expected, got| {
            let (expected, got) = describe::digests(expected, got);
            (format!("{name} {expected}"), format!("{name} {got}"))
        };
        match self {
            Difference::Request { expected, got, .. } => (request(expected), request(got)),
            Difference::RequestExtra(got) => (recorded(), request(got)),
            Difference::RequestMissing(expected) => {
                let got = match stop_of(kernel) {
                    Stop::Running => format!("no request at step {now}"),
                    stop => format!("no request: at rest, {stop}, at step {now}"),
                };
                let step = expected.step;
                (format!("{} at step {step}", request(expected)), got)
            }
            Difference::Rest { step } => (
                format!("{} at step {step}", recorded()),
                format!("at rest, {}, at step {now}", stop_of(kernel)),
            ),
            Difference::Past { step } => (
                format!("{} at step {step}", recorded()),
                format!("the machine is at step {now}"),
            ),
            Difference::AnswerToNothing => {
                let got = "no request is waiting for an answer";
                (recorded(), got.to_owned())
            }
            Difference::Refusal { expected, got } => {
                let text = |refusal: &Option<Refusal>| match refusal {
                    Some(refusal) => format!("refused: {refusal}"),
                    None => "accepted".to_owned(),
                };
                (text(expected), text(got))
            }
            Difference::Clock { expected, got } => {
                (format!("clock {expected}"), format!("clock {got}"))
            }
            Difference::State { expected, got } => digests("state", expected, got),
            Difference::Trace { expected, got } => digests("trace", expected, got),
            Difference::Wave(refusal) => (
                recorded(),
                format!("the machine refuses the wave: {refusal}"),
            ),
            Difference::Stop { expected, got } => (expected.to_string(), got.to_string()),
        }
    }
}

/// The fields of two requests that differ. Linear in the arguments.
pub(crate) fn differing_fields(
    image: Option<&VerifiedImage>,
    expected: &Request,
    got: &Request,
) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut compare = |name: &str, expected: String, got: String| {
        if expected != got {
            let name = name.to_owned();
            fields.push(Field {
                name,
                expected,
                got,
            });
        }
    };
    let role = |r: &Request| {
        r.role
            .map_or_else(|| "-".to_owned(), |r| describe::role(image, r))
    };
    let deadline = |r: &Request| r.deadline.map_or_else(|| "-".to_owned(), |d| d.to_string());
    let operation = |r: &Request| {
        format!(
            "{} ({})",
            describe::operation(image, r.operation),
            r.operation
        )
    };
    compare("step", expected.step.to_string(), got.step.to_string());
    compare(
        "effect",
        expected.effect.to_string(),
        got.effect.to_string(),
    );
    compare("role", role(expected), role(got));
    compare("operation", operation(expected), operation(got));
    compare(
        "attempt",
        expected.attempt.to_string(),
        got.attempt.to_string(),
    );
    compare("deadline", deadline(expected), deadline(got));
    let (a, b) = (expected.args.len(), got.args.len());
    compare("arguments", a.to_string(), b.to_string());
    let is_same = expected.operation == got.operation;
    let row = image.filter(|_| is_same).and_then(|image| {
        let row = describe::operation_row(Some(image), got.operation)?;
        Some((image.image(), row))
    });
    for (n, (a, b)) in expected.args.iter().zip(&got.args).enumerate() {
        if a == b {
            continue;
        }
        let sort = row.and_then(|(_, row)| row.args.get(n).copied());
        let printer = Printer::of(row.map(|(image, _)| image));
        let Excerpt {
            path, left, right, ..
        } = printer.excerpt(a, b, sort);
        fields.push(Field {
            name: format!("argument {n}{path}"),
            expected: left,
            got: right,
        });
    }
    fields
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.difference.name();
        write!(
            f,
            "diverged at step {}, entry {}: {name}",
            self.step, self.entry
        )?;
        if let Some(session) = self.session {
            write!(f, "\n  session      {session}")?;
        }
        if let Some(role) = &self.role {
            write!(
                f,
                "\n  role         {}",
                if role.is_empty() { "-" } else { role }
            )?;
        }
        if let Some(site) = &self.instruction {
            write!(
                f,
                "\n  instruction  {} {}: {}",
                site.program, site.pc, site.text
            )?;
        }
        write!(f, "\n  expected     {}", self.expected)?;
        write!(f, "\n  got          {}", self.got)?;
        if let Difference::Request { fields, .. } = &self.difference {
            for field in fields {
                write!(
                    f,
                    "\n  {:<12} {} -> {}",
                    field.name, field.expected, field.got
                )?;
            }
        }
        if !self.recent.is_empty() {
            write!(f, "\n  before it")?;
        }
        for recent in &self.recent {
            let stamp = &recent.event.stamp;
            write!(
                f,
                "\n    {:>6}  s{} {}",
                stamp.step, stamp.session, recent.text
            )?;
        }
        Ok(())
    }
}
