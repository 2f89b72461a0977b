//! Writing a recording beside a run.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use antiphon_machine::{ProtocolMachineConfig, ProtocolMachineKernel};
use antiphon_record::{Flush, Header, Recorder};

use crate::problem::Problem;

/// The name that recordings give to who wrote them.
pub(crate) const TOOL: &str = concat!("antiphon ", env!("CARGO_PKG_VERSION"));

/// A recording under way: a sink for the machine, and what is needed to end it.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    recorder: Recorder<File>,
}

/// Ends a recording whose sink a machine had.
#[derive(Debug)]
pub(crate) struct Keep {
    path: PathBuf,
}

impl Recording {
    /// Begins a new file. One that is there is left alone, unless the user said otherwise.
    pub(crate) fn create(
        path: &Path,
        overwrite: bool,
        header: &Header,
    ) -> Result<Recording, Problem> {
        let mut options = OpenOptions::new();
        options.write(true);
        if overwrite {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Problem::RecordingExists {
                path: path.to_owned(),
            },
            _ => Problem::file("create", path)(error),
        })?;
        let recorder =
            Recorder::create(file, header, Flush::default()).map_err(|error| Problem::Record {
                path: path.to_owned(),
                error,
            })?;
        Ok(Recording {
            path: path.to_owned(),
            recorder,
        })
    }

    /// The sink for the machine, and what ends it afterwards.
    pub(crate) fn into_parts(self) -> (Keep, Recorder<File>) {
        (Keep { path: self.path }, self.recorder)
    }
}

impl Keep {
    /// Ends the recording with what the machine has come to.
    pub(crate) fn finish(
        self,
        recorder: Recorder<File>,
        kernel: &ProtocolMachineKernel,
    ) -> Result<(), Problem> {
        let path = self.path;
        match recorder.finish(kernel) {
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::Record { path, error }),
        }
    }
}

/// What a recording begins with.
pub(crate) fn header(
    config: &ProtocolMachineConfig,
    source: &str,
    notes: Vec<(String, String)>,
) -> Header {
    Header {
        tool: TOOL.to_owned(),
        config: config.clone(),
        source: Some(source.to_owned()),
        notes,
    }
}
