//! The messages that `exec` knows by their labels, and the payloads that it makes for them.

use std::time::Duration;

use antiphon_machine::text::Literal;
use antiphon_machine::{LabelId, SortId, VerifiedImage};

use crate::fields::payload;

/// The labels that `exec` knows.
pub(super) const EXEC: &str = "exec_request";
pub(super) const DATA: &str = "stdin_data";
pub(super) const EOF: &str = "stdin_eof";
pub(super) const SIGNAL: &str = "signal";
pub(super) const CANCEL: &str = "cancel";
pub(super) const DETACH: &str = "detach";
pub(super) const OUTPUT: &str = "exec_output";
pub(super) const RESPONSE: &str = "exec_response";

/// The command to run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) deadline_ms: Option<u64>,
    /// Whether standard input is read.
    pub(crate) reads_input: bool,
    /// How long a command may keep running after a signal before it is cancelled.
    pub(crate) kill_after: Duration,
}

/// How much standard input a protocol can carry to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputCapacity {
    None,
    /// A bounded number of pieces.
    Bounded,
    Unlimited,
}

/// The credit of each output stream: enough to keep a pipe between two processes busy.
const WINDOW: u32 = 1 << 20;

/// The command line as all fields that a request may have.
pub(super) fn request_fields(job: &Job, takes_input: bool) -> Vec<(&'static str, Literal)> {
    let text = |text: &String| Literal::Text(text.clone());
    let texts = |texts: &[String]| Literal::List(texts.iter().map(text).collect());
    let command = job.command.first().cloned().unwrap_or_default();
    let mut all = vec![
        ("cmd", Literal::Text(command)),
        ("argv", texts(&job.command)),
        ("env", texts(&job.env)),
        ("stdin", Literal::Word(takes_input.to_string())),
    ];
    all.extend(job.cwd.as_ref().map(|cwd| ("cwd", text(cwd))));
    let deadline = job.deadline_ms.map(|ms| Literal::Number(i128::from(ms)));
    all.extend(deadline.map(|deadline| ("deadline_ms", deadline)));
    for stream in ["stdout_window", "stderr_window"] {
        all.push((stream, Literal::Number(i128::from(WINDOW))));
    }
    all
}

/// Whether `exec` can make a payload of that sort for a label.
pub(super) fn has_payload(image: &VerifiedImage, label: LabelId, sort: SortId) -> bool {
    let is_empty = || payload(Vec::new(), sort, image.image()).is_ok();
    match image.label_name(label) {
        EXEC | DATA | SIGNAL => true,
        // These carry nothing; the protocol may give them an empty record.
        EOF | CANCEL | DETACH => is_empty(),
        _ => false,
    }
}
