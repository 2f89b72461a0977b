//! Checks a recording against the model, by comparison or by proof.
//!
//! For a comparison, both sides run the recording's case, and the outputs are compared. This trusts
//! Lean's interpreter, which runs the model. For a proof, the recording becomes a theorem: Lean's
//! kernel evaluates the model on the case, and accepts the theorem only if the run has the log and
//! the final state that the theorem states.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use antiphon_codec::{Encoder, Item, decode_strict};

use crate::case::{Action, CASE_LIMITS, Case};
use crate::compare::DivergenceKind;
use crate::oracle::{Oracle, OracleError};
use crate::run::{ActionOut, ActionResult, Runner};

/// The most actions of a case that is compared. The model reads them by a recursion of that depth,
/// and the packaged Lean's stack holds about 400,000 calls.
pub const ACTIONS_MAX: usize = 100_000;

/// The most bytes of a text or byte string in a case that is compared. The model counts a payload's
/// bytes by a recursion of that depth. It is also the machine's default bound on a payload.
pub const STRING_LEN_MAX: usize = 64 << 10;

/// The most bytes of a case that is compared. The model keeps the case as a list of bytes, which
/// takes about 50 bytes of memory for each byte.
pub const CASE_LEN_MAX: usize = 4 << 20;

/// The most bytes of output of each side, which includes the whole state after every action. The
/// model keeps all of its output in memory.
pub const OUTPUT_LEN_MAX: u64 = 128 << 20;

/// The most actions of a recording that becomes a theorem. Lean's kernel keeps what it has
/// evaluated: at both bounds it takes about two minutes and 3 GB, and the packaged Lean has 4 GB.
pub const THEOREM_ACTIONS_MAX: usize = 700;

/// The most bytes of the case, the log and the last state together of a recording that becomes a
/// theorem. Lean's kernel evaluates them byte by byte.
pub const THEOREM_LEN_MAX: usize = 24 << 10;

/// The size of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps taken.
    pub steps: u64,
    /// Inputs taken or refused.
    pub inputs: u64,
    /// Events of the run.
    pub events: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes of the output that is compared.
    pub bytes: u64,
}

/// A run that is too large to be compared, or to become a theorem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// The case has too many bytes.
    #[error("its images and inputs have {len} bytes; at most {max} are compared")]
    Case {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        max: usize,
    },
    /// A text or byte string of the case is too long.
    #[error("a payload in it has {len} bytes; at most {max} are compared")]
    String {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        max: usize,
    },
    /// The output has too many bytes.
    #[error(
        "its states, one for every step, have more than {max} bytes; at most {max} are compared"
    )]
    Output {
        /// The most bytes.
        max: u64,
    },
    /// The case has too many actions.
    #[error("it has {count} steps and inputs; at most {max} are compared")]
    Actions {
        /// The number of actions.
        count: usize,
        /// The most actions.
        max: usize,
    },
    /// The case has too many actions for Lean's kernel.
    #[error("it has {count} steps and inputs; Lean's kernel is given at most {max}")]
    TheoremActions {
        /// The number of actions.
        count: usize,
        /// The most actions.
        max: usize,
    },
    /// The case, the log and the last state have too many bytes for Lean's kernel.
    #[error("its case, log and last state have {len} bytes; Lean's kernel is given at most {max}")]
    Theorem {
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        max: usize,
    },
}

/// A recording's case, with the log and the last state of its run on the kernel.
#[derive(Clone, Debug)]
pub struct Run {
    case: Case,
    figures: Figures,
    log: Vec<u8>,
    state: Vec<u8>,
}

impl Run {
    /// Runs a case on the kernel.
    ///
    /// # Errors
    /// When the case is too large to be compared.
    pub fn of(case: Case) -> Result<Run, TooLarge> {
        let (count, max) = (case.actions.len(), ACTIONS_MAX);
        if count > max {
            return Err(TooLarge::Actions { count, max });
        }
        let bytes = case.to_bytes();
        let (len, max) = (bytes.len(), CASE_LEN_MAX);
        if len > max {
            return Err(TooLarge::Case { len, max });
        }
        let (len, max) = (longest(&bytes), STRING_LEN_MAX);
        if len > max {
            return Err(TooLarge::String { len, max });
        }
        let mut runner = Runner::new(&case);
        let mut run = Run {
            figures: Figures::default(),
            log: Vec::new(),
            state: runner.kernel().state_bytes(),
            case: case.clone(),
        };
        for action in &case.actions {
            run.add(action, runner.act(action));
            if run.figures.bytes > OUTPUT_LEN_MAX {
                return Err(TooLarge::Output {
                    max: OUTPUT_LEN_MAX,
                });
            }
        }
        Ok(run)
    }

    fn add(&mut self, action: &Action, out: ActionOut) {
        let mut bytes = Vec::new();
        out.encode(&mut Encoder::new(&mut bytes));
        // The log has neither the array's head, which comes first, nor the state, which comes last.
        let logged = &bytes[1..bytes.len() - out.state.len()];
        self.log.extend_from_slice(logged);
        let compared = bytes.len() as u64;
        let Figures {
            steps,
            inputs,
            events,
            requests,
            bytes,
        } = &mut self.figures;
        *steps += match &out.result {
            ActionResult::Stepped(..) => 1,
            ActionResult::Round(wave) => wave.picks.len() as u64,
            ActionResult::Rested(_)
            | ActionResult::Taken(_)
            | ActionResult::Refused(_)
            | ActionResult::NotReady
            | ActionResult::NoWidth => 0,
        };
        *inputs += u64::from(matches!(action, Action::Input(_)));
        *events += out.events.len() as u64;
        *requests += u64::from(out.request.is_some());
        *bytes += compared;
        self.state = out.state;
    }

    /// The size of the run.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The digest of the last state.
    pub fn state_digest(&self) -> [u8; 32] {
        *blake3::hash(&self.state).as_bytes()
    }

    /// The case.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// Runs the case on the model, and compares every byte of the outputs.
    ///
    /// # Errors
    /// When the model cannot be run. A divergence is a result, not an error.
    pub fn compare(&self, oracle: &Oracle) -> Result<Option<DivergenceKind>, OracleError> {
        let done = oracle.compare(std::slice::from_ref(&self.case), |_, _| {})?;
        Ok(done
            .divergences
            .into_iter()
            .next()
            .map(|divergence| divergence.kind))
    }

    /// A Lean file with a theorem that the case is a run of the model with this log and this last
    /// state. `about` becomes a comment at its start.
    ///
    /// # Errors
    /// When the run is too large for Lean's kernel.
    pub fn theorem(&self, about: &str) -> Result<String, TooLarge> {
        let case = self.case.to_bytes();
        let len = case.len() + self.log.len() + self.state.len();
        let count = self.case.actions.len();
        if count > THEOREM_ACTIONS_MAX {
            let max = THEOREM_ACTIONS_MAX;
            return Err(TooLarge::TheoremActions { count, max });
        }
        if len > THEOREM_LEN_MAX {
            let max = THEOREM_LEN_MAX;
            return Err(TooLarge::Theorem { len, max });
        }
        Ok(lean(about, &case, &self.log, &self.state))
    }
}

/// Length in bytes of the longest text or byte string in an encoded case.
fn longest(case: &[u8]) -> usize {
    let mut longest = 0;
    let mut left = vec![decode_strict(case, &CASE_LIMITS).ok()];
    while let Some(item) = left.pop() {
        match item {
            Some(Item::Bytes(bytes)) => longest = longest.max(bytes.len()),
            Some(Item::Text(text)) => longest = longest.max(text.len()),
            Some(Item::Array(items)) => left.extend(items.into_iter().map(Some)),
            // Numbers, booleans and null have no length, and a case has no maps.
            Some(_) | None => {}
        }
    }
    longest
}

/// Lean's judgement of a theorem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Lean's kernel has checked the proof.
    Checked,
    /// Lean's kernel cannot evaluate the claim to true: it is false, or evaluation gets stuck.
    NotProved,
}

/// Why Lean gives no judgement of a theorem.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The process cannot be started, or its output cannot be read.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// Lean fails for another reason.
    #[error("Lean does not check the theorem ({status}): {output}")]
    Failed {
        /// The exit status.
        status: std::process::ExitStatus,
        /// The last lines of its output.
        output: String,
    },
}

/// The message that the theorem makes Lean print when its kernel cannot evaluate the claim to true.
/// Lean's own message needs an evaluation outside the kernel, which takes all memory.
const NOT_PROVED: &str = "Lean's kernel does not find the recording to be a run of the model";

/// The most lines of Lean's output that a message shows.
const LINES_MAX: usize = 12;

/// The most bytes of a line that a message shows. When the packaged Lean crashes, it prints its
/// whole program in one line.
const LINE_LEN_MAX: usize = 300;

/// The last lines of a process's output, without empty lines and lines that are too long to read.
pub fn brief(output: &str) -> String {
    let is_read = |line: &&str| line.len() <= LINE_LEN_MAX && !line.trim().is_empty();
    let lines: Vec<&str> = output.lines().filter(is_read).collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

/// Checks a Lean file with this program: `PROGRAM --check FILE`.
///
/// # Errors
/// When Lean cannot be started, or ends without a judgement.
pub fn judge(program: &Path, file: &Path) -> Result<Judgement, JudgeError> {
    let mut command = Command::new(program);
    let file = std::path::absolute(file).map_err(OracleError::Io)?;
    command.arg("--check").arg(file).stdin(Stdio::null());
    let done = command.output().map_err(|error| OracleError::Start {
        program: program.to_owned(),
        error,
    })?;
    if done.status.success() {
        return Ok(Judgement::Checked);
    }
    let output = [done.stdout, done.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    if output.contains(NOT_PROVED) {
        return Ok(Judgement::NotProved);
    }
    Err(JudgeError::Failed {
        status: done.status,
        output: brief(&output),
    })
}

/// The Lean file of a theorem. Its text depends on the arguments alone.
fn lean(about: &str, case: &[u8], log: &[u8], state: &[u8]) -> String {
    let mut text = String::from(
        "module\n\npublic import Runtime.Recording\n\n@[expose] public section\n\n/-!\n",
    );
    for line in about.lines() {
        // `about` must not end the comment.
        let line = line.replace("-/", "- /").replace("/-", "/ -");
        let _ = writeln!(text, "{line}");
    }
    text.push_str("-/\n\nnamespace Antiphon\n\n");
    // Theorems are checked one by one: in parallel they are far slower in the packaged Lean.
    text.push_str("set_option Elab.async false\nset_option maxRecDepth 100000\n");
    for (name, what, bytes) in [
        ("recordedCase", "Images, configuration and inputs.", case),
        ("recordedLog", "What every action showed.", log),
        ("recordedState", "The machine at the end.", state),
    ] {
        let _ = write!(
            text,
            "\n/-- {what} -/\ndef {name} : Bytes := {}\n",
            literal(bytes)
        );
    }
    let _ = writeln!(
        text,
        "\n/-- The recording is a run of the model. -/\n\
         theorem recorded : IsRun recordedCase recordedLog recordedState :=\n  \
         isRun_sound _ _ _ (by first | decide +kernel | fail \"{NOT_PROVED}\")\n\nend Antiphon",
    );
    text
}

/// The bytes as one number, most significant byte first. Lean reads a number at once; a list of
/// bytes would take minutes.
fn literal(bytes: &[u8]) -> String {
    let depth = bytes.len().max(1).next_power_of_two().ilog2();
    let mut text = format!("bytesOf {} {depth} 0x", bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.is_empty() {
        text.push('0');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand;

    #[test]
    fn the_figures_count_steps_inputs_events_and_bytes() {
        let case = hand::cases().swap_remove(0);
        let run = Run::of(case.clone()).expect("the run is small");
        let outs = crate::run::run(&case);
        let events: usize = outs.iter().map(|out| out.events.len()).sum();
        let bytes: usize = crate::run::encode(&outs).len();
        let figures = run.figures();
        assert_eq!(figures.events, events as u64);
        assert!(figures.steps > 0 && figures.inputs > 0, "{figures:?}");
        // The whole output also has the head of an array.
        assert!(bytes as u64 - figures.bytes <= 3, "{bytes}, {figures:?}");
        assert_eq!(run.state, outs.last().expect("the case has actions").state);
    }

    #[test]
    fn long_and_empty_lines_are_left_out() {
        let output = format!("{}\n\nout of memory\n", "x".repeat(LINE_LEN_MAX + 1));
        assert_eq!(brief(&output), "out of memory");
        assert_eq!(brief(&"a\n".repeat(100)).lines().count(), LINES_MAX);
    }

    #[test]
    fn a_theorem_contains_its_bytes() {
        assert_eq!(literal(&[]), "bytesOf 0 0 0x0");
        assert_eq!(literal(&[7]), "bytesOf 1 0 0x07");
        assert_eq!(literal(&[1, 2, 0xff]), "bytesOf 3 2 0x0102ff");
        let text = lean("of `x`\nit ends -/ here", &[1], &[2], &[3]);
        assert!(text.contains("of `x`\nit ends - / here\n-/\n"), "{text}");
    }

    #[test]
    fn a_run_that_is_too_large_is_refused() {
        let mut case = hand::cases().swap_remove(0);
        case.actions.resize(THEOREM_ACTIONS_MAX + 1, Action::Turn);
        let run = Run::of(case.clone()).expect("turns without sessions are small");
        let error = run
            .theorem("")
            .expect_err("the run is too large")
            .to_string();
        let expected = "it has 701 steps and inputs; Lean's kernel is given at most 700";
        assert_eq!(error, expected);
        case.actions.resize(ACTIONS_MAX + 1, Action::Turn);
        let error = Run::of(case.clone())
            .expect_err("the run is too large")
            .to_string();
        assert!(error.ends_with("at most 100000 are compared"), "{error}");
        case.actions.truncate(3);
        case.name = "n".repeat(STRING_LEN_MAX + 1);
        let error = Run::of(case.clone())
            .expect_err("the run is too large")
            .to_string();
        assert!(
            error.starts_with("a payload in it has 65537 bytes; "),
            "{error}"
        );
        case.name.clear();
        let input = antiphon_machine::Ingress::Open {
            image: [0; 32],
            owner: "o".repeat(STRING_LEN_MAX).into(),
        };
        case.actions = vec![Action::Input(input); 5];
        let run = Run::of(case.clone()).expect("the run is small enough to compare");
        let error = run
            .theorem("")
            .expect_err("the run is too large")
            .to_string();
        assert!(error.ends_with("is given at most 24576"), "{error}");
        case.name = "n".repeat(CASE_LEN_MAX);
        let error = Run::of(case).expect_err("the run is too large").to_string();
        assert!(
            error.ends_with("bytes; at most 4194304 are compared"),
            "{error}"
        );
    }
}
