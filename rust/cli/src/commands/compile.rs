//! `antiphon compile`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use antiphon_codec::Limits;
use antiphon_language::export::disassemble;
use antiphon_machine::bounds::IMAGE_LEN_MAX;
use antiphon_machine::{Canonical, CodeImage, VerifiedImage};
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Voice;
use crate::problem::Problem;
use crate::protocol::ProtocolFile;
use crate::replace;
use crate::text;

/// Compile a protocol to an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon compile two_buyer.scr --disassemble
  antiphon compile two_buyer.scr --output two_buyer.image")]
pub(crate) struct Compile {
    /// The protocol file, `-` for standard input, or an image
    file: PathBuf,
    /// The protocol of the file, when it has several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Print the programs as text
    #[arg(long)]
    disassemble: bool,
    /// Write the image, as deterministic CBOR, to this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the safety certificate to this file; `check` holds the image against it
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// What an image begins with: the head of a CBOR array. No UTF-8 text begins with one of these bytes.
const ARRAY: std::ops::RangeInclusive<u8> = 0x80..=0x9f;

pub(crate) fn run(args: &Compile, voice: &Voice) -> Result<Exit, Problem> {
    for path in args.output.iter().chain(&args.certificate) {
        if text::is_same_file(&args.file, path) {
            return Err(Problem::OverInput { path: path.clone() });
        }
    }
    let (image, certificate) = match read_image(&args.file)? {
        Some(image) => (image, None),
        None => {
            let file = ProtocolFile::read(&args.file)?;
            let compiled = file.protocol(args.protocol.as_deref())?.compiled;
            (compiled.image, compiled.certificate)
        }
    };
    let image = image.verify().map_err(|error| Problem::Image { error })?;
    if let Some(path) = &args.certificate {
        let protocol = image.image().name.clone();
        let certificate = certificate.ok_or(Problem::Uncertified { protocol })?;
        replace::write(path, &certificate.encode()).map_err(Problem::file("write", path))?;
    }
    let bytes = image.image().to_bytes();
    if let Some(path) = &args.output {
        replace::write(path, &bytes).map_err(Problem::file("write", path))?;
    }
    let text = args.disassemble.then(|| disassemble(image.image()));
    if voice.json {
        voice.document(&document(&image, bytes.len(), text.as_deref()))?;
        return Ok(Exit::Done);
    }
    match text {
        Some(text) => voice.print(&text)?,
        None => voice.print(&summary(&image, bytes.len()))?,
    }
    Ok(Exit::Done)
}

/// The image that a file holds, or nothing when it is a text.
pub(crate) fn read_image(path: &Path) -> Result<Option<CodeImage>, Problem> {
    if text::is_stdin(path) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let limit = IMAGE_LEN_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(Problem::file("read", path))?;
    if !bytes.first().is_some_and(|byte| ARRAY.contains(byte)) {
        return Ok(None);
    }
    let limits = Limits {
        bytes_len: IMAGE_LEN_MAX,
        items: IMAGE_LEN_MAX,
        ..Limits::default()
    };
    let image = CodeImage::from_bytes(&bytes, limits);
    let not_an_image = |error| Problem::NotAnImage {
        path: path.to_owned(),
        error,
    };
    image.map(Some).map_err(not_an_image)
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

/// A digest as people write it.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    use std::fmt::Write;
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
