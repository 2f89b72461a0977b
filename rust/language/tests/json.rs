//! The JSON form of a finding: what tools read, so its names and numbers do not change unnoticed.

use antiphon_language::diagnostic::{Code, Diagnostic, Json};
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};

#[test]
fn a_finding_says_where_in_bytes_and_in_lines() {
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
    let json = serde_json::to_value(Json::new(&finding, modules.sources())).expect("it is JSON");
    let end = text.find("\n}").expect("there is an end");
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
            "label": "a `;` belongs here",
            "related": [{ "place": place, "label": "there" }],
            "notes": ["a fact"],
            "helps": ["a way"],
            "mending": "write what the message says is expected",
        })
    );
}

#[test]
fn a_place_outside_of_every_text_is_still_a_place() {
    let finding = Diagnostic::new(Code::UnknownRole, Default::default(), "no text");
    let sources = Default::default();
    let json = serde_json::to_value(Json::new(&finding, &sources)).expect("it is JSON");
    assert_eq!(json["place"]["line"], 1);
    assert_eq!(json["place"]["file"], "");
}
