//! The first difference of two recordings, entry by entry. [`compare`](crate::compare) compares
//! their messages and calls.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use antiphon_machine::{
    Canonical, CodeImage, EffectId, Ingress, OperationId, Outcome, SessionId, Value, VerifiedImage,
};

use crate::describe::{self, count};
use crate::divergence::{Field, differing};
use crate::entry::{Entry, Header};
use crate::reader::{Reader, Tail};
use crate::text::{Excerpt, Printer};

/// What comparing two recordings came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They say the same, entry by entry. Checkpoints that only one of them has do not count: they
    /// follow from the rest.
    Equal {
        /// How many entries were compared.
        entries: u64,
    },
    /// They have the same entries up to the place where a recording is cut or damaged.
    EqualUpTo {
        /// How many entries were compared.
        entries: u64,
        /// How the first recording ends, if its end was reached.
        left: Option<Tail>,
        /// How the second one does.
        right: Option<Tail>,
    },
    /// Their headers differ.
    Header {
        /// What differs: name, the first recording's, the second one's.
        fields: Vec<(String, String, String)>,
    },
    /// They part here.
    Parted {
        /// How many entries were equal before.
        equal: u64,
        /// The last of them, oldest first.
        before: Vec<String>,
        /// What the first recording says next.
        left: Side,
        /// What the second one says next.
        right: Side,
    },
}

/// What a recording says at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// This entry.
    Entry {
        /// Which, from 0 for the header.
        index: u64,
        /// The entry.
        entry: Box<Entry>,
        /// As text, with names.
        text: String,
    },
    /// Nothing more.
    Over(Tail),
}

/// Equal entries that are told of before a difference.
const BEFORE_MAX: usize = 8;

/// Compares two recordings from the front, entry by entry, in constant memory.
///
/// # Errors
/// When reading fails.
pub fn diff<A: Read, B: Read>(
    left: &mut Reader<A>,
    right: &mut Reader<B>,
) -> io::Result<Comparison> {
    let fields = header_fields(left.header(), right.header());
    if !fields.is_empty() {
        return Ok(Comparison::Header { fields });
    }
    let mut names = Names::default();
    let mut before = Vec::new();
    let mut equal = 0;
    loop {
        let (mut a, mut b) = (left.entry()?, right.entry()?);
        while a != b && matches!(a, Some(Entry::Checkpoint(_))) {
            a = left.entry()?;
        }
        while a != b && matches!(b, Some(Entry::Checkpoint(_))) {
            b = right.entry()?;
        }
        match (a, b) {
            (a, b) if a.is_none() && is_cut(left.tail()) || b.is_none() && is_cut(right.tail()) => {
                let tail = |tail: Option<&Tail>, is_over: bool| tail.filter(|_| is_over).cloned();
                return Ok(Comparison::EqualUpTo {
                    entries: equal,
                    left: tail(left.tail(), a.is_none()),
                    right: tail(right.tail(), b.is_none()),
                });
            }
            (None, None) => return Ok(Comparison::Equal { entries: equal }),
            (Some(a), Some(b)) if same(&a, &b) => {
                names.learn(&a);
                if before.len() == BEFORE_MAX {
                    before.remove(0);
                }
                before.push(names.text(&a));
                equal += 1;
            }
            (a, b) => {
                let texts = a.as_ref().zip(b.as_ref());
                let texts = texts.and_then(|(a, b)| names.cut(a, b)).unzip();
                return Ok(Comparison::Parted {
                    equal,
                    before,
                    left: side(&names, a, texts.0, left),
                    right: side(&names, b, texts.1, right),
                });
            }
        }
    }
}

/// Equal, but for the count of an end, which counts checkpoints.
fn same(a: &Entry, b: &Entry) -> bool {
    match (a, b) {
        (Entry::End(a), Entry::End(b)) => a.stop == b.stop && a.last == b.last,
        (a, b) => a == b,
    }
}

/// Whether nothing says that the recording was to end there.
fn is_cut(tail: Option<&Tail>) -> bool {
    match tail {
        Some(Tail::Sealed) => false,
        Some(Tail::Open | Tail::Torn { .. } | Tail::Damaged(_)) | None => true,
    }
}

fn side<R: Read>(
    names: &Names,
    entry: Option<Entry>,
    text: Option<String>,
    reader: &Reader<R>,
) -> Side {
    match entry {
        Some(entry) => Side::Entry {
            index: reader.entries() - 1,
            text: text.unwrap_or_else(|| names.text(&entry)),
            entry: Box::new(entry),
        },
        None => Side::Over(reader.tail().cloned().unwrap_or(Tail::Open)),
    }
}

fn header_fields(a: &Header, b: &Header) -> Vec<(String, String, String)> {
    let mut fields = Vec::new();
    if a.config != b.config {
        let text = |h: &Header| format!("{:?}", h.config);
        fields.push(("configuration".to_owned(), text(a), text(b)));
    }
    if a.source != b.source {
        let text = |h: &Header| {
            let source = h.source.as_deref();
            source.map_or("none".to_owned(), |s| {
                let digest = describe::digest(blake3::hash(s.as_bytes()).as_bytes());
                format!("{} bytes, digest {digest}", s.len())
            })
        };
        fields.push(("protocol source".to_owned(), text(a), text(b)));
    }
    fields
}

/// The images of the sessions, as far as the recordings agree.
#[derive(Default)]
struct Names {
    images: Vec<Arc<VerifiedImage>>,
    /// By session, the row in `images`.
    sessions: Vec<Option<usize>>,
    /// Whether the last entry opened a session that a refusal would take back.
    has_opened: bool,
    /// The request that the next answer is for.
    last: Option<(SessionId, OperationId)>,
    /// Requests without an answer so far.
    asked: BTreeMap<EffectId, OperationId>,
}

/// Requests whose operations are kept until their outcomes arrive. An untrusted recording can have
/// any number of requests; outcomes beyond this bound are shown without names.
const ASKED_MAX: usize = 1 << 16;

impl Names {
    fn learn(&mut self, entry: &Entry) {
        let has_opened = std::mem::take(&mut self.has_opened);
        let last = self.last.take();
        match entry {
            Entry::Request(request) => {
                let (effect, operation) = (request.effect, request.operation);
                self.last = Some((effect.session, operation));
                if self.asked.len() < ASKED_MAX {
                    self.asked.insert(effect, operation);
                }
            }
            Entry::Refused(_) if !has_opened => self.last = last,
            Entry::Input {
                input: Ingress::Outcome { effect, .. },
                ..
            } => {
                self.asked.remove(effect);
            }
            Entry::Image(bytes) => {
                let image = CodeImage::from_bytes(bytes, CodeImage::LIMITS).ok();
                if let Some(image) = image.and_then(|image| image.verify().ok()) {
                    self.images.push(Arc::new(image));
                }
            }
            Entry::Input {
                input: Ingress::Open { image, .. },
                ..
            } => {
                let row = self.images.iter().position(|i| i.digest() == image);
                self.sessions.push(row);
                self.has_opened = true;
            }
            Entry::Refused(_) if has_opened => {
                self.sessions.pop();
            }
            Entry::Header(_)
            | Entry::Answer(_)
            | Entry::Input { .. }
            | Entry::Refused(_)
            | Entry::Checkpoint(_)
            | Entry::Wave { .. }
            | Entry::End(_) => {}
        }
    }

    fn image(&self, session: SessionId) -> Option<&VerifiedImage> {
        let row = (*self.sessions.get(session.index())?)?;
        Some(self.images.get(row)?.as_ref())
    }

    /// The image and the operation that an outcome in this entry is of.
    fn outcome_of(&self, entry: &Entry) -> Option<(&VerifiedImage, OperationId)> {
        let (session, operation) = match entry {
            Entry::Answer(_) => self.last?,
            Entry::Input {
                input: Ingress::Outcome { effect, .. },
                ..
            } => (effect.session, *self.asked.get(effect)?),
            Entry::Header(_)
            | Entry::Image(_)
            | Entry::Request(_)
            | Entry::Input { .. }
            | Entry::Refused(_)
            | Entry::Checkpoint(_)
            | Entry::Wave { .. }
            | Entry::End(_) => return None,
        };
        Some((self.image(session)?, operation))
    }

    fn text(&self, entry: &Entry) -> String {
        let (image, operation) = self.outcome_of(entry).unzip();
        match entry {
            Entry::Request(request) => {
                let image = self.image(request.effect.session);
                format!(
                    "step {}: {}",
                    request.step,
                    describe::request(image, request)
                )
            }
            Entry::Answer(outcome) => {
                let outcome = describe::outcome_of(outcome, image, operation);
                format!("answered: {outcome}")
            }
            Entry::Input {
                step,
                input: Ingress::Outcome { effect, outcome },
            } => {
                let outcome = describe::outcome_of(outcome, image, operation);
                format!("step {step}: {effect} answered: {outcome}")
            }
            Entry::Input { step, .. } | Entry::Wave { step, .. } => {
                format!("step {step}: {}", describe::entry(None, entry))
            }
            Entry::Header(_)
            | Entry::Image(_)
            | Entry::Refused(_)
            | Entry::Checkpoint(_)
            | Entry::End(_) => describe::entry(None, entry),
        }
    }

    /// Both entries as text, cut around what differs, where they differ in nothing but a value.
    fn cut(&self, a: &Entry, b: &Entry) -> Option<(String, String)> {
        let lines = |head: String, found: Excerpt| {
            let Excerpt {
                path, left, right, ..
            } = found;
            let path = match path.is_empty() {
                true => path,
                false => format!(" (at {path})"),
            };
            (
                format!("{head}{left}{path}"),
                format!("{head}{right}{path}"),
            )
        };
        match (a, b) {
            (Entry::Answer(Outcome::Success(x)), Entry::Answer(Outcome::Success(y))) => {
                Some(lines("answered: ".to_owned(), self.excerpt(a, x, y)))
            }
            (
                Entry::Input {
                    step,
                    input:
                        Ingress::Outcome {
                            effect,
                            outcome: Outcome::Success(x),
                        },
                },
                Entry::Input {
                    step: at,
                    input:
                        Ingress::Outcome {
                            effect: other,
                            outcome: Outcome::Success(y),
                        },
                },
            ) if step == at && effect == other => {
                let head = format!("step {step}: {effect} answered: ");
                Some(lines(head, self.excerpt(a, x, y)))
            }
            (Entry::Request(x), Entry::Request(y)) => {
                let image = self.image(x.effect.session);
                let fields = differing(image, x, y);
                let Field {
                    name,
                    expected,
                    got,
                } = fields.first()?;
                // The texts of all other fields are not cut, so they show the difference.
                name.strip_prefix("argument ")?;
                let head = self.text(a);
                Some((
                    format!("{head}: {name} is {expected}"),
                    format!("{}: {name} is {got}", self.text(b)),
                ))
            }
            (
                Entry::Header(_)
                | Entry::Image(_)
                | Entry::Request(_)
                | Entry::Answer(_)
                | Entry::Input { .. }
                | Entry::Refused(_)
                | Entry::Checkpoint(_)
                | Entry::Wave { .. }
                | Entry::End(_),
                _,
            ) => None,
        }
    }

    fn excerpt(&self, entry: &Entry, left: &Value, right: &Value) -> Excerpt {
        let found = self.outcome_of(entry);
        let sort = found.and_then(|(image, operation)| {
            describe::operation_row(Some(image), operation).map(|row| row.result)
        });
        let image = found.map(|(image, _)| image.image());
        Printer::of(image).excerpt(left, right, sort)
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Comparison::Equal { entries } => {
                write!(f, "equal: {}", count(*entries, ("entry", "entries")))
            }
            Comparison::EqualUpTo { entries, .. } => {
                let entries = count(*entries, ("entry", "entries"));
                write!(f, "equal up to {entries}, where one of them is not whole")
            }
            Comparison::Header { fields } => {
                write!(f, "the headers differ")?;
                for (name, left, right) in fields {
                    write!(f, "\n  {name}\n  - {left}\n  + {right}")?;
                }
                Ok(())
            }
            Comparison::Parted {
                equal,
                before,
                left,
                right,
            } => {
                let equal = count(*equal, ("entry", "entries"));
                write!(f, "equal for {equal}, then different")?;
                for line in before {
                    write!(f, "\n    {line}")?;
                }
                write!(f, "\n  - {left}\n  + {right}")
            }
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Side::Entry { text, .. } => f.write_str(text),
            Side::Over(tail) => write!(f, "nothing more ({tail})"),
        }
    }
}
