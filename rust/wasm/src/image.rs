//! Compiles texts to images.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_language::diagnostic::Json;
use antiphon_language::safety::Limits;
use antiphon_language::source::{FileId, Source};
use antiphon_language::{LoadError, Loader, Report, compile_source, format, parse};
use antiphon_machine::text::Printer;
use antiphon_machine::{Canonical, Class, CodeImage, State, VerifiedImage};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::problem::{self, Problem, hex};

/// The name that diagnostics use for a text without a name.
const NAME: &str = "protocol.anti";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    name: Option<String>,
    protocol: Option<String>,
    modules: BTreeMap<String, String>,
}

/// A compiled and verified protocol, ready to be loaded by a machine.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Image {
    pub(crate) image: Arc<VerifiedImage>,
    source: Option<String>,
}

/// A loader for the modules passed with the text.
struct GivenModules(BTreeMap<String, String>);

impl Loader for GivenModules {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        match self.0.get(module) {
            Some(text) => Ok(Source::new(module, text)),
            None => Err(LoadError::NotFound { looked: Vec::new() }),
        }
    }
}

/// Compiles a protocol. When the text has several, `protocol` selects one. Errors in the text are
/// thrown as an `AntiphonError` with the code `diagnostics`, which has all findings as data and
/// their rendered text as its message.
#[wasm_bindgen]
pub fn compile(
    #[wasm_bindgen(unchecked_param_type = "string")] source: &JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "CompileOptions")] options: &JsValue,
) -> Result<Image, JsValue> {
    Ok(compiled(source, options)?)
}

fn compiled(source: &JsValue, options: &JsValue) -> Result<Image, Problem> {
    let text = problem::text(source, "source")?;
    let options: Options = problem::data(options, "options")?.unwrap_or_default();
    let name = options.name.as_deref().unwrap_or(NAME);
    let modules = GivenModules(options.modules);
    let built = compile_source(Source::new(name, &text), &modules, &Limits::default());
    let mut protocols = built.map_err(|report| refused(&report))?.protocols;
    let names: Vec<String> = protocols.iter().map(|(p, _)| p.name().to_owned()).collect();
    let at = match (&options.protocol, names.len()) {
        (None, 1) => Some(0),
        (None, _) => None,
        (Some(name), _) => names.iter().position(|other| other == name),
    };
    let Some(at) = at else {
        let message = match &options.protocol {
            Some(name) => format!("unknown protocol `{name}`"),
            None => format!("the text has {} protocols; name one of them", names.len()),
        };
        let problem = Problem::new("no_such_protocol", message).at("options.protocol");
        return Err(problem.fact("protocols", json!(names)));
    };
    Ok(Image {
        image: verified(protocols.swap_remove(at).1.image)?,
        source: Some(text),
    })
}

/// Returns all findings about a text, warnings included, and the names of its protocols. Errors in
/// the text are returned, not thrown.
#[wasm_bindgen(unchecked_return_type = "Checked")]
pub fn check(
    #[wasm_bindgen(unchecked_param_type = "string")] source: &JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "CompileOptions")] options: &JsValue,
) -> Result<JsValue, JsValue> {
    let text = problem::text(source, "source")?;
    let options: Options = problem::data(options, "options")?.unwrap_or_default();
    let name = options.name.as_deref().unwrap_or(NAME);
    let built = compile_source(
        Source::new(name, &text),
        &GivenModules(options.modules),
        &Limits::default(),
    );
    let (protocols, report) = match built {
        Ok(built) => (built.protocols, built.warnings),
        Err(report) => (Vec::new(), report),
    };
    let names: Vec<&str> = protocols.iter().map(|(p, _)| p.name()).collect();
    Ok(problem::plain(&json!({
        "protocols": names,
        "diagnostics": diagnostics(&report),
        "text": report.to_string(),
    })))
}

/// The text in the canonical format.
pub(crate) fn formatted(source: &JsValue) -> Result<String, Problem> {
    let text = problem::text(source, "source")?;
    let parsed = parse(FileId(0), &text);
    if let Some(printed) = format(&parsed.ast) {
        return Ok(printed);
    }
    let mut report = Report {
        diagnostics: parsed.diagnostics,
        ..Report::default()
    };
    report.sources.add(Source::new(NAME, &text));
    Err(refused(&report))
}

fn diagnostics(report: &Report) -> serde_json::Value {
    let all = report.diagnostics.iter();
    all.map(|one| json!(Json::new(one, &report.sources)))
        .collect()
}

fn refused(report: &Report) -> Problem {
    let findings = diagnostics(report);
    let place = &findings[0]["place"];
    let place = format!(
        "{}:{}:{}",
        place["file"].as_str().unwrap_or(NAME),
        place["line"],
        place["column"]
    );
    Problem::new("diagnostics", report.to_string())
        .at(place)
        .fact("diagnostics", findings)
}

fn verified(image: CodeImage) -> Result<Arc<VerifiedImage>, Problem> {
    let verified = image.verify().map_err(|error| {
        Problem::new("bad_image", error.to_string()).at(error.place.to_string())
    })?;
    Ok(Arc::new(verified))
}

#[wasm_bindgen]
impl Image {
    /// Reads an image from its canonical bytes and verifies it.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] bytes: &JsValue,
    ) -> Result<Image, JsValue> {
        let bytes = problem::bytes(bytes, "bytes")?;
        let image = CodeImage::from_bytes(&bytes, CodeImage::LIMITS).map_err(|error| {
            let place = format!("byte {}", error.offset);
            Problem::new("bad_image", error.to_string()).at(place)
        })?;
        Ok(Image {
            image: verified(image)?,
            source: None,
        })
    }

    /// The image's canonical bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.image.image().to_bytes()
    }

    /// The image's digest, which identifies it, in hexadecimal digits.
    #[wasm_bindgen(getter)]
    pub fn digest(&self) -> String {
        hex(self.image.digest())
    }

    /// The protocol's name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.image.image().name.clone()
    }

    /// The roles' names, in order.
    #[wasm_bindgen(getter)]
    pub fn roles(&self) -> Vec<String> {
        let roles = self.image.image().roles.iter();
        roles.map(|role| role.name.clone()).collect()
    }

    /// The text that the image was compiled from; `undefined` if it was read from bytes.
    #[wasm_bindgen(getter)]
    pub fn source(&self) -> Option<String> {
        self.source.clone()
    }

    /// The image as data: every role's automaton, the labels and the operations.
    #[wasm_bindgen(unchecked_return_type = "ImageDescription")]
    pub fn describe(&self) -> JsValue {
        problem::plain(&describe(&self.image))
    }
}

pub(crate) fn describe(verified: &VerifiedImage) -> serde_json::Value {
    let image = verified.image();
    let printer = Printer::new(image);
    let roles = image.roles.iter().map(|role| {
        let states = role.automaton.states.iter().map(|state| {
            let (action, peer, branches) = match state {
                State::End => ("end", None, &[][..]),
                State::Send { to, branches } => ("send", Some(*to), &branches[..]),
                State::Recv { from, branches } => ("receive", Some(*from), &branches[..]),
            };
            let branches = branches.iter().map(|branch| {
                json!({
                    "label": verified.label_name(branch.label),
                    "sort": printer.sort(branch.sort),
                    "next": branch.next.0,
                })
            });
            json!({
                "action": action,
                "peer": peer.map(|peer| verified.role_name(peer)),
                "branches": branches.collect::<Vec<_>>(),
            })
        });
        json!({ "name": role.name, "states": states.collect::<Vec<_>>() })
    });
    let operations = image.operations.iter().map(|operation| {
        let interface = image.interfaces.get(usize::from(operation.interface));
        let args = operation.args.iter().map(|sort| printer.sort(*sort));
        json!({
            "interface": interface.map_or("", |interface| &interface.name),
            "name": operation.name,
            "class": class_name(&operation.class),
            "args": args.collect::<Vec<_>>(),
            "result": printer.sort(operation.result),
            "budget": operation.budget,
            "retries": operation.retries,
        })
    });
    json!({
        "name": image.name,
        "version": image.version,
        "digest": hex(verified.digest()),
        "roles": roles.collect::<Vec<_>>(),
        "labels": image.labels,
        "operations": operations.collect::<Vec<_>>(),
    })
}

/// The name of an operation's class.
pub(crate) fn class_name(class: &Class) -> &'static str {
    match class {
        Class::Produce { .. } => "produce",
        Class::Decide { .. } => "decide",
        Class::Deliver { .. } => "deliver",
        Class::Command => "command",
        Class::Observe => "observe",
        Class::Check => "check",
    }
}
