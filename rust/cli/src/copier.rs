//! The host's side of a copy: what the role `Local` of the shipped file protocols says.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use antiphon_machine::{Class, EffectHandler, EffectRequest, FailureKind, Outcome, Reply, Value};
use indicatif::{ProgressBar, ProgressStyle};

use crate::fields::{Fields, record};
use crate::literal::Literal;

/// Bytes of a chunk: with the fields beside them, they stay within a payload of 64 KiB.
const CHUNK_LEN: usize = 60 << 10;

/// The bits of an open mode that are used here.
const READ: u8 = 1;
const WRITE: u8 = 1 << 1;
const CREATE: u8 = 1 << 2;
const TRUNCATE: u8 = 1 << 3;

/// Carries out one piece of work after the other.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    work: Option<Work>,
    handle: u64,
    /// How many bytes were copied, and so where the next ones are.
    offset: u64,
    /// A chunk that was read and not written yet.
    chunk: Vec<u8>,
    bar: Option<ProgressBar>,
    failure: Option<io::Error>,
}

/// A session's work.
#[derive(Debug)]
pub(crate) enum Work {
    /// Find out what a path names.
    Look { path: String, found: Option<Stat> },
    /// Copy to the guest.
    Send { open: Open, file: File },
    /// Copy from the guest.
    Fetch { open: Open, file: File, ended: bool },
}

/// What a path in the guest names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) is_directory: bool,
    pub(crate) size: u64,
    pub(crate) perm: u32,
}

/// How a file of the guest is opened.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    path: String,
    mode: u8,
    perm: Option<u32>,
}

impl Open {
    pub(crate) fn to_read(path: &str) -> Open {
        Open {
            path: path.to_owned(),
            mode: READ,
            perm: None,
        }
    }

    /// What was in the file is dropped; one that is made gets these permissions.
    pub(crate) fn to_write(path: &str, perm: u32) -> Open {
        let mode = WRITE | CREATE | TRUNCATE;
        Open {
            path: path.to_owned(),
            mode,
            perm: Some(perm),
        }
    }
}

impl Copier {
    /// Takes the next piece of work.
    pub(crate) fn begin(&mut self, work: Work) {
        *self = Copier {
            work: Some(work),
            ..Copier::default()
        };
    }

    /// Shows a bar on standard error, where that is a terminal.
    pub(crate) fn show_progress(&mut self, len: u64) {
        let bar = ProgressBar::new(len);
        let template = "{bar:32} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}";
        // The template is a constant; if it were wrong, the default one would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    /// What a look has found.
    pub(crate) fn found(&self) -> Stat {
        match &self.work {
            Some(Work::Look {
                found: Some(found), ..
            }) => *found,
            Some(Work::Look { .. } | Work::Send { .. } | Work::Fetch { .. }) | None => {
                Stat::default()
            }
        }
    }

    /// How many bytes were copied.
    pub(crate) fn copied(&self) -> u64 {
        self.offset
    }

    /// What failed on this side.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn failed(&mut self, error: io::Error) -> Reply {
        let detail = error.to_string();
        self.failure = Some(error);
        Reply::Now(Outcome::failure(FailureKind::Internal, &detail))
    }

    /// Goes on, or comes to the end of the file.
    fn decide(&mut self, request: &EffectRequest<'_>) -> Reply {
        let label = match &mut self.work {
            Some(Work::Send { file, .. }) => {
                if self.chunk.is_empty()
                    && let Err(error) = file.take(CHUNK_LEN as u64).read_to_end(&mut self.chunk)
                {
                    return self.failed(error);
                }
                if self.chunk.is_empty() {
                    "finish"
                } else {
                    "chunk"
                }
            }
            Some(Work::Fetch { ended: false, .. }) => "more",
            Some(Work::Fetch { .. } | Work::Look { .. }) | None => "finish",
        };
        match request.choose(label) {
            Some(outcome) => Reply::Now(outcome),
            None => unforeseen(request),
        }
    }

    fn produce(&mut self, label: &str, request: &EffectRequest<'_>) -> Reply {
        let number = |n: u64| Literal::Number(i128::from(n));
        let value = match (label, &self.work) {
            ("look", Some(Work::Look { path, .. })) => Ok(Value::text(path)),
            ("begin", Some(Work::Send { open, .. } | Work::Fetch { open, .. })) => {
                let mut fields = vec![
                    ("path", Literal::Text(open.path.clone())),
                    ("mode", number(u64::from(open.mode))),
                ];
                fields.extend(open.perm.map(|perm| ("perm", number(u64::from(perm)))));
                record(request, fields)
            }
            ("chunk", Some(Work::Send { .. })) => record(
                request,
                vec![
                    ("handle", number(self.handle)),
                    ("data", Literal::Bytes(self.chunk.clone())),
                    ("offset", number(self.offset)),
                ],
            ),
            ("more", Some(Work::Fetch { .. })) => record(
                request,
                vec![
                    ("handle", number(self.handle)),
                    ("len", number(CHUNK_LEN as u64)),
                    ("offset", number(self.offset)),
                ],
            ),
            _ => return unforeseen(request),
        };
        Reply::Now(match value {
            Ok(value) => Outcome::Success(value),
            Err(why) => Outcome::failure(FailureKind::InvalidInput, &why),
        })
    }

    fn deliver(&mut self, label: &str, fields: &Fields<'_>) -> Reply {
        let number = |name: &str| fields.number(name).and_then(|n| u64::try_from(n).ok());
        match (label, &mut self.work) {
            ("opened", _) => self.handle = number("handle").unwrap_or_default(),
            ("written", Some(Work::Send { .. })) => {
                let written = number("written").unwrap_or_default();
                let len = usize::try_from(written)
                    .unwrap_or(usize::MAX)
                    .min(self.chunk.len());
                if len == 0 {
                    return self.failed(io::ErrorKind::WriteZero.into());
                }
                self.chunk.drain(..len);
                self.moved(len);
            }
            ("chunk", Some(Work::Fetch { file, ended, .. })) => {
                let data = fields.bytes("data");
                *ended = fields.truth("eof") || data.is_empty();
                if let Err(error) = file.write_all(&data) {
                    return self.failed(error);
                }
                self.moved(data.len());
            }
            ("found", Some(Work::Look { found, .. })) => {
                *found = Some(Stat {
                    is_directory: fields.text("kind") == "directory",
                    size: number("size").unwrap_or_default(),
                    perm: number("perm")
                        .and_then(|n| u32::try_from(n).ok())
                        .unwrap_or_default(),
                });
            }
            _ => {}
        }
        Reply::Now(Outcome::done())
    }

    fn moved(&mut self, len: usize) {
        self.offset += len as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.offset);
        }
    }
}

impl EffectHandler for Copier {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        // What the role `Guest` is told is for its operations, which the link carries out.
        let is_local = request.role_name() == "Local";
        match request.class() {
            Class::Decide { .. } if is_local => self.decide(request),
            Class::Produce { label, .. } if is_local => {
                self.produce(request.image().label_name(*label), request)
            }
            Class::Deliver { label, .. } => match Fields::of(request) {
                Some(fields) if is_local => {
                    self.deliver(request.image().label_name(*label), &fields)
                }
                Some(_) | None => Reply::Now(Outcome::done()),
            },
            Class::Decide { .. }
            | Class::Produce { .. }
            | Class::Command
            | Class::Observe
            | Class::Check => unforeseen(request),
        }
    }
}

fn unforeseen(request: &EffectRequest<'_>) -> Reply {
    let detail = format!(
        "{}, and `cp` has no answer to that",
        crate::script::asked(request)
    );
    Reply::Now(Outcome::failure(FailureKind::InvalidInput, &detail))
}
