//! Tests what `exec` attributes to the guest, and what it refuses to attribute to it.

use crate::common::{ProgramOutput, TestDir};

const SORTS: &str = "
record Spec { cmd: Text, argv: [Text] }
enum Stream { stdout, stderr }
record Chunk { stream: Stream, data: Bytes }
record Status { exit_code: Int }
record Empty {}
";

/// Runs a command under a protocol. The command would create a file.
fn run_under(dir: &TestDir, body: &str) -> ProgramOutput {
    let text = format!("{SORTS}global protocol P(role Host, role Agent) {{ {body} }}");
    dir.write("own.anti", text);
    let args = [
        "exec",
        "--protocol",
        "own.anti",
        "--record",
        "own.rec",
        "--",
    ];
    dir.run(&[&args[..], &["touch", "ran"]].concat())
}

fn is_refused(body: &str, message: &str) {
    let dir = TestDir::new();
    let output = run_under(&dir, body);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert_eq!(output.stderr, format!("antiphon: {message}\n"));
    assert!(!dir.path("ran").exists(), "nothing is run");
    assert!(!dir.path("own.rec").exists(), "nothing is recorded");
}

#[test]
fn a_guest_message_without_a_request_is_refused() {
    is_refused(
        "exec_request(Spec) from Host to Agent; exec_output() from Agent to Host;
         exec_response(Status) from Agent to Host;",
        "`exec_output` from `Agent` to `Host` would be attributed to the guest without a frame of \
         its own: it has no payload, so the guest is not asked for it; give it a payload, if only \
         an empty record: `record Empty {}` and `exec_output(Empty)`",
    );
}

#[test]
fn a_guest_message_with_a_reused_payload_is_refused() {
    is_refused(
        "exec_request(Spec) from Host to Agent; exec_response(end: Status) from Agent to Host;
         exec_response(end) from Agent to Host;",
        "`exec_response` from `Agent` to `Host` would be attributed to the guest without a frame \
         of its own: its payload was sent before, and one frame is one message; write \
         `exec_response` with a payload of its own, under a name that is not bound yet or without \
         a name",
    );
}

#[test]
fn an_empty_record_is_requested_from_the_guest() {
    let dir = TestDir::new();
    // `touch` writes nothing, so the expected output never arrives.
    let body = "exec_request(Spec) from Host to Agent; exec_output(Empty) from Agent to Host;
        exec_response(Status) from Agent to Host;";
    let output = run_under(&dir, body);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains("contract_violation"), "{output:?}");
    let shown = dir.run_ok(&["show", "own.rec"]);
    assert!(!shown.contains("Agent → Host"), "{shown}");
}

#[test]
fn messages_inside_the_guest_are_marked() {
    let dir = TestDir::new();
    dir.run_ok(&["exec", "--record", "e.rec", "--", "echo", "said"]);
    let shown = dir.run_ok(&["show", "--all", "e.rec"]);
    assert!(shown.contains("  guest roles: Agent, Sink\n"), "{shown}");
    let marked = |mark: &str| -> Vec<&str> {
        let lines = shown.lines().filter(|line| line.contains(mark));
        lines.collect()
    };
    let inside = marked("(inside the guest)");
    assert_eq!(inside.len(), 2, "{shown}");
    assert!(
        inside[0].contains("Agent → Sink") && inside[0].contains("attach"),
        "{shown}"
    );
    assert!(
        inside[1].contains("Agent ⇢ Sink") && inside[1].contains("attach is taken"),
        "{shown}"
    );

    let documents = dir.run_ok(&["--json", "show", "e.rec"]);
    let documents: Vec<serde_json::Value> = documents
        .lines()
        .map(|line| serde_json::from_str(line).expect("a document"))
        .collect();
    let inside: Vec<_> = documents
        .iter()
        .filter(|document| document["inside_guest"] == true)
        .map(|document| (&document["event"], &document["role"], &document["peer"]))
        .collect();
    assert_eq!(
        inside,
        [
            (&"sent".into(), &"Agent".into(), &"Sink".into()),
            (&"received".into(), &"Sink".into(), &"Agent".into())
        ]
    );
    let diagram = dir.run_ok(&["show", "--mermaid", "e.rec"]);
    assert!(diagram.contains("P2-->>P3: attach"), "{diagram}");
    assert!(diagram.contains("->>P0: exec_output"), "{diagram}");
}
