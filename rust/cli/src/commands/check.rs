//! `antiphon check`.

use antiphon_language::diagnostic::{Json, render_all};
use serde_json::{Value, json};

use crate::args::Check;
use crate::exit::Exit;
use crate::output::{GOOD, Voice};
use crate::problem::Problem;
use crate::protocol::{Protocol, ProtocolFile};

pub(crate) fn run(args: &Check, voice: &Voice) -> Result<Exit, Problem> {
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
