//! `antiphon check`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use antiphon_language::diagnostic::{Json, render_all};
use antiphon_language::safety::{CERTIFICATE_LEN_MAX, SafetyCertificate};
use serde_json::{Value, json};

use crate::args::Check;
use crate::commands::compile::read_image;
use crate::exit::Exit;
use crate::output::{GOOD, Voice};
use crate::problem::Problem;
use crate::protocol::{Protocol, ProtocolFile};

pub(crate) fn run(args: &Check, voice: &Voice) -> Result<Exit, Problem> {
    if let Some(certificate) = &args.certificate {
        return check_image(&args.files, certificate, voice);
    }
    let mut exit = Exit::Done;
    for path in &args.files {
        let file = ProtocolFile::read(path)?;
        if !file.is_sound() {
            exit = Exit::No;
        }
        if voice.json {
            voice.document(&document(&file))?;
            continue;
        }
        let mut text = render_all(&file.diagnostics, &file.sources, voice.diagnostics());
        for protocol in file.protocols.iter().filter(|_| file.is_sound()) {
            text.push_str(&verdict(&file.name, protocol, voice));
        }
        voice.print(&text)?;
    }
    Ok(exit)
}

/// Holds one image against its certificate.
fn check_image(files: &[PathBuf], path: &Path, voice: &Voice) -> Result<Exit, Problem> {
    let [file] = files else {
        return Err(Problem::OneImage { got: files.len() });
    };
    let image = read_image(file)?.ok_or_else(|| Problem::NoImage { path: file.clone() })?;
    let image = image.verify().map_err(|error| Problem::Image { error })?;
    let mut bytes = Vec::new();
    // One byte over the bound is enough to have it refused.
    File::open(path)
        .and_then(|file| {
            file.take(CERTIFICATE_LEN_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(Problem::file("read", path))?;
    let refused = |error| Problem::Certificate {
        path: path.to_owned(),
        error,
    };
    let certificate = SafetyCertificate::decode(&bytes).map_err(refused)?;
    certificate.check_image(&image).map_err(refused)?;
    let (name, count) = (&image.image().name, certificate.configurations());
    let (file, bound) = (file.display(), certificate.buffer_bound());
    if voice.json {
        let found = json!({ "name": name, "configurations": count, "buffer_bound": bound });
        voice.document(&found)?;
        return Ok(Exit::Done);
    }
    let good = voice.paint(GOOD, "ok");
    voice.print(&format!(
        "{good} {file}: {name}, safe in all {count} configurations of its certificate\n"
    ))?;
    Ok(Exit::Done)
}

fn verdict(file: &str, protocol: &Protocol, voice: &Voice) -> String {
    let (name, roles) = (protocol.checked.name(), protocol.checked.roles().len());
    let safety = match protocol.configurations() {
        Some(1) => "safe in its one configuration".to_owned(),
        Some(count) => format!("safe in all {count} configurations"),
        None => "not certified".to_owned(),
    };
    format!(
        "{} {file}: {name}, {roles} roles, {safety}\n",
        voice.paint(GOOD, "ok")
    )
}

fn document(file: &ProtocolFile) -> Value {
    let diagnostics = file.diagnostics.iter();
    let diagnostics: Vec<Json<'_>> = diagnostics
        .map(|found| Json::new(found, &file.sources))
        .collect();
    let protocols = file.protocols.iter().map(|protocol| {
        json!({
            "name": protocol.checked.name(),
            "roles": protocol.checked.roles(),
            "configurations": protocol.configurations(),
        })
    });
    json!({
        "file": file.name,
        "ok": file.is_sound(),
        "protocols": protocols.collect::<Vec<_>>(),
        "diagnostics": diagnostics,
    })
}
