//! What a person at a terminal gets. `script` gives the program one.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use common::{Place, end};

/// What a hostile guest writes: colours, a title, a cleared screen, an answer-back, text that runs the other way.
const HOSTILE: &str = r"printf 'a\033[31mb\033]0;title\007c\033[2Jd\033[6n\342\200\256e\n'";

/// Starts the command line on a terminal of its own; its input is typed there, its output read here.
fn on_terminal(place: &Place, line: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_antiphon");
    let line = line.replace("antiphon", &format!("'{program}'"));
    let mut command = place.command(&[]);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    script.current_dir(command.get_current_dir().expect("it was set"));
    script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command = script;
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    command.spawn().expect("`script` is there")
}

fn hostile(place: &Place) {
    place.write("hostile.sh", format!("{HOSTILE}\n"));
}

#[test]
fn a_person_sees_text_and_the_terminal_obeys_nobody() {
    let place = Place::new();
    hostile(&place);
    let told = end(on_terminal(&place, "antiphon exec -- sh hostile.sh"));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.stdout.trim_end(), "abcd\u{fffd}e");

    let told = end(on_terminal(&place, "antiphon exec --raw -- sh hostile.sh"));
    assert!(told.stdout.contains("a\u{1b}[31mb"), "{told:?}");
}

#[test]
fn a_pipe_and_a_recording_get_every_byte() {
    let place = Place::new();
    hostile(&place);
    let told = place.run(&["exec", "--record", "h.rec", "--", "sh", "hostile.sh"]);
    assert_eq!(
        told.stdout,
        "a\u{1b}[31mb\u{1b}]0;title\u{7}c\u{1b}[2Jd\u{1b}[6n\u{202e}e\n"
    );
    let bytes = place.read("h.rec");
    assert!(
        bytes.windows(6).any(|w| w == b"\x1b[31mb"),
        "data is never filtered"
    );
    // Shown to anybody, it is written out.
    for form in [
        &["show", "h.rec"][..],
        &["show", "h.rec", "--all"],
        &["show", "h.rec", "--mermaid"],
    ] {
        let shown = place.good(form);
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{form:?}: {shown}"
        );
    }
}

/// The terminal sends the signal to everybody in the foreground. Only the host may take it, or the session would be
/// lost with its agent.
#[test]
fn control_c_ends_the_session_in_good_order() {
    let place = Place::new();
    let line = "antiphon exec --record c.rec -- sh -c 'echo started; exec sleep 979'";
    let mut child = on_terminal(&place, line);
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
    let told = end(child);
    assert_eq!(told.code, Some(130), "{told:?}");
    drop(typed);
    let shown = place.good(&["show", "c.rec"]);
    assert!(
        shown.contains("Feeder → Sink       signal {signo: 2}"),
        "{shown}"
    );
    assert!(shown.contains("ended: closed"), "{shown}");
}

#[test]
fn colours_are_for_terminals() {
    let place = Place::new();
    let told = end(on_terminal(&place, "antiphon check two_buyer.anti"));
    assert!(told.stdout.contains("\u{1b}[32mok"), "{told:?}");
    let told = end(on_terminal(
        &place,
        "NO_COLOR=1 antiphon check two_buyer.anti",
    ));
    assert!(!told.stdout.contains('\u{1b}'), "{told:?}");
    let told = end(on_terminal(&place, "antiphon check two_buyer.anti | cat"));
    assert!(!told.stdout.contains('\u{1b}'), "{told:?}");
}

#[test]
fn a_copy_shows_how_far_it_is() {
    let place = Place::new();
    place.write("sent", vec![7; 20 << 20]);
    let there = place.path("there");
    let line = format!("antiphon cp sent 'guest:{}'", there.display());
    let told = end(on_terminal(&place, &line));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("of 20.00 MiB"), "{told:?}");
    assert_eq!(fs::metadata(there).expect("it was copied").len(), 20 << 20);
    let told = place.run(&[
        "cp",
        "sent",
        &format!("guest:{}", place.path("again").display()),
    ]);
    assert_eq!(
        (told.code, told.stderr.as_str()),
        (Some(0), ""),
        "a pipe gets no bar: {told:?}"
    );
}
