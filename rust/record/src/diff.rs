//! Compares two recordings entry by entry. [`compare`](crate::compare()) compares their messages
//! and calls.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use antiphon_machine::text::{Excerpt, Printer};
use antiphon_machine::{
    Canonical, CodeImage, EffectId, Ingress, OperationId, Outcome, SessionId, Value, VerifiedImage,
};

use crate::describe::{self, count};
use crate::divergence::{Field, differing_fields};
use crate::entry::{Entry, Header};
use crate::reader::Reader;
use crate::tail::Tail;

/// The result of comparing the entries of two recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// All entries are equal. A checkpoint that only one recording has is not a difference, because
    /// it follows from the other entries.
    Equal {
        /// Number of entries compared.
        entries: u64,
    },
    /// The entries are equal up to the place where a recording is truncated or damaged.
    EqualUpTo {
        /// Number of entries compared.
        entries: u64,
        /// How the first recording ends, if its end was reached.
        left: Option<Tail>,
        /// How the second recording ends, if its end was reached.
        right: Option<Tail>,
    },
    /// Their headers differ.
    Header {
        /// The fields that differ: name, first value, second value.
        fields: Vec<(String, String, String)>,
    },
    /// An entry differs.
    Parted {
        /// Number of equal entries before it.
        equal: u64,
        /// The last equal entries as text, oldest first.
        before: Vec<String>,
        /// The next entry of the first recording.
        left: Side,
        /// The next entry of the second recording.
        right: Side,
    },
}

/// The next entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// An entry.
    Entry {
        /// The entry's number, from 0 for the header.
        index: u64,
        /// The entry.
        entry: Box<Entry>,
        /// The entry as text, with names.
        text: String,
    },
    /// The recording has ended.
    Over(Tail),
}

/// Equal entries that are shown before a difference.
const BEFORE_MAX: usize = 8;

/// Compares two recordings from the start, entry by entry, in constant memory.
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
                let texts = texts.and_then(|(a, b)| names.cut(a, b).or_else(|| in_full(a, b)));
                let texts = texts.unzip();
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

/// Whether two entries are equal. Ignores an end's number of entries, which includes checkpoints.
fn same(a: &Entry, b: &Entry) -> bool {
    match (a, b) {
        (Entry::End(a), Entry::End(b)) => a.stop == b.stop && a.last == b.last,
        (a, b) => a == b,
    }
}

/// Both entries as text with whole digests, if only the ends of their digests differ.
fn in_full(a: &Entry, b: &Entry) -> Option<(String, String)> {
    let has_same_text = describe::entry(None, a) == describe::entry(None, b);
    let texts = || (describe::entry_in_full(a), describe::entry_in_full(b));
    match (a, b) {
        (Entry::Image(_), Entry::Image(_))
        | (Entry::Checkpoint(_), Entry::Checkpoint(_))
        | (Entry::End(_), Entry::End(_)) => has_same_text.then(texts),
        _ => None,
    }
}

/// Whether the recording ends without an end entry.
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
        let (a, b) = describe::sources(a, b);
        fields.push(("protocol source".to_owned(), a, b));
    }
    fields
}

/// The images of the sessions, learned from the entries that are equal.
#[derive(Default)]
struct Names {
    images: Vec<Arc<VerifiedImage>>,
    /// The index in `images` of each session's image.
    sessions: Vec<Option<usize>>,
    /// Whether the last entry opened a session, which a refusal would undo.
    has_opened: bool,
    /// The session and the operation of the request to which the next answer belongs.
    last: Option<(SessionId, OperationId)>,
    /// The operations of the requests that have no answer yet.
    asked: BTreeMap<EffectId, OperationId>,
}

/// The number of requests whose operations are kept until their outcomes follow. An untrusted
/// recording can have any number of requests; outcomes of requests beyond this bound are shown
/// without names.
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

    /// The image and the operation of the outcome in this entry.
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

    /// Both entries as text, cut around the difference, if they differ only in a value.
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
                let fields = differing_fields(image, x, y);
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
                write!(
                    f,
                    "equal up to {entries}, where a recording is truncated or damaged"
                )
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
