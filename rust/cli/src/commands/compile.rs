//! `antiphon compile`: compiles a protocol to an image.

use std::path::PathBuf;

use antiphon_language::export::disassemble;
use antiphon_machine::{Canonical, VerifiedImage};
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::hex::hex;
use crate::image::{self, Content};
use crate::output::Output;
use crate::problem::{InputError, Problem, UsageError};
use crate::protocol::ProtocolFile;
use crate::replace;
use crate::same_file::is_same_file;

/// Compile a protocol to an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon compile two_buyer.anti --disassemble
  antiphon compile two_buyer.anti --output two_buyer.image")]
pub(crate) struct Compile {
    /// The protocol file, `-` for standard input, or an image
    file: PathBuf,
    /// The protocol, if the file has several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Print the compiled programs as text
    #[arg(long)]
    disassemble: bool,
    /// Write the image to this file, as deterministic CBOR
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the safety certificate to this file; `check` verifies the image with it
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

pub(crate) fn run(args: &Compile, output: &Output) -> Result<Exit, Problem> {
    for path in args.output.iter().chain(&args.certificate) {
        if is_same_file(&args.file, path) {
            let path = path.clone();
            return Err(UsageError::OverInput { path }.into());
        }
    }
    let (image, certificate) = match image::read(&args.file)? {
        Content::Image(image) => {
            check_image_options(args)?;
            (image, None)
        }
        Content::Source(bytes) => {
            let file = ProtocolFile::from_bytes(&args.file, &bytes);
            let compiled = file.protocol(args.protocol.as_deref())?.compiled;
            (compiled.image, compiled.certificate)
        }
    };
    let image = image.verify()?;
    if let Some(path) = &args.certificate {
        let protocol = image.image().name.clone();
        let certificate = certificate.ok_or(InputError::Uncertified { protocol })?;
        replace::write(path, &certificate.encode()).map_err(Problem::file("write", path))?;
    }
    let bytes = image.image().to_bytes();
    if let Some(path) = &args.output {
        replace::write(path, &bytes).map_err(Problem::file("write", path))?;
    }
    let text = args.disassemble.then(|| disassemble(image.image()));
    if output.json {
        output.document(&document(&image, bytes.len(), text.as_deref()))?;
        return Ok(Exit::Done);
    }
    match text {
        Some(text) => output.print(&text)?,
        None => output.print(&summary(&image, bytes.len()))?,
    }
    Ok(Exit::Done)
}

/// Refuses the options that need a protocol file.
fn check_image_options(args: &Compile) -> Result<(), UsageError> {
    let path = || args.file.clone();
    if args.protocol.is_some() {
        return Err(UsageError::ProtocolOfImage { path: path() });
    }
    if args.certificate.is_some() {
        return Err(UsageError::CertificateOfImage { path: path() });
    }
    Ok(())
}

fn summary(image: &VerifiedImage, len: usize) -> String {
    let code = image.image();
    let instructions: usize = code.programs.iter().map(|program| program.code.len()).sum();
    let roles: Vec<&str> = code.roles.iter().map(|role| role.name.as_str()).collect();
    format!(
        "{} version {}\nroles    {}\nlabels   {}\ncode     {instructions} instructions\n\
         image    {len} bytes\ndigest   {}\n",
        code.name,
        code.version,
        roles.join(", "),
        code.labels.len(),
        hex(image.digest()),
    )
}

fn document(image: &VerifiedImage, len: usize, text: Option<&str>) -> serde_json::Value {
    let code = image.image();
    json!({
        "name": code.name,
        "version": code.version,
        "roles": code.roles.iter().map(|role| &role.name).collect::<Vec<_>>(),
        "instructions": code.programs.iter().map(|program| program.code.len()).sum::<usize>(),
        "bytes": len,
        "digest": hex(image.digest()),
        "text": text,
    })
}
