//! The whole way in one call, and what it has to say as one error.

use crate::compile::{Compiled, compile_all};
use crate::diagnostic::{Diagnostic, Style, render_all};
use crate::global::CheckedProtocol;
use crate::module::{Loader, Modules};
use crate::safety::Limits;
use crate::source::{Source, Sources};

/// What is made of a text in which nothing is wrong.
#[derive(Clone, Debug)]
pub struct Built {
    /// The protocols of the text, `aux` ones left out, in its order, each with its automata and its
    /// image.
    pub protocols: Vec<(CheckedProtocol, Compiled)>,
    /// What is worth saying all the same.
    pub warnings: Report,
}

/// Findings together with the texts they are about. Displays as people read it, without colours.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings in the order of the texts.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts.
    pub sources: Sources,
}

impl Report {
    /// The report for people.
    pub fn render(&self, style: Style) -> String {
        render_all(&self.diagnostics, &self.sources, style)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for Report {}

/// Reads a text and all that it imports, checks it, and compiles every protocol of it.
///
/// # Errors
/// Every finding of every check, when one of them is an error.
pub fn compile_source(
    source: Source,
    loader: &dyn Loader,
    limits: &Limits,
) -> Result<Built, Report> {
    let modules = Modules::load(source, loader);
    let whole = compile_all(&modules, limits);
    let failed = whole.diagnostics.iter().any(Diagnostic::is_error);
    let report = Report {
        diagnostics: whole.diagnostics,
        sources: modules.sources().clone(),
    };
    match failed {
        true => Err(report),
        false => Ok(Built {
            protocols: whole.protocols,
            warnings: report,
        }),
    }
}
