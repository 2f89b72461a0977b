//! Runs the whole pipeline in one call, and reports all findings as one error.

use crate::compile::{Compiled, compile_all};
use crate::diagnostic::{Diagnostic, Style, render_all};
use crate::global::CheckedProtocol;
use crate::module::{Loader, Modules};
use crate::safety::Limits;
use crate::source::{Source, Sources};

/// The result of compiling a text without errors.
#[derive(Clone, Debug)]
pub struct Built {
    /// The protocols of the text without the `aux` ones, in source order, each with its automata
    /// and its image.
    pub protocols: Vec<(CheckedProtocol, Compiled)>,
    /// The warnings.
    pub warnings: Report,
}

/// Findings together with the texts they refer to. [`Display`](std::fmt::Display) renders them
/// without colours.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts.
    pub sources: Sources,
}

impl Report {
    /// Renders the report for people.
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

/// Loads a text and everything it imports, checks it, and compiles each of its protocols.
///
/// # Errors
/// The findings of every check, warnings included, when one of them is an error.
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
