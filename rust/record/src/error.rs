//! Why a recording cannot be replayed, and why a checkpoint file cannot be written or used.

use std::io;

use antiphon_machine::{ReadError, RestoreError, VerifyError};

use crate::divergence::Divergence;
use crate::reader::OpenError;
use crate::tail::Tail;

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// An image in it cannot be read.
    #[error("the image in entry {entry} cannot be read: {error}")]
    Image {
        /// The entry's number.
        entry: u64,
        /// The reason.
        error: ReadError,
    },
    /// An image in it does not verify.
    #[error("the image in entry {entry} does not verify: {error}")]
    Unsound {
        /// The entry's number.
        entry: u64,
        /// The reason.
        error: Box<VerifyError>,
    },
}

/// Why a checkpoint file cannot be written or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The recording cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The recording's replay differs before the step.
    #[error("the replay does not reach step {step}: {}", divergence_line(.divergence))]
    Diverged {
        /// The step of the wanted checkpoint.
        step: u64,
        /// The first difference.
        divergence: Box<Divergence>,
    },
    /// The recording has no checkpoint at this step.
    #[error(
        "the recording has no checkpoint at step {step}{}",
        nearest(*.before, *.after, *.end == Some(*.step))
    )]
    NoCheckpoint {
        /// The step.
        step: u64,
        /// The step of the last checkpoint before it.
        before: Option<u64>,
        /// The step of the first checkpoint after it.
        after: Option<u64>,
        /// The step at which the recording ends, if the replay reached its end entry. That entry
        /// has digests like a checkpoint, but nothing follows it.
        end: Option<u64>,
    },
    /// The replay is already at this step or beyond it.
    #[error(
        "the replay is already at step {now}, and only a checkpoint at a later step can be \
         written, got step {step}"
    )]
    Passed {
        /// The step of the wanted checkpoint.
        step: u64,
        /// The replay's step.
        now: u64,
    },
    /// The recording's determinism mode records no digests of the state.
    #[error("the recording has no checkpoints: it was made in the mode `ModuloEffects`")]
    NoDigests,
    /// The file or the state is too long.
    #[error("the checkpoint has {len} bytes, but at most {max} are allowed")]
    TooLong {
        /// Its length in bytes, or a smaller length that is already too long.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// The file does not start with the magic bytes.
    #[error("not a checkpoint: byte {offset} is {got}, expected {expected:#04x}")]
    NotACheckpoint {
        /// The first byte that differs.
        offset: usize,
        /// The byte of a checkpoint.
        expected: u8,
        /// The actual byte, or `the end`.
        got: String,
    },
    /// The file has another version of the format.
    #[error(
        "the checkpoint is in version {got} of the format, this reader knows version {known}; \
         write it again with `--to-checkpoint`"
    )]
    Version {
        /// The version of the file.
        got: u8,
        /// The version of this reader.
        known: u8,
    },
    /// The bytes after the magic are not in the format.
    #[error("the checkpoint cannot be read at byte {offset}: {reason}")]
    Unreadable {
        /// Offset in the file.
        offset: usize,
        /// The reason.
        reason: String,
    },
    /// A value in it cannot be read.
    #[error("the checkpoint's {place} cannot be read: {error}")]
    Value {
        /// The session and the register or message.
        place: String,
        /// The reason.
        error: ReadError,
    },
    /// An image in it cannot be read.
    #[error("image {image} of the checkpoint cannot be read: {error}")]
    Image {
        /// Its position.
        image: usize,
        /// The reason.
        error: ReadError,
    },
    /// An image in it does not verify.
    #[error("image {image} of the checkpoint does not verify: {error}")]
    Unsound {
        /// Its position.
        image: usize,
        /// The reason.
        error: Box<VerifyError>,
    },
    /// Its state is not one that the machine can be in.
    #[error("the checkpoint's state is invalid: {0}")]
    State(#[from] RestoreError),
    /// It belongs to another recording.
    #[error(
        "the checkpoint is of another recording: {what} is {got}, the recording's is {expected}; \
         write one for this recording with `--to-checkpoint`"
    )]
    OtherRecording {
        /// What differs.
        what: &'static str,
        /// The recording's.
        expected: String,
        /// The checkpoint's.
        got: String,
    },
    /// The recording's entry at which the replay would continue is not the file's checkpoint.
    #[error(
        "the checkpoint is of another recording: expected that entry {entry} is a checkpoint at \
         step {step}, got `{found}`; write one for this recording with `--to-checkpoint`"
    )]
    OtherEntry {
        /// The entry's number.
        entry: u64,
        /// The step of the file.
        step: u64,
        /// The recording's entry.
        found: String,
    },
    /// It differs from the recording's checkpoint.
    #[error(
        "the checkpoint is not the recorded state at step {step}: {what} is {got}, expected \
         {expected}"
    )]
    Differs {
        /// The step.
        step: u64,
        /// What differs.
        what: &'static str,
        /// The recording's.
        expected: String,
        /// The checkpoint's.
        got: String,
    },
    /// The recording ends before the entry from which the replay would continue.
    #[error(
        "the recording ends before the checkpoint's entry {entry} at step {step}: {}",
        tail_text(.tail)
    )]
    Ends {
        /// The number of the entry.
        entry: u64,
        /// The step.
        step: u64,
        /// How the recording ends.
        tail: Box<Option<Tail>>,
    },
}

impl From<OpenError> for CheckpointError {
    fn from(error: OpenError) -> CheckpointError {
        ReplayError::Open(error).into()
    }
}

impl From<io::Error> for CheckpointError {
    fn from(error: io::Error) -> CheckpointError {
        ReplayError::Io(error).into()
    }
}

fn divergence_line(divergence: &Divergence) -> String {
    let Divergence { step, entry, .. } = divergence;
    let name = divergence.difference.name();
    format!("it diverged at step {step}, entry {entry}: {name}")
}

fn nearest(before: Option<u64>, after: Option<u64>, is_end: bool) -> String {
    let end = if is_end { ", where it ends" } else { "" };
    match (before, after) {
        (Some(before), Some(after)) => {
            format!("{end}; the nearest are at steps {before} and {after}")
        }
        (Some(step), None) => format!("{end}; the last one is at step {step}"),
        (None, Some(step)) => format!("{end}; the first one is at step {step}"),
        (None, None) if is_end => format!("{end}, or at any other step"),
        (None, None) => " or any other step".to_owned(),
    }
}

fn tail_text(tail: &Option<Tail>) -> String {
    tail.as_ref().map_or_else(String::new, Tail::to_string)
}
