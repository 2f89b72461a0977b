//! A recording held against the model: its run is done by both sides and compared, and it becomes a theorem.
//!
//! The comparison trusts what runs the model: Lean's interpreter. The theorem does not: Lean's kernel evaluates the model
//! on the recording's case, and accepts the theorem only when the run has the log and the state that the theorem names.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use antiphon_codec::{Encoder, Item, decode_strict};

use crate::case::{Action, CASE_LIMITS, Case};
use crate::compare::DivergenceKind;
use crate::oracle::{Oracle, OracleError};
use crate::run::{ActionOut, ActionResult, Runner};

/// Actions of a case that is compared. The model reads them by a recursion as deep, and the packaged Lean's stack holds some
/// 400,000 calls.
pub const ACTIONS_MAX: usize = 100_000;

/// Bytes of a text or a byte string in a case that is compared, for the same reason: the model counts the bytes of a payload by
/// a recursion as deep. A payload has at most as many unless the machine is told otherwise.
pub const STRING_LEN_MAX: usize = 64 << 10;

/// Bytes of a case that is compared. The model keeps them as a list of bytes, some 50 bytes of memory for each.
pub const CASE_LEN_MAX: usize = 4 << 20;

/// Bytes that both sides may come to: after every action the whole state. The model has them in memory at once.
pub const OUTPUT_LEN_MAX: u64 = 128 << 20;

/// Actions of a recording that becomes a theorem. Lean's kernel keeps what it has evaluated: with both bounds it takes some two
/// minutes and 3 GB, where the packaged Lean has 4.
pub const THEOREM_ACTIONS_MAX: usize = 700;

/// Bytes of the case, the log and the last state of a recording that becomes a theorem: each is evaluated one by one.
pub const THEOREM_LEN_MAX: usize = 24 << 10;

/// How much a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps taken.
    pub steps: u64,
    /// Inputs taken or refused.
    pub inputs: u64,
    /// Events seen.
    pub events: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes of everything that is compared.
    pub bytes: u64,
}

/// A run that is too large for what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Its case has too many bytes.
    #[error("its images and inputs have {len} bytes; at most {max} are compared")]
    Case {
        /// How many it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// A text or a byte string in it is too long.
    #[error("a payload in it has {len} bytes; at most {max} are compared")]
    String {
        /// How many it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// Its states have too many bytes.
    #[error("its states have more than {max} bytes, a state for every step; no more are compared")]
    Output {
        /// How many they may have.
        max: u64,
    },
    /// It has too many actions.
    #[error("it has {count} steps and inputs; at most {max} are compared")]
    Actions {
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// It has too many actions for Lean's kernel.
    #[error("it has {count} steps and inputs; Lean's kernel is given at most {max}")]
    TheoremActions {
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// It has too many bytes for Lean's kernel.
    #[error("what it takes and shows has {len} bytes; Lean's kernel is given at most {max}")]
    Theorem {
        /// How many it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
}

/// A recording's case, with what its run on the kernel shows.
#[derive(Clone, Debug)]
pub struct Run {
    case: Case,
    figures: Figures,
    log: Vec<u8>,
    state: Vec<u8>,
}

impl Run {
    /// Runs a case.
    ///
    /// # Errors
    /// When it is too large to be compared.
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
        // The head of an array of four in front, the state behind.
        let shown = &bytes[1..bytes.len() - out.state.len()];
        self.log.extend_from_slice(shown);
        let compared = bytes.len() as u64;
        let Figures {
            steps,
            inputs,
            events,
            requests,
            bytes,
        } = &mut self.figures;
        *steps += u64::from(matches!(out.result, ActionResult::Stepped(..)));
        *inputs += u64::from(matches!(action, Action::Input(_)));
        *events += out.events.len() as u64;
        *requests += u64::from(out.request.is_some());
        *bytes += compared;
        self.state = out.state;
    }

    /// How much it is.
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

    /// Has the model run the case, and compares every byte that either side shows.
    ///
    /// # Errors
    /// When the model cannot be asked. That it does something else is a result.
    pub fn compare(&self, oracle: &Oracle) -> Result<Option<DivergenceKind>, OracleError> {
        let done = oracle.compare(std::slice::from_ref(&self.case), |_, _| {})?;
        Ok(done.divergences.into_iter().next().map(|found| found.kind))
    }

    /// A Lean file with a theorem which says that the case is a run of the model, with this log and this last state.
    /// `about` is for whoever reads it.
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

/// Bytes of the longest text or byte string in a case's bytes.
fn longest(case: &[u8]) -> usize {
    let mut longest = 0;
    let mut left = vec![decode_strict(case, &CASE_LIMITS).ok()];
    while let Some(item) = left.pop() {
        match item {
            Some(Item::Bytes(bytes)) => longest = longest.max(bytes.len()),
            Some(Item::Text(text)) => longest = longest.max(text.len()),
            Some(Item::Array(items)) => left.extend(items.into_iter().map(Some)),
            // Numbers and names; a case has no maps.
            Some(_) | None => {}
        }
    }
    longest
}

/// What Lean says of a theorem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Its kernel has checked the proof.
    Checked,
    /// Its kernel does not come to the claim: it is false, or evaluation gets stuck.
    NotProved,
}

/// Why Lean says nothing of a theorem.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The process cannot be started, or it cannot be read.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// Lean says something else.
    #[error("Lean does not check the theorem ({status}): {said}")]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        said: String,
    },
}

/// What the theorem has Lean say when its kernel does not come to the claim. Left to itself, Lean would begin to explain, by
/// an evaluation that is not the kernel's and takes all memory.
const NOT_PROVED: &str = "Lean's kernel does not find the recording to be a run of the model";

/// Lines of what Lean said that are told.
const LINES_MAX: usize = 12;

/// Bytes of a line that somebody may have meant to be read: the packaged Lean, when it falls over, shows all of its program.
const LINE_LEN_MAX: usize = 300;

/// What a process said, without the lines that are not for people, and its last lines only.
pub fn brief(said: &str) -> String {
    let is_read = |line: &&str| line.len() <= LINE_LEN_MAX && !line.trim().is_empty();
    let lines: Vec<&str> = said.lines().filter(is_read).collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

/// Has Lean check a file by this program: `PROGRAM --check FILE`.
///
/// # Errors
/// When Lean cannot be started, or ends before it has come to a conclusion.
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
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains(NOT_PROVED) {
        return Ok(Judgement::NotProved);
    }
    Err(JudgeError::Failed {
        status: done.status,
        said: brief(&said),
    })
}

/// The file of a theorem. Its text depends on nothing else.
fn lean(about: &str, case: &[u8], log: &[u8], state: &[u8]) -> String {
    let mut text = String::from(
        "module\n\npublic import Runtime.Recording\n\n@[expose] public section\n\n/-!\n",
    );
    for line in about.lines() {
        // Nothing in it may end the comment.
        let line = line.replace("-/", "- /").replace("/-", "/ -");
        let _ = writeln!(text, "{line}");
    }
    text.push_str("-/\n\nnamespace Antiphon\n\n");
    // Each theorem is checked before the next: side by side they are far slower in the packaged Lean.
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

/// Bytes as one number, the first byte the highest: Lean reads it at once, where a list would take it minutes.
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
    fn a_run_has_its_figures() {
        let case = hand::cases().swap_remove(0);
        let run = Run::of(case.clone()).expect("it is small");
        let outs = crate::run::run(&case);
        let events: usize = outs.iter().map(|out| out.events.len()).sum();
        let bytes: usize = crate::run::encode(&outs).len();
        let figures = run.figures();
        assert_eq!(figures.events, events as u64);
        assert!(figures.steps > 0 && figures.inputs > 0, "{figures:?}");
        // The output has the head of an array besides.
        assert!(bytes as u64 - figures.bytes <= 3, "{bytes}, {figures:?}");
        assert_eq!(run.state, outs.last().expect("there are some").state);
    }

    #[test]
    fn what_is_said_is_brief() {
        let said = format!("{}\n\nout of memory\n", "x".repeat(LINE_LEN_MAX + 1));
        assert_eq!(brief(&said), "out of memory");
        assert_eq!(brief(&"a\n".repeat(100)).lines().count(), LINES_MAX);
    }

    #[test]
    fn a_theorem_names_its_bytes() {
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
        let run = Run::of(case.clone()).expect("turns of nobody are small");
        let told = run.theorem("").expect_err("it is too long").to_string();
        let expected = "it has 701 steps and inputs; Lean's kernel is given at most 700";
        assert_eq!(told, expected);
        case.actions.resize(ACTIONS_MAX + 1, Action::Turn);
        let told = Run::of(case.clone())
            .expect_err("it is too long")
            .to_string();
        assert!(told.ends_with("at most 100000 are compared"), "{told}");
        case.actions.truncate(3);
        case.name = "n".repeat(STRING_LEN_MAX + 1);
        let told = Run::of(case.clone())
            .expect_err("it is too long")
            .to_string();
        assert!(
            told.starts_with("a payload in it has 65537 bytes; "),
            "{told}"
        );
        case.name.clear();
        let input = antiphon_machine::Ingress::Open {
            image: [0; 32],
            owner: "o".repeat(STRING_LEN_MAX).into(),
        };
        case.actions = vec![Action::Input(input); 5];
        let run = Run::of(case.clone()).expect("it can be compared");
        let told = run.theorem("").expect_err("it is too long").to_string();
        assert!(told.ends_with("is given at most 24576"), "{told}");
        case.name = "n".repeat(CASE_LEN_MAX);
        let told = Run::of(case).expect_err("it is too long").to_string();
        assert!(
            told.ends_with("bytes; at most 4194304 are compared"),
            "{told}"
        );
    }
}
