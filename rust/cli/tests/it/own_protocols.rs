//! Tests `exec` with a user's own protocols: an option that a protocol cannot carry is refused
//! before anything is run.

use crate::common::{self, TestDir};

const RECORDS: &str = "\
record Spec { cmd: Text, argv: [Text] }
record Full { cmd: Text, argv: [Text], env: [Text], cwd: Text?, stdin: Bool, deadline_ms: Nat? }
record Empty {}
enum Stream { stdout, stderr }
record Chunk { stream: Stream, data: Bytes }
record Status { exit_code: Int }
record Signo { signo: Int }
";

const REST: &str = "
  rec Output {
    choice at Agent { exec_output(Chunk) from Agent to Host; continue Output; }
    or { exec_response(Status) from Agent to Host; }
  }
";

/// A directory with a protocol `p.anti`.
fn with_protocol(roles: &str, body: &str) -> TestDir {
    let dir = TestDir::new();
    let text = format!("{RECORDS}global protocol P({roles}) {{ {body} }}");
    dir.write("p.anti", text);
    dir
}

/// Runs `touch ran` under a protocol; returns the exit code, the text on standard error, and
/// whether the command ran.
fn run(roles: &str, body: &str, options: &[&str]) -> (Option<i32>, String, bool) {
    let dir = with_protocol(roles, body);
    let mut args = vec!["exec", "--protocol", "p.anti"];
    args.extend(options);
    args.extend(["--", "touch", "ran"]);
    let output = dir.run(&args);
    (output.code, output.stderr, dir.path("ran").exists())
}

fn refused(roles: &str, body: &str, options: &[&str]) -> String {
    let (code, stderr, ran) = run(roles, body, options);
    assert_eq!((code, ran), (Some(125), false), "{body}: {stderr}");
    stderr
}

const TWO: &str = "role Host, role Agent";

#[test]
fn options_that_the_record_cannot_carry_are_refused() {
    let body = format!("exec_request(Spec) from Host to Agent; {REST}");
    let (code, stderr, ran) = run(TWO, &body, &["-n"]);
    assert_eq!((code, ran), (Some(0), true), "{stderr}");
    for (options, option, field) in [
        (&["--deadline", "5"][..], "`--deadline`", "`deadline_ms`"),
        (&["--cwd", "/"], "`--cwd`", "`cwd`"),
        (&["-e", "A=b"], "`--env`", "`env`"),
    ] {
        let stderr = refused(TWO, &body, options);
        assert!(
            stderr.contains(option) && stderr.contains(field),
            "{stderr}"
        );
    }
    let stderr = refused(TWO, &body, &["-n", "--kill-after", "5"]);
    assert!(
        stderr.contains("`--kill-after` has no effect under `P`") && stderr.contains("`signal`"),
        "{stderr}"
    );
    let body = format!("exec_request(Text) from Host to Agent; {REST}");
    let stderr = refused(TWO, &body, &[]);
    assert!(
        stderr.contains("an argument") && stderr.contains("`argv`"),
        "{stderr}"
    );
}

#[test]
fn input_that_cannot_reach_the_command_is_refused() {
    let bodies = [
        (
            format!("exec_request(Spec) from Host to Agent; {REST}"),
            "no role of the host sends `stdin_data`",
        ),
        (
            format!("exec_request(Full) from Host to Agent; {REST}"),
            "no role of the host sends `stdin_data`",
        ),
        (
            format!(
                "exec_request(Spec) from Host to Agent;
                 choice at Host {{ stdin_data(Bytes) from Host to Agent; }} or {{ stdin_eof() from \
                 Host to Agent; }}
                 {REST}"
            ),
            "no field `stdin`",
        ),
    ];
    for (body, expected) in bodies {
        let dir = with_protocol(TWO, &body);
        let args = ["exec", "--protocol", "p.anti", "--", "touch", "ran"];
        let output = dir.run_with(&args, b"input");
        assert_eq!(output.code, Some(125), "{body}: {output:?}");
        assert!(output.stderr.contains(expected), "{output:?}");
        assert!(
            output.stderr.contains("`-n`"),
            "the remedy is named: {output:?}"
        );
        assert!(!dir.path("ran").exists());
    }
}

#[test]
fn a_first_choice_may_contain_the_request() {
    for other in ["cancel()", "quit(Text)"] {
        let body = format!(
            "choice at Host {{ {other} from Host to Agent; }}
             or {{ exec_request(Spec) from Host to Agent; {REST} }}"
        );
        let (code, stderr, ran) = run(TWO, &body, &["-n"]);
        assert_eq!((code, ran), (Some(0), true), "{other}: {stderr}");
    }
}

#[test]
fn messages_that_exec_cannot_send_are_refused() {
    let stderr = refused(
        TWO,
        &format!("hint(Text) from Host to Agent; exec_request(Spec) from Host to Agent; {REST}"),
        &["-n"],
    );
    assert!(stderr.contains("Host sends `hint` to Agent"), "{stderr}");
    let stderr = refused(
        TWO,
        &format!(
            "exec_request(Spec) from Host to Agent;
             choice at Host {{ signal(Empty) from Host to Agent; }} or {{ cancel() from Host to \
             Agent; }} {REST}"
        ),
        &["-n"],
    );
    assert!(
        stderr.contains("Host chooses among `signal`, `cancel`"),
        "{stderr}"
    );
}

#[test]
fn the_command_runs_once_and_in_the_guest() {
    let twice = "exec_request(Spec) from Host to Agent; exec_response(Status) from Agent to Host;";
    let stderr = refused(TWO, &format!("{twice} {twice}"), &["-n"]);
    assert!(stderr.contains("more than once"), "{stderr}");
    let looped = format!("rec L {{ {twice} continue L; }}");
    let stderr = refused(TWO, &looped, &["-n"]);
    assert!(stderr.contains("more than once"), "{stderr}");
    let by_two = "exec_request(Spec) from Host to Agent; exec_response(Status) from Agent to Host; \
                  exec_request(Spec) from Other to Agent; exec_response(Status) from Agent to \
                  Other;";
    let stderr = refused("role Host, role Other, role Agent", by_two, &["-n"]);
    assert!(stderr.contains("more than once"), "{stderr}");

    let stderr = refused(TWO, "exec_response(Status) from Agent to Host;", &["-n"]);
    assert!(
        stderr.contains("no role of the host sends `exec_request`"),
        "{stderr}"
    );
    let guestless =
        "exec_request(Spec) from Host to Guest; exec_response(Status) from Guest to Host;";
    let stderr = refused("role Host, role Guest", guestless, &["-n"]);
    assert!(
        stderr.contains("named `Agent` or `Sink`, so no role is bound"),
        "{stderr}"
    );
}

#[test]
fn only_one_role_of_the_host_may_receive_output() {
    let body = "exec_request(Spec) from Host to Agent;
        rec Output {
          choice at Agent { exec_output(Chunk) from Agent to Host, Logger; continue Output; }
          or { exec_response(Status) from Agent to Host, Logger; }
        }";
    let stderr = refused("role Host, role Logger, role Agent", body, &["-n"]);
    assert!(
        stderr.contains("Host and Logger receive `exec_output`"),
        "{stderr}"
    );
}

/// The rest of the input would be lost silently.
#[test]
fn input_beyond_what_a_protocol_carries_fails_the_run() {
    let body = format!(
        "exec_request(Full) from Host to Agent; stdin_data(Bytes) from Host to Agent; stdin_eof() \
         from Host to Agent;
         {REST}"
    );
    let dir = with_protocol(TWO, &body);
    let args = ["exec", "--protocol", "p.anti", "--", "wc", "-c"];
    for (len, code) in [(10, 0), (200_000, 125)] {
        let output = dir.run_with(&args, &vec![b'x'; len]);
        assert_eq!(output.code, Some(code), "{len}: {output:?}");
        let says = output
            .stderr
            .contains("standard input has more than the protocol carries");
        assert_eq!(says, code != 0, "{output:?}");
    }
}

/// Without `stdin_eof` a command would wait for the end of its input.
#[test]
fn input_without_an_end_is_refused() {
    let body = format!(
        "exec_request(Full) from Host to Agent; stdin_data(Bytes) from Host to Agent; {REST}"
    );
    let dir = with_protocol(TWO, &body);
    let output = dir.run_with(
        &["exec", "--protocol", "p.anti", "--", "touch", "ran"],
        b"x",
    );
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output
            .stderr
            .contains("no role of the host sends `stdin_eof`"),
        "{output:?}"
    );
    assert!(!dir.path("ran").exists());
}

/// A failure that is not reported would look like success.
#[test]
fn a_response_without_the_exit_code_is_refused() {
    let rest = |status: &str| {
        format!(
            "exec_request(Full) from Host to Agent;
             rec Output {{
               choice at Agent {{ exec_output(Chunk) from Agent to Host; continue Output; }}
               or {{ exec_response({status}) from Agent to Host; }}
             }}"
        )
    };
    let stderr = refused(TWO, &rest("Empty"), &["-n"]);
    assert!(
        stderr.contains("the exit code") && stderr.contains("`exit_code`"),
        "{stderr}"
    );
    let (code, stderr, ran) = run(TWO, &rest("Status"), &["-n"]);
    assert_eq!((code, ran), (Some(0), true), "{stderr}");
    let stderr = refused(TWO, &rest("Status"), &["-n", "--deadline", "5"]);
    assert!(
        stderr.contains("`--deadline`") && stderr.contains("`timed_out`"),
        "{stderr}"
    );
}

#[test]
fn a_message_that_the_link_does_not_have_is_refused() {
    let body = format!("exec_request(Spec) from Host to Agent; {REST} bye() from Host to Agent;");
    let stderr = refused(TWO, &body, &["-n"]);
    assert!(stderr.contains("Host sends `bye` to Agent"), "{stderr}");
}

/// A role that waits for the end of the command before it can receive that end waits for ever.
#[test]
fn a_choice_that_keeps_the_end_of_the_command_away_is_refused() {
    let body = format!(
        "exec_request(Spec) from Host to Agent;
         rec L {{
           choice at Host {{ signal(Signo) from Host to Agent; continue L; }}
           or {{ detach() from Host to Agent; }}
         }}
         {REST}"
    );
    let dir = with_protocol(TWO, &body);
    let output = dir.run(&["exec", "-n", "--protocol", "p.anti", "--", "touch", "ran"]);
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(
        output.stderr.contains("waits for the end of the command"),
        "{output:?}"
    );
    assert!(!dir.path("ran").exists());
}

/// The protocol sends the end of input although `-n` is given.
#[test]
fn the_end_of_input_is_sent_without_input() {
    let body = format!(
        "exec_request(Spec) from Host to Agent;
         choice at Host {{ quit() from Host to Agent; }} or {{ stdin_eof() from Host to Agent; \
         {REST} }}"
    );
    let (code, stderr, ran) = run(TWO, &body, &["-n"]);
    assert_eq!((code, ran), (Some(0), true), "{stderr}");
    let body =
        format!("exec_request(Spec) from Host to Agent; stdin_eof() from Host to Agent; {REST}");
    let (code, stderr, ran) = run(TWO, &body, &["-n"]);
    assert_eq!((code, ran), (Some(0), true), "{stderr}");
}

/// The guest cannot send anything before a request.
#[test]
fn a_guest_that_is_to_speak_first_fails_the_session() {
    for body in [
        "exec_output(Chunk) from Agent to Host; exec_request(Spec) from Host to Agent; \
         exec_response(Status) from Agent to Host;",
        "choice at Agent { exec_output(Chunk) from Agent to Host; exec_request(Spec) from Host to \
         Agent;
           exec_response(Status) from Agent to Host; }
         or { exec_response(Status) from Agent to Host; exec_request(Spec) from Host to Agent; }",
    ] {
        let stderr = refused(TWO, body, &["-n"]);
        assert!(stderr.contains("before any request"), "{stderr}");
    }
}

/// Several roles of the host wait for input at once; each piece goes to one role.
#[test]
fn two_roles_of_the_host_may_choose_at_once() {
    let body = format!(
        "exec_request(Full) from Host to Agent;
         go() from Agent to Sink;
         rec Input {{
           choice at Host {{ stdin_data(Bytes) from Host to Sink; continue Input; }}
           or {{ stdin_eof() from Host to Sink; }} or {{ detach() from Host to Sink; }}
         }}
         rec Other {{
           choice at Feeder {{ signal(Signo) from Feeder to Hub; continue Other; }}
           or {{ detach() from Feeder to Hub; }}
         }}
         {REST}"
    )
    .replace("from Agent to Host", "from Agent to Out");
    let roles = "role Host, role Feeder, role Out, role Agent, role Sink, role Hub";
    let dir = with_protocol(roles, &body);
    let output = dir.run_with(&["exec", "--protocol", "p.anti", "--", "cat"], b"through");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "through"),
        "{output:?}"
    );
}

/// A request in each of two branches counts once.
#[test]
fn a_request_in_each_branch_counts_once() {
    let body = format!(
        "choice at Host {{ stdin_eof() from Host to Agent; exec_request(Spec) from Host to Agent; \
         {REST} }}
         or {{ exec_request(Spec) from Host to Agent; {REST} }}"
    );
    let (code, stderr, ran) = run(TWO, &body, &["-n"]);
    assert_eq!((code, ran), (Some(0), true), "{stderr}");
}

/// Outside a choice, a payload waits for input as a choice does.
#[test]
fn input_outside_a_choice_arrives() {
    let body = format!(
        "exec_request(Full) from Host to Agent; stdin_data(Bytes) from Host to Agent; stdin_eof() \
         from Host to Agent;
         {REST}"
    );
    let dir = with_protocol(TWO, &body);
    let mut child = dir.start(&["exec", "--protocol", "p.anti", "--", "cat"]);
    let mut stdin = child.stdin.take().expect("it is piped");
    std::thread::sleep(std::time::Duration::from_millis(300));
    std::io::Write::write_all(&mut stdin, b"late").expect("it is read");
    let output = common::end(child);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "late"),
        "{output:?}"
    );
}

#[test]
fn an_unknown_option_is_not_a_command() {
    let dir = TestDir::new();
    for args in [
        &["exec", "--deadlin", "5", "--", "touch", "ran"][..],
        &["exec", "-x", "touch", "ran"],
    ] {
        let output = dir.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(!dir.path("ran").exists());
    }
    let output = dir.run(&["exec", "--deadlin", "5", "--", "true"]);
    assert!(output.stderr.contains("'--deadline'"), "{output:?}");
    // After `--` everything is the command, and after the command everything is its argument.
    let output = dir.run(&["exec", "--", "--deadlin"]);
    assert_eq!(output.code, Some(127), "{output:?}");
    assert_eq!(
        dir.run_ok(&["exec", "echo", "--json", "-n", "--"]),
        "--json -n --\n"
    );
}

#[test]
fn a_directory_that_cannot_be_entered_is_named() {
    let dir = TestDir::new();
    dir.write("file", "");
    for cwd in ["/no/such/directory", "file"] {
        let output = dir.run(&["exec", "--cwd", cwd, "--", "true"]);
        assert_eq!(output.code, Some(125), "{cwd}: {output:?}");
        let named = format!("working directory `{cwd}`");
        assert!(output.stderr.contains(&named), "{output:?}");
    }
}
