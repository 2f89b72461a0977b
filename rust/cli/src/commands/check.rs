//! `antiphon check`: checks protocols, and images with their certificates.

use std::path::{Path, PathBuf};

use antiphon_bridge::certificates::{Claim, Covered, Verdict};
use antiphon_language::diagnostic::{Json, render_all};
use antiphon_machine::Canonical;
use antiphon_machine::safety::Coverage;
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::filter;
use crate::image::{self, Content};
use crate::lean::{Lean, Spinner};
use crate::output::{ERROR, Output, SUCCESS};
use crate::problem::{InputError, Problem, UsageError};
use crate::protocol::{Protocol, ProtocolFile};
use crate::safety::{self, CertificateFile};
use crate::text;

/// Check protocols: names, shape, projection, safety, bounds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon check protocols/*.anti
  antiphon check two_buyer.anti --json
  antiphon compile two_buyer.anti -o two_buyer.img --certificate two_buyer.cert
  antiphon check two_buyer.img --certificate two_buyer.cert --lean")]
pub(crate) struct Check {
    /// Protocol files; `-` is standard input. With `--certificate`, one image
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Check that this is a safety certificate of the image, and for which buffers. Needs no source
    /// and explores nothing
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Also run the model's checker, which is proved sound. Needs Lean
    #[arg(long, requires = "certificate")]
    lean: bool,
}

pub(crate) fn run(args: &Check, output: &Output) -> Result<Exit, Problem> {
    if let Some(certificate) = &args.certificate {
        return check_image(args, certificate, output);
    }
    let mut exit = Exit::Done;
    for path in &args.files {
        let file = ProtocolFile::read(path)?;
        if !file.is_sound() {
            exit = Exit::No;
        }
        if output.json {
            output.document(&document(&file)?)?;
            continue;
        }
        let mut text = render_all(&file.diagnostics, &file.sources, output.diagnostics());
        for protocol in file.protocols.iter().filter(|_| file.is_sound()) {
            text.push_str(&verdict(&file.name, protocol, output)?);
        }
        output.print(&text)?;
    }
    Ok(exit)
}

/// Checks one image against its certificate.
fn check_image(args: &Check, path: &Path, output: &Output) -> Result<Exit, Problem> {
    let [file] = &args.files[..] else {
        let got = args.files.len();
        return Err(UsageError::OneImage { got }.into());
    };
    let not_an_image = || {
        let path = file.clone();
        Problem::from(InputError::SourceForImage { path })
    };
    if text::is_stdin(file) {
        return Err(not_an_image());
    }
    let Content::Image(image) = image::read(file)? else {
        return Err(not_an_image());
    };
    let image = image.verify()?;
    let CertificateFile { certificate, bytes } = CertificateFile::read(path)?;
    let coverage = certificate.check(&image);
    let coverage = coverage.map_err(|error| InputError::certificate(path, error))?;
    let (name, count) = (&image.image().name, certificate.configurations());
    let (file, bound) = (file.display(), certificate.buffer_bound());
    let model = if args.lean {
        let image = image.image().to_bytes();
        let certificate = bytes;
        Some(Model::ask(Claim { image, certificate }, coverage, output)?)
    } else {
        None
    };
    let exit = match &model {
        Some(model) if !model.agrees => Exit::No,
        _ => Exit::Done,
    };
    if output.json {
        let found = json!({
            "name": name, "configurations": count, "buffer_bound": bound,
            "buffers": safety::document(coverage, &image),
            "model": model.as_ref().map(Model::text),
            "lean": model.as_ref().map(|model| &model.lean),
        });
        output.document(&found)?;
        return Ok(exit);
    }
    let good = output.paint(SUCCESS, "ok");
    output.print(&format!(
        "{good} {file}: {name}, safe in all {count} configurations of its certificate\n   {}\n",
        safety::describe(coverage, &image)
    ))?;
    if let Some(model) = &model {
        let head = output.paint(if model.agrees { SUCCESS } else { ERROR }, "model");
        let lean = filter::line(&model.lean);
        output.print(&format!("{head}: {}, by Lean, {lean}\n", model.text()))?;
    }
    Ok(exit)
}

/// The verdict of the model's checker.
struct Model {
    verdict: Verdict,
    /// Whether it accepts the certificate for the same buffers.
    agrees: bool,
    lean: String,
}

impl Model {
    fn ask(claim: Claim, coverage: Coverage, output: &Output) -> Result<Model, Problem> {
        let lean = Lean::find()?;
        let spinner = Spinner::begin(
            output,
            "the model's checker reads the certificate".to_owned(),
        );
        let verdicts = lean.oracle.judge(&[claim]);
        drop(spinner);
        let verdict = verdicts?.swap_remove(0);
        Ok(Model {
            agrees: Covered::of(coverage).map(Verdict::Accepted) == Some(verdict),
            verdict,
            lean: lean.description,
        })
    }

    fn text(&self) -> String {
        if self.agrees {
            "accepted".to_owned()
        } else {
            self.verdict.to_string()
        }
    }
}

fn verdict(file: &str, protocol: &Protocol, output: &Output) -> Result<String, Problem> {
    let (name, roles) = (protocol.checked.name(), protocol.checked.roles().len());
    let image = protocol.image()?;
    let safety = match protocol.configurations() {
        Some(1) => "safe in its one configuration".to_owned(),
        Some(count) => format!("safe in all {count} configurations"),
        None => "not certified".to_owned(),
    };
    let good = output.paint(SUCCESS, "ok");
    let mut text = format!("{good} {file}: {name}, {roles} roles, {safety}\n");
    if let Some(coverage) = protocol.coverage(&image)? {
        text += &format!("   {}\n", safety::describe(coverage, &image));
    }
    Ok(text)
}

fn document(file: &ProtocolFile) -> Result<Value, Problem> {
    let diagnostics = file.diagnostics.iter();
    let diagnostics: Vec<Json<'_>> = diagnostics
        .map(|found| Json::new(found, &file.sources))
        .collect();
    let mut protocols = Vec::new();
    for protocol in &file.protocols {
        let image = protocol.image()?;
        let coverage = protocol.coverage(&image)?;
        protocols.push(json!({
            "name": protocol.checked.name(),
            "roles": protocol.checked.roles(),
            "configurations": protocol.configurations(),
            "buffers": coverage.map(|coverage| safety::document(coverage, &image)),
        }));
    }
    Ok(json!({
        "file": file.name,
        "ok": file.is_sound(),
        "protocols": protocols,
        "diagnostics": diagnostics,
    }))
}
