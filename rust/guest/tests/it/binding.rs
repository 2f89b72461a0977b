//! The messages that a session may attribute to its guest, and the protocols that cannot be bound
//! to a guest.

use crate::common;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use antiphon_guest::agent::{AgentOptions, serve_stream};
use antiphon_guest::driver::{Binding, Driver, Guests, OpenError};
use antiphon_guest::link::GuestLink;
use antiphon_guest::protocols::{GUEST_EXEC, GUEST_FILES};
use antiphon_guest::transport::Transport;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::build::{
    HALT, choose, invoke, jump, mov, offer, over, program, send, set, spawn, with_child,
};
use antiphon_machine::safety::{Evidence, Way};
use antiphon_machine::{
    Class, CodeImage, EffectRequest, FromFn, Instruction, LabelId, NoSink, OperationId, Outcome,
    ProtocolMachineConfig, Reply, RoleId, Value, VerifiedImage, sample,
};

const SORTS: &str = "
record Spec { cmd: Text, argv: [Text] }
enum Stream { stdout, stderr }
record Chunk { stream: Stream, data: Bytes }
record Status { exit_code: Int }
record Failure { code: Text, message: Text }
record Empty {}
effect Files version 1 {
  op fs_open(path: Text) -> Nat within 30s;
  op fs_close(handle: Nat) -> Unit within 30s;
}
effect Clock version 1 {
  op now() -> Nat within 1s;
}
";

fn images(text: &str) -> Vec<Arc<VerifiedImage>> {
    let built = compile_source(
        Source::new("text.anti", text),
        &NoModules,
        &Limits::default(),
    );
    let built = built.unwrap_or_else(|report| panic!("{report}"));
    let verified = |code: CodeImage| Arc::new(code.verify().expect("it verifies"));
    built
        .protocols
        .into_iter()
        .map(|(_, compiled)| verified(compiled.image))
        .collect()
}

/// Compiles a protocol with these roles and this body.
fn image(head: &str, body: &str) -> Arc<VerifiedImage> {
    let text = format!("{SORTS} global protocol P{head} {{ {body} }}");
    images(&text).remove(0)
}

const HEAD: &str = "(role Host, role Agent, role Sink, role Feeder)";
const USING: &str = "(role Host, role Agent, role Sink, role Feeder) \
    uses Files at Agent, Files at Host, Clock at Agent";

fn link() -> GuestLink {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || serve_stream(theirs, &AgentOptions::default()));
    let transport = Transport::stream(ours).expect("a transport");
    GuestLink::open(transport, Default::default(), common::TIMEOUT).expect("a link")
}

fn succeed(_: &EffectRequest<'_>) -> Reply {
    Reply::Now(Outcome::done())
}

/// Opens a session in which `Agent`, `Sink` and the interface `Files` are bound to the guest.
fn open(image: &Arc<VerifiedImage>) -> Result<(), OpenError> {
    let mut driver = Driver::new(Default::default(), FromFn(succeed), NoSink);
    let guest = driver.add_guest(link());
    let code = image.image();
    let roles = ["Agent", "Sink"];
    let roles = roles.iter().copied();
    let roles = roles.filter(|name| code.roles.iter().any(|role| role.name == *name));
    let interfaces = code.interfaces.iter().map(|row| row.name.as_str());
    let interfaces = interfaces.filter(|name| *name == "Files");
    let guests = Guests::new()
        .roles(guest, roles)
        .interfaces(guest, interfaces);
    driver.open(image, "test", &guests).map(drop)
}

fn opens(head: &str, body: &str) {
    if let Err(error) = open(&image(head, body)) {
        panic!("{body}\n{error}");
    }
}

/// The message of the refusal, without the part that all refusals have in common.
fn refused(head: &str, body: &str) -> String {
    let error = match open(&image(head, body)) {
        Err(error @ OpenError::Unbacked { .. }) => error.to_string(),
        Err(other) => panic!("{body}\n{other}"),
        Ok(()) => panic!("{body}\nwas opened"),
    };
    error.replace(
        " would be attributed to the guest without a frame of its own",
        "",
    )
}

const OWN: &str = "with a payload of its own, under a name that is not bound yet or without a name";

#[test]
fn refuses_a_message_without_payload() {
    let body = "exec_request(Spec) from Host to Agent; exec_output() from Agent to Host;
        exec_response(Status) from Agent to Host;";
    assert_eq!(
        refused(HEAD, body),
        "`exec_output` from `Agent` to `Host`: it has no payload, so the guest is not asked for \
         it; give it a payload, if only an empty record: `record Empty {}` and \
         `exec_output(Empty)`"
    );
    opens(HEAD, &body.replace("exec_output()", "exec_output(Empty)"));
}

#[test]
fn refuses_a_message_with_a_bound_name() {
    let body = "exec_request(Spec) from Host to Agent;
        exec_response(s: Status) from Agent to Host; exec_response(s) from Agent to Host;";
    assert_eq!(
        refused(HEAD, body),
        format!(
            "`exec_response` from `Agent` to `Host`: its payload was sent before, and one frame \
             is one message; write `exec_response` {OWN}"
        )
    );
    opens(HEAD, &body.replace("(s)", "(t: Status)"));
    // Also with another label, and to another role if another message is in between.
    let other = body.replace(
        "exec_response(s) from Agent to Host",
        "error(s) from Agent to Host",
    );
    assert!(refused(HEAD, &other).contains("was sent before"));
    let other = "exec_response(s: Status) from Agent to Host; ok() from Host to Agent;
        exec_response(s) from Agent to Feeder;";
    assert!(refused(HEAD, other).contains("was sent before"));
}

#[test]
fn refuses_a_bound_name_in_a_loop() {
    let body = "exec_response(s: Status) from Agent to Host;
        rec L { choice at Host { more() from Host to Agent;
          exec_response(s) from Agent to Host; continue L; }
        or { done() from Host to Agent; } }";
    assert!(refused(HEAD, body).contains("was sent before"));
    // Here the first send is in the loop, too. In the second round it has no frame.
    let body = "at Agent { let n = Files.fs_open(\"x\"); }
        rec L { choice at Host { more() from Host to Agent;
          opened(n) from Agent to Host; continue L; }
        or { done() from Host to Agent; } }";
    assert!(refused(USING, body).contains("was sent before"));
    // If the payload is requested in each round, each has a frame.
    opens(
        USING,
        "rec L { choice at Host { more(path: Text) from Host to Agent;
          at Agent { let n = Files.fs_open(path); } opened(n) from Agent to Host; continue L; }
        or { done() from Host to Agent; } }",
    );
    opens(
        HEAD,
        "rec L { choice at Host { more() from Host to Agent;
          exec_response(s: Status) from Agent to Host; continue L; }
        or { done() from Host to Agent; } }",
    );
}

#[test]
fn refuses_a_received_value() {
    let reason = |label| {
        format!("its payload is a name that was received from another role; write `{label}` {OWN}")
    };
    let body = "exec_request(spec: Spec) from Host to Agent; echo(spec) from Agent to Host;";
    assert_eq!(
        refused(HEAD, body),
        format!("`echo` from `Agent` to `Host`: {}", reason("echo"))
    );
    // Received from another role of the guest.
    let body = "exec_request(spec: Spec) from Host to Agent; keep(spec) from Agent to Sink;
        echo(spec) from Sink to Feeder;";
    assert_eq!(
        refused(HEAD, body),
        format!("`echo` from `Sink` to `Feeder`: {}", reason("echo"))
    );
    // A branch that the guest chooses has a frame, but its payload is not in that frame.
    let body = "exec_request(spec: Spec) from Host to Agent;
        choice at Agent { exec_output(spec) from Agent to Host; }
        or { exec_response(Status) from Agent to Host; }";
    assert!(refused(HEAD, body).contains(&reason("exec_output")));
}

#[test]
fn a_result_of_the_guest_can_be_sent_once() {
    let call = |body: &str| format!("go(path: Text) from Host to Agent; {body}");
    let files = "at Agent { let n = Files.fs_open(path); }";
    opens(
        USING,
        &call(&format!("{files} opened(n) from Agent to Host;")),
    );
    opens(
        USING,
        &call("at Agent { let u = Files.fs_close(3); } closed(u) from Agent to Host;"),
    );
    let twice = format!("{files} opened(n) from Agent to Host; again(n) from Agent to Host;");
    assert!(refused(USING, &call(&twice)).contains("was sent before"));
    let other = "at Agent { let n = Clock.now(); } time(n) from Agent to Host;";
    assert_eq!(
        refused(USING, &call(other)),
        format!(
            "`time` from `Agent` to `Host`: its payload is the result of `Clock.now`, which is \
             not bound to the same guest; bind `Clock` to that guest, or write `time` {OWN}"
        )
    );
    // The guest's role receives the result of another role's call as a message.
    let foreign = "at Host { let n = Files.fs_open(\"x\"); } number(n) from Host to Agent;
        number(n) from Agent to Host;";
    assert!(refused(USING, foreign).contains("was received"));
}

#[test]
fn copies_to_several_receivers_count_as_one_message() {
    opens(HEAD, "exec_response(Status) from Agent to Host, Feeder;");
    opens(
        HEAD,
        "exec_response(s: Status) from Agent to Host, Sink, Feeder;",
    );
    opens(
        HEAD,
        "choice at Agent { exec_output(Chunk) from Agent to Host, Feeder; }
         or { exec_response(Status) from Agent to Host, Feeder; }",
    );
    // In a branch without payload, the frame of the choice allows all copies.
    opens(
        HEAD,
        "choice at Agent { exec_output() from Agent to Host, Feeder; }
         or { exec_response() from Agent to Host, Feeder; }",
    );
    let none = "exec_output() from Agent to Host, Feeder;";
    assert!(refused(HEAD, none).contains("has no payload"));
    // The first receiver is inside the guest, so the payload is not requested from the guest.
    let inside = "exec_response(Status) from Agent to Sink, Host;";
    assert_eq!(
        refused(HEAD, inside),
        format!(
            "`exec_response` from `Agent` to `Host`: its payload is that of a message that stays \
             inside the guest; write `exec_response` {OWN}, and with several receivers name one \
             outside the guest first"
        )
    );
}

#[test]
fn an_arm_without_payload_needs_a_choice_of_the_guest() {
    opens(
        HEAD,
        "rec L { choice at Agent { exec_output() from Agent to Host; continue L; }
         or { exec_response() from Agent to Host; } }",
    );
    opens(
        HEAD,
        "choice at Agent {
             exec_output() from Agent to Host; exec_output(Chunk) from Agent to Host;
         }
         or { exec_response(Status) from Agent to Host; }",
    );
    // Only the first message is the guest's choice.
    let second = "choice at Agent { exec_output() from Agent to Host; over() from Agent to Host; }
         or { exec_response() from Agent to Host; }";
    assert!(refused(HEAD, second).starts_with("`over` from `Agent` to `Host`: it has no payload"));
    // A choice of the host is not a frame of the guest.
    let hosts = "choice at Host { a() from Host to Agent; yes() from Agent to Host; }
         or { b() from Host to Agent; no() from Agent to Host; }";
    assert!(refused(HEAD, hosts).contains("has no payload"));
}

#[test]
fn an_arm_after_a_failure_needs_a_payload() {
    let body = "go(path: Text) from Host to Agent;
        choice at Agent { at Agent { let n = Files.fs_open(path) else error; }
          exec_output(n) from Agent to Host; }
        or { error() from Agent to Host; }";
    assert_eq!(
        refused(USING, body),
        "`error` from `Agent` to `Host`: it has no payload, and the guest may not be the one that \
         chose it; give it a payload, if only an empty record: `record Empty {}` and \
         `error(Empty)`"
    );
    // With a payload the message has a frame: that of the choice, if the guest chose it.
    let image = image(USING, &body.replace("error()", "error(Failure)"));
    open(&image).expect("it opens");
    let binding = Binding::named(&image, ["Agent"], ["Files"]).expect("it is bound");
    let code = image.image();
    let is_decision = |class: &Class| matches!(class, Class::Decide { .. });
    let decision = code
        .operations
        .iter()
        .position(|row| is_decision(&row.class));
    let decision = OperationId(decision.expect("it is there") as u16);
    let asks = |name| binding.has_payload(RoleId(1), decision, label(code, name));
    assert!(asks("error"));
    assert!(!asks("exec_output"), "its payload is the operation's");
}

#[test]
fn a_choice_has_its_payloads_everywhere_or_nowhere() {
    let body = "choice at Agent { exec_output(Chunk) from Agent to Host; }
        or { exec_response(Status) from Agent to Host; }
        choice at Agent { exec_output() from Agent to Host; }
        or { exec_response(Status) from Agent to Host; }";
    let refusal = refused(HEAD, body);
    assert!(
        refusal.contains("in one place and not in another"),
        "{refusal}"
    );
}

#[test]
fn messages_inside_the_guest_are_not_checked() {
    opens(
        HEAD,
        "exec_request(spec: Spec) from Host to Agent; attach() from Agent to Sink;
         keep(spec) from Agent to Sink; back(spec) from Sink to Agent;
         exec_response(Status) from Agent to Host;",
    );
    // A value may be sent to a role inside the guest before it leaves the guest.
    opens(
        USING,
        "at Agent { let n = Files.fs_open(\"x\"); } keep(n) from Agent to Sink;
         opened(n) from Agent to Host;",
    );
}

#[test]
fn a_role_of_another_guest_is_outside() {
    let image = image(
        "(role Host, role Agent, role Other) uses Files at Agent",
        "go(path: Text) from Host to Agent; at Agent { let n = Files.fs_open(path); }
         opened(n) from Agent to Other; exec_response(Status) from Other to Host;",
    );
    let mut driver = Driver::new(Default::default(), FromFn(succeed), NoSink);
    let (one, two) = (driver.add_guest(link()), driver.add_guest(link()));
    let mut open = |guests: Guests| driver.open(&image, "test", &guests).map(drop);
    open(
        Guests::new()
            .roles(one, ["Agent"])
            .roles(two, ["Other"])
            .interfaces(one, ["Files"]),
    )
    .expect("each has its frames");
    let wrong = Guests::new()
        .roles(one, ["Agent"])
        .interfaces(two, ["Files"]);
    let error = open(wrong).expect_err("the value came from the other guest");
    assert!(
        error.to_string().contains("bind `Files` to that guest"),
        "{error}"
    );
    let both = Guests::new().roles(one, ["Agent"]).roles(two, ["Agent"]);
    let error = open(both).expect_err("no agent answers");
    assert_eq!(
        error.to_string(),
        "`Agent` is bound to two guests; bind it to one"
    );
    open(
        Guests::new()
            .roles(one, ["Agent"])
            .roles(one, ["Agent"])
            .interfaces(one, ["Files"]),
    )
    .expect("twice the same is once");
}

#[test]
fn binding_an_interface_binds_no_role() {
    for image in images(GUEST_FILES) {
        let mut driver = Driver::new(Default::default(), FromFn(succeed), NoSink);
        let guest = driver.add_guest(link());
        let guests = Guests::new().interfaces(guest, ["Files"]);
        driver.open(&image, "test", &guests).expect("it opens");
    }
    open(&images(GUEST_EXEC).remove(0)).expect("it opens");
}

// Images that the compiler never produces.

/// An image with this program for `Agent`.
fn assembled(body: &str, write: impl FnOnce(&CodeImage) -> Vec<Instruction>) -> CodeImage {
    let mut code = image(HEAD, body).image().clone();
    let own = write(&code);
    let registers = code.programs[1].registers.max(8);
    code.programs[1] = program("Agent", registers, own);
    code
}

fn bind(code: CodeImage) -> Result<Binding, OpenError> {
    let image = code.verify().expect("it verifies");
    Binding::of(&image, vec![RoleId(1)], &[])
}

fn label(code: &CodeImage, name: &str) -> LabelId {
    let at = code.labels.iter().position(|label| label == name);
    LabelId(at.expect("it is there") as u16)
}

fn produce(code: &CodeImage, name: &str, dst: u8) -> Instruction {
    let wanted = label(code, name);
    let is_it = |class: &Class| matches!(class, Class::Produce { label, .. } if *label == wanted);
    let at = code.operations.iter().position(|row| is_it(&row.class));
    invoke(at.expect("it is there") as u16, &[], dst, None)
}

fn decide(code: &CodeImage, dst: u8) -> Instruction {
    let is_it = |class: &Class| matches!(class, Class::Decide { .. });
    let at = code.operations.iter().position(|row| is_it(&row.class));
    invoke(at.expect("it is there") as u16, &[], dst, None)
}

const TWO: &str = "one(Nat) from Agent to Host; two(Nat) from Agent to Host;";

#[test]
fn refuses_a_role_that_echoes() {
    let image = sample::ping_pong(1);
    Binding::named(&image, ["Client"], []).expect("it decides and produces");
    let refusal = Binding::named(&image, ["Server"], []).expect_err("it echoes");
    assert!(
        refusal
            .to_string()
            .contains("was received from another role"),
        "{refusal}"
    );
}

#[test]
fn refuses_a_payload_of_another_message_or_a_constant() {
    let ok = assembled(TWO, |code| {
        let (one, two) = (label(code, "one"), label(code, "two"));
        vec![
            produce(code, "two", 2),
            produce(code, "one", 1),
            mov(3, 1),
            send(one, 3),
            send(two, 2),
            HALT,
        ]
    });
    bind(ok).expect("each has its frame");
    let other = assembled(TWO, |code| {
        let (one, two) = (label(code, "one"), label(code, "two"));
        vec![
            produce(code, "two", 1),
            produce(code, "two", 2),
            send(one, 1),
            send(two, 2),
            HALT,
        ]
    });
    let refusal = bind(other)
        .expect_err("it is the payload of `two`")
        .to_string();
    assert!(
        refusal.contains("`one` from `Agent` to `Host`"),
        "{refusal}"
    );
    assert!(
        refusal.contains("was asked for as that of `two`"),
        "{refusal}"
    );
    let constant = assembled(TWO, |code| {
        let (one, two) = (label(code, "one"), label(code, "two"));
        vec![
            set(1, Value::Nat(1)),
            send(one, 1),
            produce(code, "two", 2),
            send(two, 2),
            HALT,
        ]
    });
    let refusal = bind(constant).expect_err("it is a constant").to_string();
    assert!(
        refusal.contains("the guest is not asked for its payload"),
        "{refusal}"
    );
}

#[test]
fn a_copy_in_another_register_is_the_same_value() {
    let moved = assembled(
        "one(Nat) from Agent to Host; one(Nat) from Agent to Host;",
        |code| {
            let one = label(code, "one");
            vec![
                produce(code, "one", 1),
                mov(2, 1),
                send(one, 1),
                send(one, 2),
                HALT,
            ]
        },
    );
    let refusal = bind(moved).expect_err("one frame").to_string();
    assert!(refusal.contains("was sent before"), "{refusal}");
}

#[test]
fn a_payload_from_two_paths_needs_a_frame_on_both() {
    let body = "choice at Host { a() from Host to Agent; one(Nat) from Agent to Host; }
        or { b() from Host to Agent; one(Nat) from Agent to Host; }";
    let joined = |second: fn(&CodeImage) -> Instruction| {
        assembled(body, |code| {
            let table = [(label(code, "a"), 1), (label(code, "b"), 3)];
            vec![
                choose(4, &table),
                produce(code, "one", 1),
                jump(4),
                second(code),
                send(label(code, "one"), 1),
                HALT,
            ]
        })
    };
    bind(joined(|code| produce(code, "one", 1))).expect("each path has its frame");
    let refusal = bind(joined(|_| set(1, Value::Nat(1))));
    let refusal = refusal.expect_err("one path has none").to_string();
    assert!(refusal.contains("from different places"), "{refusal}");
}

#[test]
fn refuses_the_payload_of_an_earlier_round() {
    // Produced at the end of each round, and sent in the next round together with a new value.
    let body = "one(Nat) from Agent to Host; one(Nat) from Agent to Host;
        rec L { choice at Host { more() from Host to Agent; one(Nat) from Agent to Host;
          one(Nat) from Agent to Host; continue L; } or { done() from Host to Agent; } }";
    let old = assembled(body, |code| {
        let one = label(code, "one");
        let (more, done) = (label(code, "more"), label(code, "done"));
        vec![
            produce(code, "one", 1),
            mov(2, 1),
            produce(code, "one", 1),
            send(one, 1),
            send(one, 2),
            choose(4, &[(more, 1), (done, 6)]),
            HALT,
        ]
    });
    let refusal = bind(old)
        .expect_err("the second round sends it again")
        .to_string();
    assert!(
        refusal.contains("was sent before") || refusal.contains("different places"),
        "{refusal}"
    );
}

#[test]
fn a_decision_allows_one_arm_without_payload() {
    let body = "choice at Agent { one() from Agent to Host; } or { two() from Agent to Host; }
        choice at Agent { one() from Agent to Host; } or { two() from Agent to Host; }";
    let arms = |code: &CodeImage, selector: u8, target: u32| {
        let arm = |name| (label(code, name), 2, target);
        offer(selector, &[arm("one"), arm("two")])
    };
    let each = assembled(body, |code| {
        vec![
            decide(code, 1),
            arms(code, 1, 2),
            decide(code, 1),
            arms(code, 1, 4),
            HALT,
        ]
    });
    bind(each).expect("each has its frame");
    let kept = assembled(body, |code| {
        vec![
            decide(code, 1),
            mov(3, 1),
            arms(code, 1, 3),
            arms(code, 3, 4),
            HALT,
        ]
    });
    let refusal = bind(kept)
        .expect_err("one decision, two messages")
        .to_string();
    assert!(
        refusal.contains("may not be the one that chose it"),
        "{refusal}"
    );
}

#[test]
fn the_number_of_a_spawned_program_is_not_a_payload() {
    let spawned = |code: &CodeImage, first: Vec<Instruction>| {
        let (one, two) = (label(code, "one"), label(code, "two"));
        let mut own = vec![spawn(4, &[], 1)];
        own.extend(first);
        own.extend([send(one, 1), produce(code, "two", 2), send(two, 2), HALT]);
        own
    };
    let number = with_child(assembled(TWO, |code| spawned(code, vec![])), 1, [HALT]);
    let refusal = bind(number)
        .expect_err("the number is no frame")
        .to_string();
    assert!(
        refusal.contains("`one` from `Agent` to `Host`"),
        "{refusal}"
    );
    let asked = assembled(TWO, |code| spawned(code, vec![produce(code, "one", 1)]));
    bind(with_child(asked, 1, [HALT])).expect("each has its frame");
}

#[test]
fn refuses_an_unverified_image_without_a_panic() {
    let wrong = assembled(TWO, |code| {
        let two = label(code, "two");
        vec![
            send(two, 200),
            over(9, offer(99, &[])),
            jump(u32::MAX),
            invoke(60_000, &[], 77, None),
        ]
    });
    let image = VerifiedImage::unchecked(wrong);
    let refusal = Binding::of(&image, vec![RoleId(1), RoleId(7)], &[9]).expect_err("it is refused");
    assert!(
        refusal.to_string().contains("verify the image"),
        "{refusal}"
    );
}

/// A stream fills every buffer, so its certificate covers buffers of one size only.
#[test]
fn a_driver_opens_a_session_only_of_an_image_that_is_admitted() {
    let text = "global protocol P(role A, role B) { rec L { x() from A to B; continue L; } }";
    let source = Source::new("text.anti", text);
    let built = compile_source(source, &NoModules, &Limits::default()).expect("it is safe");
    let (_, compiled) = built.protocols.into_iter().next().expect("one protocol");
    let image = Arc::new(compiled.image.verify().expect("it verifies"));
    let certificate = compiled.certificate.expect("it is small");
    let open = |buffer_len_max| {
        let config = ProtocolMachineConfig {
            buffer_len_max,
            ..Default::default()
        };
        let host = FromFn(|_: &EffectRequest<'_>| Reply::Later);
        let mut driver = Driver::new(config, host, NoSink);
        let evidence = Evidence::Certificate(&certificate);
        let opened = driver.open_admitted(&image, "me", &Guests::new(), evidence);
        (opened, driver.kernel().sessions().len())
    };
    let (opened, sessions) = open(2);
    let (_, admission) = opened.expect("its buffers have the certificate's size");
    assert_eq!((admission.way, sessions), (Way::SameBound, 1));
    let (refused, sessions) = open(64);
    let refused = refused.expect_err("there are more configurations");
    assert!(matches!(refused, OpenError::NotAdmitted(_)), "{refused}");
    assert_eq!(sessions, 0);
}
