//! Tests the output on a terminal, which `script` provides.

use std::fs;
use std::io::{Read, Write};

use crate::common::{TestDir, end, on_terminal};

/// Output of a hostile guest: colours, a title, a cleared screen, a device query, text in reverse
/// direction.
const HOSTILE: &str = r"printf 'a\033[31mb\033]0;title\007c\033[2Jd\033[6n\342\200\256e\n'";

fn hostile(dir: &TestDir) {
    dir.write("hostile.sh", format!("{HOSTILE}\n"));
}

#[test]
fn a_terminal_gets_text_without_control_sequences() {
    let dir = TestDir::new();
    hostile(&dir);
    let output = end(on_terminal(&dir, "antiphon exec -- sh hostile.sh"));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout.trim_end(), "abcd\u{fffd}e");

    let output = end(on_terminal(&dir, "antiphon exec --raw -- sh hostile.sh"));
    assert!(output.stdout.contains("a\u{1b}[31mb"), "{output:?}");
}

#[test]
fn pipes_and_recordings_get_every_byte() {
    let dir = TestDir::new();
    hostile(&dir);
    let output = dir.run(&["exec", "--record", "h.rec", "--", "sh", "hostile.sh"]);
    assert_eq!(
        output.stdout,
        "a\u{1b}[31mb\u{1b}]0;title\u{7}c\u{1b}[2Jd\u{1b}[6n\u{202e}e\n"
    );
    let bytes = dir.read("h.rec");
    assert!(
        bytes.windows(6).any(|w| w == b"\x1b[31mb"),
        "data is never filtered"
    );
    // Shown as text, control characters are escaped.
    for form in [
        &["show", "h.rec"][..],
        &["show", "h.rec", "--all"],
        &["show", "h.rec", "--mermaid"],
    ] {
        let shown = dir.run_ok(form);
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{form:?}: {shown}"
        );
    }
}

/// The terminal sends the signal to all processes in the foreground. Only the host may react, or
/// the session would be lost with its agent.
#[test]
fn control_c_ends_the_session_cleanly() {
    let dir = TestDir::new();
    let line = "antiphon exec --record c.rec -- sh -c 'echo started; exec sleep 979'";
    let mut child = on_terminal(&dir, line);
    let stdout = child.stdout.as_mut().expect("it is piped");
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"started") {
        assert_eq!(
            stdout.read(&mut byte).expect("it can be read"),
            1,
            "{line:?}"
        );
        line.push(byte[0]);
    }
    let mut typed = child.stdin.take().expect("it is piped");
    typed.write_all(b"\x03").expect("the terminal takes it");
    let output = end(child);
    assert_eq!(output.code, Some(130), "{output:?}");
    drop(typed);
    let shown = dir.run_ok(&["show", "c.rec"]);
    assert!(
        shown.contains("Feeder → Sink       signal {signo: 2}"),
        "{shown}"
    );
    assert!(shown.contains("ended: closed"), "{shown}");
}

#[test]
fn only_terminals_get_colours() {
    let dir = TestDir::new();
    let output = end(on_terminal(&dir, "antiphon check two_buyer.anti"));
    assert!(output.stdout.contains("\u{1b}[32mok"), "{output:?}");
    let output = end(on_terminal(
        &dir,
        "NO_COLOR=1 antiphon check two_buyer.anti",
    ));
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
    let output = end(on_terminal(&dir, "antiphon check two_buyer.anti | cat"));
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
}

#[test]
fn a_copy_shows_its_progress() {
    let dir = TestDir::new();
    dir.write("sent", vec![7; 20 << 20]);
    let there = dir.path("there");
    let line = format!("antiphon cp sent 'guest:{}'", there.display());
    let output = end(on_terminal(&dir, &line));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("of 20.00 MiB"), "{output:?}");
    assert_eq!(fs::metadata(there).expect("it was copied").len(), 20 << 20);
    let output = dir.run(&[
        "cp",
        "sent",
        &format!("guest:{}", dir.path("again").display()),
    ]);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "a pipe gets no bar: {output:?}"
    );
}
