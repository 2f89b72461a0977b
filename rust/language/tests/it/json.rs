//! The JSON form of findings. Tools read it, so a change of its fields must be deliberate.

use antiphon_language::diagnostic::{Code, Diagnostic, Json};
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};

#[test]
fn findings_have_byte_offsets_lines_and_columns() {
    let text = "global protocol P(role A, role B) {\n  // é\n  /* é */ ping() from A to B\n}\n";
    let modules = Modules::load(Source::new("p.anti", text), &NoModules);
    let [finding] = modules.diagnostics() else {
        panic!("{:?}", modules.diagnostics())
    };
    let span = finding.span;
    let finding = finding
        .clone()
        .related(span, "there")
        .note("a fact")
        .help("a way");
    let json = serde_json::to_value(Json::new(&finding, modules.sources()))
        .expect("the finding serialises");
    let end = text.find("\n}").expect("the text has a closing brace");
    let place = serde_json::json!({
        "file": "p.anti", "start": end, "end": end, "line": 3, "column": 29,
    });
    assert_eq!(
        json,
        serde_json::json!({
            "code": "AP0006",
            "severity": "error",
            "message": "expected `;`, found `}`",
            "place": place,
            "label": "missing `;`",
            "related": [{ "place": place, "label": "there" }],
            "notes": ["a fact"],
            "helps": ["a way"],
            "mending": "write what the message expects",
        })
    );
}

#[test]
fn a_span_outside_every_text_has_a_default_place() {
    let finding = Diagnostic::new(Code::UnknownRole, Default::default(), "no text");
    let sources = Default::default();
    let json = serde_json::to_value(Json::new(&finding, &sources)).expect("the finding serialises");
    assert_eq!(json["place"]["line"], 1);
    assert_eq!(json["place"]["file"], "");
}
