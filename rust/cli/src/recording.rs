//! Recording of a command: a sink that reports at once if the recording fails.

mod file;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_machine::{Interest, Observation, ProtocolMachineConfig, ProtocolMachineKernel, Sink};
use antiphon_record::{Header, Recorder};
use serde_json::json;

use crate::args::RecordArgs;
use crate::filter;
use crate::output::{Output, with_timeout};
use crate::problem::{Problem, UsageError};
use crate::recorded::Recorded;
use crate::same_file;

/// The name of this program in a recording's header.
pub(crate) const TOOL: &str = concat!("antiphon ", env!("CARGO_PKG_VERSION"));

/// How long the report of a failed recording may take at the end of a command.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// A recording that is being written. It is a sink of the machine.
pub(crate) struct Recording {
    path: PathBuf,
    recorder: Recorder<File>,
    output: Output,
    /// Whether the command must stop if the recording fails.
    is_required: bool,
    /// Stops the command then, for a caller that does not poll [`must_stop`](Self::must_stop).
    stop: Option<Box<dyn FnOnce() + Send>>,
    has_failed: bool,
    /// The thread that reports the failure.
    reporter: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("path", &self.path)
            .field("has_failed", &self.has_failed)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Refuses to record in one of these files, which the command itself reads or writes.
    pub(crate) fn check_target<'p>(
        args: &RecordArgs,
        files: impl IntoIterator<Item = &'p Path>,
    ) -> Result<(), Problem> {
        let Some(path) = &args.record else {
            return Ok(());
        };
        let mut files = files.into_iter();
        if files.any(|file| same_file::is_same_place(path, file)) {
            Err(recording_over(path))
        } else {
            Ok(())
        }
    }

    /// Begins the recording that the command line asks for, if any.
    pub(crate) fn begin(
        args: &RecordArgs,
        header: impl FnOnce() -> Header,
        output: &Output,
    ) -> Result<Option<Recording>, Problem> {
        let Some(path) = &args.record else {
            return Ok(None);
        };
        if same_file::is_standard_output(path) {
            return Err(recording_over(path));
        }
        Ok(Some(Recording {
            recorder: file::create(path, args.overwrite, &header())?,
            path: path.to_owned(),
            output: *output,
            is_required: args.record_required,
            stop: None,
            has_failed: false,
            reporter: None,
        }))
    }

    /// Sets what is called when a required recording fails. `stop` is called inside the machine by
    /// the thread that runs it, so it must not block.
    pub(crate) fn on_failure(&mut self, stop: impl FnOnce() + Send + 'static) {
        self.stop = Some(Box::new(stop));
    }

    /// Whether the recording is required and has failed, so that the command must stop.
    pub(crate) fn must_stop(&self) -> bool {
        self.has_failed && self.is_required
    }

    /// Ends a command's recording, if it has one, with the machine's final state. A command that
    /// has begun a recording ends it here on every path.
    pub(crate) fn end(recording: Option<Recording>, kernel: &ProtocolMachineKernel) -> Recorded {
        Recorded::new(recording.is_none_or(|recording| recording.finish(kernel)))
    }

    /// Ends the recording with the machine's final state. Returns whether the recording is whole;
    /// if not, that has been reported.
    fn finish(self, kernel: &ProtocolMachineKernel) -> bool {
        let ended = self.recorder.finish(kernel);
        let failure = match ended {
            Ok(file) => file::describe_loss(&file, &self.path),
            Err(error) => Some(failure_message(&self.path, error)),
        };
        let is_whole = !self.has_failed && failure.is_none();
        if let Some(failure) = failure.filter(|_| !self.has_failed) {
            let (output, path) = (self.output, self.path.clone());
            with_timeout(REPORT_TIMEOUT, move || report(&output, &path, &failure));
        }
        // The failure is printed before the caller's own report, unless the reader of standard
        // error has stopped reading.
        let until = Instant::now() + REPORT_TIMEOUT;
        while let Some(false) = self.reporter.as_ref().map(JoinHandle::is_finished)
            && Instant::now() < until
        {
            thread::sleep(Duration::from_millis(2));
        }
        is_whole
    }

    /// Handles a failure of the recorder's last write.
    #[inline]
    fn check_recorder(&mut self) {
        if !self.has_failed && self.recorder.error().is_some() {
            self.fail();
        }
    }

    #[cold]
    fn fail(&mut self) {
        self.has_failed = true;
        let (output, path) = (self.output, self.path.clone());
        let error = self.recorder.error().map(ToString::to_string);
        let message = format!(
            "{}; {}",
            failure_message(&path, error.unwrap_or_default()),
            if self.is_required {
                "the run is ended"
            } else {
                "the run goes on without it"
            }
        );
        // A separate thread reports the failure, so the machine's thread does not wait for readers
        // of the standard streams.
        let reported = message.clone();
        let reporter = thread::Builder::new().name("recording".to_owned());
        match reporter.spawn(move || report(&output, &path, &reported)) {
            Ok(reporter) => self.reporter = Some(reporter),
            Err(_) => report(&self.output, &self.path, &message),
        }
        if let Some(stop) = self.stop.take().filter(|_| self.is_required) {
            stop();
        }
    }
}

fn recording_over(path: &Path) -> Problem {
    let path = path.to_owned();
    UsageError::RecordingOver { path }.into()
}

fn failure_message(path: &Path, error: impl std::fmt::Display) -> String {
    format!("cannot record in `{}`: {error}", path.display())
}

/// Reports that the recording failed: on standard error, and with `--json` on standard output.
fn report(output: &Output, path: &Path, message: &str) {
    let message = filter::line(message);
    output.error(&message);
    if output.json {
        let path = filter::line(&path.display().to_string());
        // If this cannot be written either, only the exit code reports the failure.
        let _ = output.document(&json!({
            "event": "recording_failed", "path": path, "message": message,
        }));
    }
}

impl Sink for Recording {
    #[inline]
    fn interest(&self) -> Interest {
        self.recorder.interest()
    }

    #[inline]
    fn observe(&mut self, observation: Observation<'_>) {
        self.recorder.observe(observation);
        // The recorder only digests events, so no write can fail there.
        if !matches!(observation, Observation::Event { .. }) {
            self.check_recorder();
        }
    }
}

/// Makes the header of a recording. An image has no source.
pub(crate) fn header(
    config: &ProtocolMachineConfig,
    source: Option<&str>,
    notes: Vec<(String, String)>,
) -> Header {
    Header {
        tool: TOOL.to_owned(),
        config: config.clone(),
        source: source.map(str::to_owned),
        notes,
    }
}
