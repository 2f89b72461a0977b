//! A protocol file, checked and compiled.

use std::path::Path;
use std::sync::Arc;

use antiphon_language::compile::{Compiled, compile};
use antiphon_language::diagnostic::{Diagnostic, Style, render_all};
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::Limits;
use antiphon_language::source::{FileId, SOURCE_LEN_MAX, Source, Sources};
use antiphon_language::{Checked, Loader, Modules, check, decode};
use antiphon_machine::VerifiedImage;
use antiphon_machine::safety::Coverage;

use crate::args::RecordArgs;
use crate::problem::{InputError, Problem, UsageError};
use crate::recording::Recording;
use crate::text::{self, SiblingLoader};

/// A file with its protocols and diagnostics.
#[derive(Debug)]
pub(crate) struct ProtocolFile {
    pub(crate) name: String,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The protocols that passed every check.
    pub(crate) protocols: Vec<Protocol>,
}

/// A protocol that passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) checked: CheckedProtocol,
    pub(crate) compiled: Compiled,
    /// The source text of its file.
    pub(crate) text: Arc<str>,
}

impl ProtocolFile {
    /// Reads a file and checks everything in it.
    pub(crate) fn read(path: &Path) -> Result<ProtocolFile, Problem> {
        Ok(ProtocolFile::from_source(path, text::source(path)?))
    }

    /// Checks everything in a file with these bytes.
    pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> ProtocolFile {
        // As when the file is read: one byte beyond the limit is enough to refuse it.
        let bytes = bytes.get(..=SOURCE_LEN_MAX).unwrap_or(bytes);
        ProtocolFile::from_source(path, decode(&text::name(path), bytes))
    }

    fn from_source(path: &Path, source: Result<Source, (Diagnostic, Source)>) -> ProtocolFile {
        match source {
            Ok(source) => ProtocolFile::of(source, &SiblingLoader::of(path)),
            Err((found, source)) => {
                let name = source.name.to_string();
                let mut sources = Sources::default();
                // The first file of an empty set always has room.
                let _ = sources.add(source);
                ProtocolFile {
                    name,
                    sources,
                    diagnostics: vec![found],
                    protocols: Vec::new(),
                }
            }
        }
    }

    /// Returns the file unless the recording would overwrite it or a file that it imports.
    pub(crate) fn check_recording(self, recording: &RecordArgs) -> Result<ProtocolFile, Problem> {
        let sources = (0..=u16::MAX).map_while(|n| self.sources.source(FileId(n)));
        let files = sources.map(|source| Path::new(&*source.name));
        Recording::check_target(recording, files)?;
        Ok(self)
    }

    /// Checks a source and compiles its protocols.
    pub(crate) fn of(source: Source, loader: &dyn Loader) -> ProtocolFile {
        let (name, text) = (source.name.to_string(), Arc::clone(&source.text));
        let modules = Modules::load(source, loader);
        let Checked {
            protocols,
            mut diagnostics,
        } = check(&modules);
        let mut whole = Vec::new();
        for checked in protocols {
            match compile(&checked, &Limits::default()) {
                Ok(compiled) => {
                    diagnostics.extend(compiled.warnings.iter().cloned());
                    whole.push(Protocol {
                        checked,
                        compiled,
                        text: Arc::clone(&text),
                    });
                }
                Err(found) => diagnostics.extend(found),
            }
        }
        diagnostics.sort_by_key(|found| (found.span, found.code));
        let sources = modules.sources().clone();
        ProtocolFile {
            name,
            sources,
            diagnostics,
            protocols: whole,
        }
    }

    /// Whether there is no error.
    pub(crate) fn is_sound(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Returns the protocol of that name, or the only one.
    pub(crate) fn protocol(mut self, wanted: Option<&str>) -> Result<Protocol, Problem> {
        if !self.is_sound() {
            let report = render_all(&self.diagnostics, &self.sources, Style::Plain);
            let file = self.name;
            return Err(InputError::Unsound { file, report }.into());
        }
        let row = match wanted {
            Some(wanted) => self
                .protocols
                .iter()
                .position(|p| p.checked.name() == wanted),
            None => (self.protocols.len() == 1).then_some(0),
        };
        match row {
            Some(row) => Ok(self.protocols.swap_remove(row)),
            None if self.protocols.is_empty() => {
                Err(InputError::NoProtocol { file: self.name }.into())
            }
            None => {
                let known = self
                    .protocols
                    .iter()
                    .map(|p| format!("`{}`", p.checked.name()));
                let known: Vec<String> = known.collect();
                let (file, known) = (self.name, known.join(", "));
                Err(UsageError::WhichProtocol { file, known }.into())
            }
        }
    }
}

impl Protocol {
    /// Returns the verified image.
    pub(crate) fn image(&self) -> Result<Arc<VerifiedImage>, Problem> {
        let image = self.compiled.image.clone();
        Ok(Arc::new(image.verify()?))
    }

    /// The buffers that the protocol's certificate covers, or `None` if it has no certificate. The
    /// certificate is checked, so this does not rely on the exploration.
    pub(crate) fn coverage(&self, image: &VerifiedImage) -> Result<Option<Coverage>, Problem> {
        let Some(certificate) = &self.compiled.certificate else {
            return Ok(None);
        };
        let checked = certificate.check(image).map_err(|error| {
            let protocol = self.checked.name().to_owned();
            InputError::OwnCertificate { protocol, error }
        })?;
        Ok(Some(checked))
    }

    /// The number of global configurations that the safety check visited, or `None` if it exceeded
    /// its budget.
    pub(crate) fn configurations(&self) -> Option<usize> {
        self.compiled
            .certificate
            .as_ref()
            .map(|certificate| certificate.configurations())
    }
}
