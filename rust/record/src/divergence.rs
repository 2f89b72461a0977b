//! Where a replay and its recording part.

use antiphon_machine::{ObsEvent, Pc, Refusal, SessionId, VerifiedImage, WaveRefusal};

use crate::describe;
use crate::entry::{Request, Stop};
use crate::text::{Excerpt, Printer};

/// The first point at which a replay is not what the recording says.
///
/// Displayed, it says all of it in some lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Which entry of the recording, from 0 for the header.
    pub entry: u64,
    /// How many steps the machine had taken.
    pub step: u64,
    /// The session that it is about, if it is about one.
    pub session: Option<SessionId>,
    /// The role's name; empty for a spawned coroutine.
    pub role: Option<String>,
    /// The instruction at which that role stands.
    pub instruction: Option<Site>,
    /// What differs.
    pub difference: Difference,
    /// What the recording says.
    pub expected: String,
    /// What the machine did.
    pub got: String,
    /// The last events of the machine before it, oldest first.
    pub recent: Vec<Seen>,
}

/// An instruction of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The program's name.
    pub program: String,
    /// The instruction's number in it.
    pub pc: Pc,
    /// The instruction.
    pub text: String,
}

/// An event and a line about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The event.
    pub event: ObsEvent,
    /// The event as text, with names.
    pub text: String,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The machine asks something else.
    Request {
        /// What the recording has.
        expected: Box<Request>,
        /// What the machine asks.
        got: Box<Request>,
        /// What of it differs; never empty.
        fields: Vec<Field>,
    },
    /// The machine asks, and the recording goes on with something else.
    RequestExtra(Box<Request>),
    /// The recording has a request that the machine does not make.
    RequestMissing(Box<Request>),
    /// The machine came to rest before the step at which the recording goes on.
    Rest {
        /// That step.
        step: u64,
    },
    /// The recording goes on at a step that the machine is past.
    Past {
        /// That step.
        step: u64,
    },
    /// The recording answers where nothing was asked.
    AnswerToNothing,
    /// An input was taken where the recording has it refused, or the other way round, or for
    /// another reason.
    Refusal {
        /// What the recording has.
        expected: Option<Refusal>,
        /// What the machine says.
        got: Option<Refusal>,
    },
    /// The clocks differ.
    Clock {
        /// What the recording has.
        expected: u64,
        /// The machine's.
        got: u64,
    },
    /// The states' digests differ.
    State {
        /// What the recording has.
        expected: [u8; 32],
        /// The machine's.
        got: [u8; 32],
    },
    /// The traces' digests differ.
    Trace {
        /// What the recording has.
        expected: [u8; 32],
        /// The machine's.
        got: [u8; 32],
    },
    /// The recording has a wave that this machine would not run.
    Wave(WaveRefusal),
    /// The recording ends with the machine doing something else.
    Stop {
        /// What the recording has.
        expected: Stop,
        /// What the machine is doing.
        got: Stop,
    },
}

/// A field of a request that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which: `step`, `effect`, `role`, `operation`, `attempt`, `deadline`, `arguments` (their
    /// number) or `argument n`, followed by the path of the part that differs, as in `argument 0.exit_code`.
    pub name: String,
    /// What the recording has.
    pub expected: String,
    /// What the machine asks.
    pub got: String,
}

impl Difference {
    /// What differs, in a word or two.
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

/// What of two requests differs. Linear in the arguments.
pub(crate) fn differing(
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
        for seen in &self.recent {
            let stamp = &seen.event.stamp;
            write!(
                f,
                "\n    {:>6}  s{} {}",
                stamp.step, stamp.session, seen.text
            )?;
        }
        Ok(())
    }
}
