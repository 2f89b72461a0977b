//! Where two recordings part.

use std::io::{self, Read};
use std::sync::Arc;

use antiphon_machine::{Canonical, CodeImage, Ingress, SessionId, VerifiedImage};

use crate::describe;
use crate::entry::{Entry, Header};
use crate::reader::{Reader, Tail};

/// What comparing two recordings came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They say the same, entry by entry. Checkpoints that only one of them has do not count: they
    /// follow from the rest.
    Equal {
        /// How many entries were compared.
        entries: u64,
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
                return Ok(Comparison::Parted {
                    equal,
                    before,
                    left: side(&mut names, a, left),
                    right: side(&mut names, b, right),
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

fn side<R: Read>(names: &mut Names, entry: Option<Entry>, reader: &Reader<R>) -> Side {
    match entry {
        Some(entry) => Side::Entry {
            index: reader.entries() - 1,
            text: names.text(&entry),
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
}

impl Names {
    fn learn(&mut self, entry: &Entry) {
        let has_opened = std::mem::take(&mut self.has_opened);
        match entry {
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
            | Entry::Request(_)
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

    fn text(&self, entry: &Entry) -> String {
        match entry {
            Entry::Request(request) => {
                let image = self.image(request.effect.session);
                format!(
                    "step {}: {}",
                    request.step,
                    describe::request(image, request)
                )
            }
            Entry::Input { step, .. } | Entry::Wave { step, .. } => {
                format!("step {step}: {}", describe::entry(None, entry))
            }
            Entry::Header(_)
            | Entry::Image(_)
            | Entry::Answer(_)
            | Entry::Refused(_)
            | Entry::Checkpoint(_)
            | Entry::End(_) => describe::entry(None, entry),
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Comparison::Equal { entries } => write!(f, "equal: {entries} entries"),
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
                write!(f, "equal for {equal} entries, then different")?;
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
