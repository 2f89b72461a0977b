//! Tests for which machines `check` reports a protocol as safe, and what `run --certificate` and
//! `exec --require-safe` refuse.

use antiphon_machine::build::*;
use antiphon_machine::safety::{SafetyCertificate, System};
use antiphon_machine::{Canonical, LabelId, Sort, SortId, Value, VerifiedImage};
use serde_json::Value as Json;

use crate::common::{ProgramOutput, TestDir};

/// The explored configurations of an image, as a certificate for these buffers. The compiler makes
/// none for the image below, in which a message is never received.
fn explored(image: &VerifiedImage, buffer: u8) -> SafetyCertificate {
    let system = System::of_image(image, buffer);
    let (mut rows, mut current) = (vec![system.start()], 0);
    while current < rows.len() {
        for (step, next) in system.steps(&rows[current]).expect("it is safe") {
            let row = system.successor(&rows[current], step, next);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        current += 1;
    }
    SafetyCertificate::of(&system, rows.iter().map(|row| &row[..]))
}

/// A directory with `ahead.image` and `ahead.safe`. A sends three x to B, which never receives, and
/// then expects x from C, which has sent y. With buffers of two messages, those of the certificate,
/// A waits for room before it comes to that.
fn with_ahead() -> TestDir {
    let (x, y, unit) = (LabelId(0), LabelId(1), SortId(0));
    let sends = |next| [go(x, unit, next)];
    let a = role(
        "A",
        2,
        [
            set(1, Value::Unit),
            send(x, 1),
            send(x, 1),
            send(x, 1),
            receive(x, 1),
            HALT,
        ],
        [
            to(B, sends(1)),
            to(B, sends(2)),
            to(B, sends(3)),
            from(C, sends(4)),
            END,
        ],
    );
    let b = role(
        "B",
        2,
        [set(1, Value::Unit), send(x, 1), jump(1)],
        [to(C, sends(0))],
    );
    let c = role(
        "C",
        2,
        [set(1, Value::Unit), send(y, 1), receive(x, 1), jump(2)],
        [to(A, [go(y, unit, 1)]), from(B, sends(1))],
    );
    let image = antiphon_machine::CodeImage {
        labels: names(["x", "y"]),
        sorts: vec![Sort::Unit],
        ..image("Ahead", [a, b, c])
    };
    let image = image.verify().expect("it verifies");
    let dir = TestDir::new();
    dir.write("ahead.image", image.image().to_bytes());
    dir.write("ahead.safe", explored(&image, 2).encode());
    dir.write("empty.script", "");
    dir
}

/// The text in lines of at most 80 characters.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        let is_full = width + word.len() > 80;
        wrapped += if is_full { "\n" } else { " " };
        wrapped += word;
        width = if is_full { 0 } else { width } + word.len() + 1;
    }
    wrapped.trim().to_owned()
}

/// The text with a line break before the reason.
fn split(text: &str) -> String {
    text.replace("covered: ", "covered:\n")
}

/// A JSON document in lines.
fn pretty(document: &str) -> String {
    let document: Json = serde_json::from_str(document).expect("one document");
    serde_json::to_string_pretty(&document).expect("it is JSON")
}

/// The facts of a refusal. Its document has the message and the exit code, too.
fn facts(output: &ProgramOutput) -> String {
    let document: Json = serde_json::from_str(&output.stdout).expect("one document");
    let error = document["error"].as_str().expect("it is text");
    assert_eq!(output.stderr, format!("antiphon: {error}\n"));
    assert_eq!(document["code"].as_i64(), output.code.map(i64::from));
    serde_json::to_string_pretty(&document["admission"]).expect("it is JSON")
}

#[test]
fn check_states_the_buffers_that_a_certificate_covers() {
    let dir = with_ahead();
    let check = ["check", "ahead.image", "--certificate", "ahead.safe"];
    insta::assert_snapshot!(split(&dir.run_ok(&check)), @"
    ok ahead.image: Ahead, safe in all 18 configurations of its certificate
       safe with buffers of 2 messages; the default of 64 is not covered:
    `B` can fill its buffer to `C`
    ");
    let json = dir.run_ok(&[&check[..], &["--json"]].concat());
    insta::assert_snapshot!(pretty(&json), @r#"
    {
      "buffer_bound": 2,
      "buffers": {
        "bound": 2,
        "default": 64,
        "full": {
          "configuration": 0,
          "peer": "C",
          "role": "B"
        },
        "includes_default": false,
        "larger": false
      },
      "configurations": 18,
      "lean": null,
      "model": null,
      "name": "Ahead"
    }
    "#);
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    dir.run_ok(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let check = [
        "check",
        "book.image",
        "--certificate",
        "book.safe",
        "--json",
    ];
    insta::assert_snapshot!(pretty(&dir.run_ok(&check)), @r#"
    {
      "buffer_bound": 2,
      "buffers": {
        "bound": 2,
        "default": 64,
        "full": null,
        "includes_default": true,
        "larger": true
      },
      "configurations": 18,
      "lean": null,
      "model": null,
      "name": "TwoBuyer"
    }
    "#);
}

#[test]
fn check_states_the_buffers_of_a_protocol() {
    let dir = TestDir::new();
    // A fills its buffer; with larger buffers there are further configurations.
    dir.write(
        "stream.anti",
        "global protocol Stream(role A, role B) { rec L { x() from A to B; continue L; } }",
    );
    insta::assert_snapshot!(split(&dir.run_ok(&["check", "stream.anti"])), @"
    ok stream.anti: Stream, 2 roles, safe in all 3 configurations
       safe with buffers of 2 messages; the default of 64 is not covered:
    `A` can fill its buffer to `B`
    ");
    let json = dir.run_ok(&["check", "stream.anti", "--json"]);
    insta::assert_snapshot!(pretty(&json), @r#"
    {
      "diagnostics": [],
      "file": "stream.anti",
      "ok": true,
      "protocols": [
        {
          "buffers": {
            "bound": 2,
            "default": 64,
            "full": {
              "configuration": 0,
              "peer": "B",
              "role": "A"
            },
            "includes_default": false,
            "larger": false
          },
          "configurations": 3,
          "name": "Stream",
          "roles": [
            "A",
            "B"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn an_image_runs_with_a_certificate_that_covers_the_machine() {
    let dir = TestDir::new();
    let image = ["--output", "book.image", "--certificate", "book.safe"];
    dir.run_ok(&[&["compile", "two_buyer.anti"], &image[..]].concat());
    let script = ["--script", "happy.script"];
    let of_source = dir.run_ok(&[&["run", "two_buyer.anti"], &script[..]].concat());
    let of_image = dir.run_ok(&[&["run", "book.image"], &script[..]].concat());
    assert_eq!(of_image, of_source);
    let more = ["--certificate", "book.safe", "--record", "book.rec"];
    let args = [&["run", "book.image"], &script[..], &more[..]].concat();
    assert_eq!(dir.run_ok(&args), of_source);
    let replayed = dir.run_ok(&["replay", "book.rec"]);
    assert!(replayed.starts_with("equal: 34 steps"), "{replayed}");
}

#[test]
fn an_image_that_its_certificate_does_not_cover_is_not_run() {
    let dir = with_ahead();
    let run = ["run", "ahead.image", "--script", "empty.script"];
    // Without its certificate it runs, into the message that A cannot take.
    let output = dir.run(&[&run[..], &["--policy", "round-robin"]].concat());
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stdout.contains("got `y`") || output.stdout.contains("y"),
        "{output:?}"
    );

    let with = [
        &run[..],
        &["--certificate", "ahead.safe", "--record", "ahead.rec"],
    ]
    .concat();
    let output = dir.run(&with);
    assert_eq!((output.code, &*output.stdout), (Some(1), ""), "{output:?}");
    insta::assert_snapshot!(wrapped(&output.stderr), @"
    antiphon: `Ahead` is not proved safe on this machine: its certificate is for
    buffers of 2 messages, and this machine's hold 64. In configuration 0 of the
    certificate, `B` waits for room in its buffer to `C`; with more room it could
    reach configurations that were not checked. Leave out `--certificate` to run it
    without this proof
    ");
    assert!(!dir.path("ahead.rec").exists());
    let output = dir.run(&[&with[..], &["--json"]].concat());
    insta::assert_snapshot!(facts(&output), @r#"
    {
      "certified": 2,
      "configured": 64,
      "full": {
        "configuration": 0,
        "peer": "C",
        "role": "B"
      },
      "refused": "no_room"
    }
    "#);
}

#[test]
fn run_refuses_certificates_that_do_not_belong_to_the_image() {
    let dir = with_ahead();
    let refused = |args: &[&str], code: i32, says: &str| {
        let output = dir.run(&[&["run", "--script", "empty.script"], args].concat());
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.stderr.contains(says), "{output:?}");
    };
    refused(
        &["two_buyer.anti", "--certificate", "ahead.safe"],
        1,
        "`two_buyer.anti` is not an image; only an image has a certificate",
    );
    dir.run_ok(&["compile", "two_buyer.anti", "--output", "book.image"]);
    refused(
        &["book.image", "--certificate", "ahead.safe"],
        1,
        "`ahead.safe` does not show that the image is safe: configuration 0 does not fit",
    );
    dir.write(
        "hostile.safe",
        [0x85, 1, 2, 0x1a, 255, 255, 255, 255, 0x18, 255, 0x41, 0],
    );
    refused(
        &["ahead.image", "--certificate", "hostile.safe"],
        1,
        "the certificate is too large: 255 configurations of 4294967295 numbers",
    );
    refused(
        &["ahead.image", "--certificate", "nowhere.safe"],
        125,
        "cannot read `nowhere.safe`",
    );
    refused(
        &["ahead.image", "--protocol", "Ahead"],
        2,
        "`ahead.image` is an image and has one protocol",
    );
    refused(
        &[
            "ahead.image",
            "--certificate",
            "ahead.safe",
            "--record",
            "ahead.safe",
        ],
        2,
        "`ahead.safe` is a file that the command itself reads or writes",
    );
    refused(
        &["ahead.image", "--record", "ahead.image"],
        2,
        "`ahead.image` is a file that the command itself reads or writes",
    );
    refused(
        &["ahead.image", "--policy", "priority", "--priority", "D=1"],
        2,
        "`Ahead` has no role `D`; it has `A`, `B`, `C`",
    );
}

/// The shipped protocol streams the command's output, which fills any buffer.
#[test]
fn exec_refuses_the_shipped_protocol_if_safety_is_required() {
    let dir = TestDir::new();
    let exec = ["exec", "--require-safe", "--record", "exec.rec"];
    let command = ["--", "touch", "ran"];
    let output = dir.run(&[&exec[..], &command].concat());
    assert_eq!(
        (output.code, &*output.stdout),
        (Some(125), ""),
        "{output:?}"
    );
    insta::assert_snapshot!(wrapped(&output.stderr), @"
    antiphon: `Exec` is not proved safe on this machine: its certificate is for
    buffers of 2 messages, and this machine's hold 64. In configuration 0 of the
    certificate, `Feeder` waits for room in its buffer to `Sink`; with more room it
    could reach configurations that were not checked. Leave out `--require-safe` to
    run it without this proof
    ");
    let output = dir.run(&[&exec[..], &["--json"], &command].concat());
    assert_eq!(output.code, Some(125), "{output:?}");
    insta::assert_snapshot!(facts(&output), @r#"
    {
      "certified": 2,
      "configured": 64,
      "full": {
        "configuration": 0,
        "peer": "Sink",
        "role": "Feeder"
      },
      "refused": "no_room"
    }
    "#);
    assert!(!dir.path("ran").exists());
    assert!(!dir.path("exec.rec").exists());
}

#[test]
fn exec_runs_a_protocol_that_is_proved_safe() {
    let dir = TestDir::new();
    let exec = ["exec", "--require-safe", "-n", "--protocol", "once.anti"];
    let output = dir.run(&[&exec[..], &["--", "echo", "hello"]].concat());
    assert_eq!(
        (output.code, &*output.stdout),
        (Some(0), "hello\n"),
        "{output:?}"
    );
    assert_eq!(output.stderr, "");
}

#[test]
fn exec_refuses_a_protocol_without_a_certificate_if_safety_is_required() {
    let dir = TestDir::new();
    // Each pair of roles is in one of three configurations, whatever the others do.
    let pairs = 0..12;
    let roles: Vec<_> = pairs
        .clone()
        .map(|n| format!("role A{n}, role B{n}"))
        .collect();
    let body: String = pairs.map(|n| format!("x() from A{n} to B{n}; ")).collect();
    let roles = roles.join(", ");
    dir.write(
        "wide.anti",
        format!("global protocol Wide({roles}) {{ rec L {{ {body} continue L; }} }}"),
    );
    let exec = [
        "exec",
        "--require-safe",
        "--protocol",
        "wide.anti",
        "--json",
    ];
    let output = dir.run(&[&exec[..], &["--", "touch", "ran"]].concat());
    assert_eq!(output.code, Some(125), "{output:?}");
    let document: Json = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(document["admission"]["refused"], "uncertified");
    assert!(
        output
            .stderr
            .contains("`Wide` is not proved safe on this machine: it is too large to explore"),
        "{output:?}"
    );
}
