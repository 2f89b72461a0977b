//! Tests every rule of the link, on both sides.

use std::num::NonZeroU32;

use antiphon_wire::*;

fn range(min: u32, max: u32) -> VersionRange {
    VersionRange { min, max }
}

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

fn agent_offer() -> AgentOffer {
    AgentOffer::new(Features::all(), "linux".to_owned(), "0.1.0".to_owned())
}

/// Decodes and removes all messages in `bytes`.
fn messages(bytes: &mut Vec<u8>) -> Vec<Envelope> {
    let mut deframer = Deframer::new(FrameLen::DEFAULT, range(0, u32::MAX));
    deframer.push(bytes);
    bytes.clear();
    let mut got = Vec::new();
    while let Some(envelope) = deframer.next().expect("a link writes good frames") {
        got.push(envelope);
    }
    assert_eq!(deframer.finish(), Ok(()));
    got
}

fn only(bytes: &mut Vec<u8>) -> Envelope {
    let mut got = messages(bytes);
    assert_eq!(got.len(), 1, "{got:?}");
    got.remove(0)
}

/// A host and an agent after their handshake, with the bytes that each has written.
struct Pair {
    host: HostLink,
    agent: AgentLink,
    from_host: Vec<u8>,
    from_agent: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        Self::with(HostOffer::default(), agent_offer())
    }

    fn with(host: HostOffer, agent: AgentOffer) -> Self {
        let (mut from_host, mut from_agent) = (Vec::new(), Vec::new());
        let mut host = HostLink::new(host, &mut from_host).expect("a good offer");
        let mut agent = AgentLink::new(agent);
        let hello = only(&mut from_host);
        assert!(matches!(
            agent.receive(hello, &mut from_agent),
            Ok(AgentEvent::Ready(_))
        ));
        let ok = only(&mut from_agent);
        assert!(matches!(
            host.receive(ok, &mut from_host),
            Ok(HostEvent::Ready(_))
        ));
        assert_eq!((host.phase(), agent.phase()), (Phase::Ready, Phase::Ready));
        Self {
            host,
            agent,
            from_host,
            from_agent,
        }
    }

    /// Sends a request and delivers it to the agent.
    fn open(&mut self, message: Message) -> u32 {
        let id = self
            .host
            .request(message.clone(), &mut self.from_host)
            .expect("sent");
        let got = self.agent_event().expect("taken");
        match got {
            AgentEvent::Request { id: got, request } => {
                assert_eq!((got, Message::from(request)), (id, message));
            }
            other => assert_eq!(other, AgentEvent::Pinged),
        }
        id
    }

    fn agent_event(&mut self) -> Result<AgentEvent, LinkViolation> {
        let envelope = only(&mut self.from_host);
        self.agent.receive(envelope, &mut self.from_agent)
    }

    fn host_event(&mut self) -> Result<HostEvent, LinkViolation> {
        let envelope = only(&mut self.from_agent);
        self.host.receive(envelope, &mut self.from_host)
    }

    /// Delivers a message of a faulty agent to the host.
    fn deliver_to_host(&mut self, id: u32, message: Message) -> Result<HostEvent, LinkViolation> {
        self.host
            .receive(Envelope::new(id, message), &mut self.from_host)
    }

    /// Delivers a message of a faulty host to the agent.
    fn deliver_to_agent(&mut self, id: u32, message: Message) -> Result<AgentEvent, LinkViolation> {
        self.agent
            .receive(Envelope::new(id, message), &mut self.from_agent)
    }
}

fn exec() -> Message {
    Message::ExecRequest(ExecRequest::new("true".to_owned()))
}

fn cat(window: u32) -> Message {
    Message::ExecRequest(ExecRequest {
        stdin: Some(true),
        stdout_window: Some(window),
        ..ExecRequest::new("cat".to_owned())
    })
}

fn output(stream: Stream, len: usize) -> Message {
    Message::ExecOutput(ExecOutput {
        data: vec![0; len],
        stream,
    })
}

fn input(len: usize, eof: Option<bool>) -> Message {
    Message::StdinData(StdinData {
        eof,
        data: vec![0; len],
    })
}

fn exited() -> Message {
    Message::ExecResponse(ExecResponse {
        signal: None,
        exit_code: 0,
        timed_out: None,
    })
}

fn error(code: ErrorCode) -> Message {
    Message::Error(ErrorReply::new(code, "the reason"))
}

fn ping() -> Message {
    Message::Ping(Empty {})
}

fn pong() -> Message {
    Message::Pong(Empty {})
}

fn read(len: u32) -> Message {
    Message::FsRead(FsRead {
        len,
        handle: 1,
        offset: None,
    })
}

fn data(len: usize) -> Message {
    let data = FileData {
        eof: false,
        data: vec![0; len],
    };
    Message::OpResult(OpResult::Ok(OpValue::FsRead(data)))
}

fn unknown() -> Message {
    Message::Unknown(UnknownType {
        t: "fs_watch".to_owned(),
    })
}

// The handshake.

#[test]
fn agrees_on_the_highest_common_version_or_reports_both_ranges() {
    for (host_min, host_max, agent_min, agent_max) in quadruples(5) {
        let (offered, supported) = (range(host_min, host_max), range(agent_min, agent_max));
        let mut out = Vec::new();
        let offer = HostOffer {
            versions: offered,
            ..HostOffer::default()
        };
        let mut host = HostLink::new(offer, &mut out).expect("a good offer");
        let mut agent = AgentLink::new(AgentOffer {
            versions: supported,
            ..agent_offer()
        });
        let hello = only(&mut out);
        assert_eq!((hello.v, hello.id), (HANDSHAKE_VERSION, LINK_ID));
        let event = agent.receive(hello, &mut out).expect("a good hello");
        let answer = only(&mut out);
        assert_eq!((answer.v, answer.id), (HANDSHAKE_VERSION, LINK_ID));
        let common = (1..=5)
            .filter(|v| offered.contains(*v) && supported.contains(*v))
            .max();
        match common {
            Some(version) => {
                assert!(matches!(&event, AgentEvent::Ready(agreed) if agreed.version == version));
                let event = host.receive(answer, &mut out).expect("a good answer");
                assert!(matches!(event, HostEvent::Ready(_)));
                assert_eq!(host.agreed().map(|agreed| agreed.version), Some(version));
                host.request(ping(), &mut out).expect("ready");
                assert_eq!(only(&mut out).v, version);
            }
            None => {
                let code = if host_max < agent_min {
                    HelloErrCode::TooOld
                } else {
                    HelloErrCode::TooNew
                };
                match host.receive(answer, &mut out).expect("a good answer") {
                    HostEvent::Refused(refusal) => {
                        assert_eq!(event, AgentEvent::Refused(refusal.clone()));
                        assert_eq!(refusal.code, code);
                        assert_eq!((refusal.offered, refusal.supported), (offered, supported));
                    }
                    other => panic!("{offered} and {supported}: {other:?}"),
                }
                assert_eq!(
                    (host.phase(), agent.phase()),
                    (Phase::Closed, Phase::Closed)
                );
            }
        }
    }
}

fn quadruples(max: u32) -> impl Iterator<Item = (u32, u32, u32, u32)> {
    let ranges = move || (1..=max).flat_map(move |min| (min..=max).map(move |top| (min, top)));
    ranges().flat_map(move |(a, b)| ranges().map(move |(c, d)| (a, b, c, d)))
}

/// Version N works with N-1 and N-2, whichever side is newer.
#[test]
fn every_pair_of_versions_in_the_window_agrees() {
    let window = |newest: u32| range(newest.saturating_sub(VERSION_WINDOW).max(1), newest);
    for host in 1..8_u32 {
        for agent in 1..8_u32 {
            let common = window(host).highest_common(window(agent));
            if host.abs_diff(agent) <= VERSION_WINDOW {
                assert_eq!(common, Some(host.min(agent)));
                let mut pair = Pair::with(
                    HostOffer {
                        versions: window(host),
                        ..HostOffer::default()
                    },
                    AgentOffer {
                        versions: window(agent),
                        ..agent_offer()
                    },
                );
                let id = pair.open(cat(10));
                pair.agent
                    .send(id, output(Stream::Stdout, 10), &mut pair.from_agent)
                    .expect("sent");
                assert!(matches!(pair.host_event(), Ok(HostEvent::Output { .. })));
                pair.agent
                    .send(id, exited(), &mut pair.from_agent)
                    .expect("sent");
                assert!(matches!(pair.host_event(), Ok(HostEvent::Ended { .. })));
            } else {
                assert_eq!(common, None);
            }
        }
    }
    assert_eq!(VersionRange::SUPPORTED, window(PROTOCOL_VERSION));
}

#[test]
fn agrees_on_the_lower_bounds_and_the_common_features() {
    let pair = Pair::with(
        HostOffer {
            features: Features::of([Feature::Exec, Feature::Files]),
            ids_max: some(3),
            frame_len_max: FrameLen::new(8192).expect("in range"),
            ..HostOffer::default()
        },
        AgentOffer {
            features: Features::of([Feature::Syscall, Feature::Files]),
            ids_max: some(5),
            stdin_window: Some(77),
            ..agent_offer()
        },
    );
    let (host, agent) = (
        pair.host.agreed().expect("ready"),
        pair.agent.agreed().expect("ready"),
    );
    for agreed in [host, agent] {
        assert_eq!(agreed.features, Features::of([Feature::Files]));
        assert_eq!((agreed.ids_max, agreed.stdin_window), (3, Some(77)));
    }
    assert_eq!(host.peer_frame_len_max, FrameLen::DEFAULT);
    assert_eq!(agent.peer_frame_len_max.bytes(), 8192);
}

#[test]
fn a_peer_without_a_limit_accepts_one_request_at_a_time() {
    let mut out = Vec::new();
    let mut agent = AgentLink::new(agent_offer());
    let hello = Hello {
        minor: None,
        ids_max: None,
        features: Features::all(),
        min_version: 1,
        frame_len_max: None,
        protocol_version: 1,
    };
    let hello = Envelope::new(0, Message::Hello(hello));
    assert!(matches!(
        agent.receive(hello, &mut out),
        Ok(AgentEvent::Ready(_))
    ));
    assert_eq!(agent.agreed().map(|agreed| agreed.ids_max), Some(1));
    out.clear();
    let taken = agent.receive(Envelope::new(1, exec()), &mut out);
    assert!(matches!(taken, Ok(AgentEvent::Request { id: 1, .. })));
    let refused = agent.receive(Envelope::new(2, exec()), &mut out);
    assert_eq!(
        refused,
        Ok(AgentEvent::Settled {
            refused: Some(ErrorCode::Busy)
        })
    );
    let answer = only(&mut out);
    assert_eq!(answer.id, 2);
    assert!(matches!(answer.message, Message::Error(reply) if reply.code == ErrorCode::Busy));
    // A ping is still answered.
    assert_eq!(
        agent.receive(Envelope::new(3, ping()), &mut out),
        Ok(AgentEvent::Pinged)
    );
    assert_eq!(only(&mut out).message, pong());
    // After the end of the first request the next one is accepted.
    agent.send(1, exited(), &mut out).expect("sent");
    assert!(matches!(
        agent.receive(Envelope::new(4, exec()), &mut out),
        Ok(AgentEvent::Request { id: 4, .. })
    ));
}

#[test]
fn a_handshake_out_of_order_ends_the_link() {
    let hello_of = |offer: &HostOffer| Message::Hello(offer.hello());
    // The agent waits for a hello.
    for message in [exec(), ping(), exited(), unknown()] {
        let mut out = Vec::new();
        let mut agent = AgentLink::new(agent_offer());
        let t = message.name().to_owned();
        let got = agent
            .receive(Envelope::new(1, message), &mut out)
            .expect_err("too early");
        assert_eq!(got.violation, Violation::BeforeHandshake { t });
        assert!(got.fatal);
        let sent = only(&mut out);
        assert_eq!((sent.id, sent.v), (LINK_ID, HANDSHAKE_VERSION));
        assert!(matches!(sent.message, Message::Error(_)));
        // The link stays broken.
        let hello = Envelope::new(0, hello_of(&HostOffer::default()));
        assert_eq!(agent.receive(hello, &mut out), Err(got));
    }
    // The host waits for an answer.
    for message in [exited(), ping(), unknown(), output(Stream::Stdout, 1)] {
        let mut out = Vec::new();
        let mut host = HostLink::new(HostOffer::default(), &mut out).expect("a good offer");
        assert_eq!(
            host.request(exec(), &mut out),
            Err(SendError::NotReady {
                phase: Phase::Handshake
            })
        );
        let t = message.name().to_owned();
        let id = if message.kind().is_some() { 0 } else { 5 };
        let got = host
            .receive(Envelope::new(id, message), &mut out)
            .expect_err("too early");
        assert_eq!(got.violation, Violation::BeforeHandshake { t });
    }
    // A second `hello` is a violation.
    let mut pair = Pair::new();
    let got = pair
        .deliver_to_agent(0, hello_of(&HostOffer::default()))
        .expect_err("again");
    let (t, phase) = (MessageKind::Hello, Phase::Ready);
    assert_eq!(got.violation, Violation::HandshakeAgain { t, phase });
    assert_eq!(pair.agent.phase(), Phase::Broken);
    // So is a `hello` on another id.
    let mut out = Vec::new();
    let hello = Envelope::new(7, hello_of(&HostOffer::default()));
    let got = AgentLink::new(agent_offer())
        .receive(hello, &mut out)
        .expect_err("wrong id");
    assert_eq!(
        got.violation,
        Violation::WrongId {
            t: MessageKind::Hello,
            id: 7
        }
    );
}

#[test]
fn refuses_a_version_that_was_not_offered() {
    let mut out = Vec::new();
    let offer = HostOffer {
        versions: range(2, 3),
        ..HostOffer::default()
    };
    let mut host = HostLink::new(offer, &mut out).expect("a good offer");
    let ok = HelloOk {
        minor: None,
        ids_max: None,
        guest_os: String::new(),
        stdin_window: None,
        agent_version: String::new(),
        frame_len_max: None,
        agent_features: Features::all(),
        protocol_version: 1,
    };
    let got = host
        .receive(Envelope::new(0, Message::HelloOk(ok)), &mut out)
        .expect_err("1");
    assert_eq!(
        got.violation,
        Violation::VersionNotOffered {
            offered: range(2, 3),
            got: 1
        }
    );
}

// Violations that end the link.

fn check_fatal_for_host(id: u32, message: Message, expected: Violation) {
    let mut pair = Pair::new();
    let open = pair.open(exec());
    let got = pair
        .deliver_to_host(id, message.clone())
        .expect_err("a violation");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: true,
            violation: expected
        }
    );
    let sent = only(&mut pair.from_host);
    assert_eq!(sent.id, LINK_ID);
    assert!(matches!(sent.message, Message::Error(_)), "{sent:?}");
    assert_eq!(pair.host.phase(), Phase::Broken);
    // Every later call returns the same violation, and nothing more is sent.
    assert_eq!(pair.deliver_to_host(open, exited()), Err(got));
    assert_eq!(
        pair.host.request(ping(), &mut pair.from_host),
        Err(SendError::NotReady {
            phase: Phase::Broken
        })
    );
    assert!(pair.from_host.is_empty());
    let lost = OpenRequest {
        id: open,
        request: MessageKind::ExecRequest,
    };
    assert_eq!(pair.host.lost(), [lost]);
    assert_eq!(pair.host.lost(), []);
}

fn check_fatal_for_agent(id: u32, message: Message, expected: Violation) {
    let mut pair = Pair::new();
    let open = pair.open(exec());
    let got = pair.deliver_to_agent(id, message).expect_err("a violation");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: true,
            violation: expected
        }
    );
    let sent = only(&mut pair.from_agent);
    assert_eq!(sent.id, LINK_ID);
    assert!(matches!(sent.message, Message::Error(_)), "{sent:?}");
    assert_eq!(pair.agent.phase(), Phase::Broken);
    assert_eq!(pair.deliver_to_agent(open, input(1, None)), Err(got));
    let lost = OpenRequest {
        id: open,
        request: MessageKind::ExecRequest,
    };
    assert_eq!(pair.agent.lost(), [lost]);
    assert_eq!(pair.agent.lost(), []);
}

#[test]
fn a_message_for_the_other_side_ends_the_link() {
    for (message, t) in [
        (exec(), MessageKind::ExecRequest),
        (input(1, None), MessageKind::StdinData),
        (Message::Cancel(Empty {}), MessageKind::Cancel),
        (read(1), MessageKind::FsRead),
    ] {
        check_fatal_for_host(1, message, Violation::WrongDirection { t });
    }
    for (message, t) in [
        (exited(), MessageKind::ExecResponse),
        (data(1), MessageKind::OpResult),
        (output(Stream::Stderr, 1), MessageKind::ExecOutput),
    ] {
        check_fatal_for_agent(1, message, Violation::WrongDirection { t });
    }
}

#[test]
fn an_unused_id_ends_the_link() {
    let never = |t| Violation::NeverOpened { t };
    check_fatal_for_host(9, exited(), never(MessageKind::ExecResponse));
    check_fatal_for_host(9, output(Stream::Stdout, 1), never(MessageKind::ExecOutput));
    check_fatal_for_host(9, error(ErrorCode::Internal), never(MessageKind::Error));
    check_fatal_for_agent(9, input(1, None), never(MessageKind::StdinData));
    check_fatal_for_agent(9, Message::Cancel(Empty {}), never(MessageKind::Cancel));
    check_fatal_for_agent(9, pong(), never(MessageKind::Pong));
}

#[test]
fn a_request_cannot_have_the_id_of_the_link() {
    let wrong = |t| Violation::WrongId { t, id: 0 };
    check_fatal_for_host(0, exited(), wrong(MessageKind::ExecResponse));
    check_fatal_for_host(0, ping(), wrong(MessageKind::Ping));
    check_fatal_for_agent(0, exec(), wrong(MessageKind::ExecRequest));
    check_fatal_for_agent(0, Message::Cancel(Empty {}), wrong(MessageKind::Cancel));
}

#[test]
fn an_id_that_does_not_rise_ends_the_link() {
    let t = MessageKind::ExecRequest;
    check_fatal_for_agent(1, exec(), Violation::IdNotRising { t, last: 1 });
    check_fatal_for_agent(
        1,
        ping(),
        Violation::IdNotRising {
            t: MessageKind::Ping,
            last: 1,
        },
    );
}

#[test]
fn a_version_that_was_not_agreed_ends_the_link() {
    let mut pair = Pair::new();
    let id = pair.open(exec());
    let envelope = Envelope {
        v: 2,
        id,
        message: exited(),
    };
    let got = pair
        .host
        .receive(envelope, &mut pair.from_host)
        .expect_err("another version");
    assert_eq!(
        got.violation,
        Violation::VersionNotAgreed { agreed: 1, got: 2 }
    );
    let reply = got.reply();
    assert_eq!(reply.code, ErrorCode::UnsupportedVersion);
    assert_eq!(reply.supported, Some(range(1, 1)));
}

#[test]
fn nothing_follows_a_terminal_message() {
    for second in [
        exited(),
        output(Stream::Stdout, 1),
        error(ErrorCode::Internal),
    ] {
        let mut pair = Pair::new();
        let id = pair.open(exec());
        pair.agent
            .send(id, exited(), &mut pair.from_agent)
            .expect("sent");
        assert!(matches!(pair.host_event(), Ok(HostEvent::Ended { .. })));
        // The agent's link refuses to send it.
        let t = second.kind().expect("known");
        let violation = Violation::AfterEnd { t };
        assert_eq!(
            pair.agent.send(id, second.clone(), &mut pair.from_agent),
            Err(SendError::Rule {
                id,
                violation: violation.clone()
            })
        );
        assert!(pair.from_agent.is_empty());
        // The host refuses it.
        let got = pair.deliver_to_host(id, second).expect_err("after the end");
        assert_eq!(
            got,
            LinkViolation {
                id,
                fatal: true,
                violation
            }
        );
        assert_eq!(pair.host.lost(), []);
    }
}

// Violations that abort one request.

/// Checks that `message` aborts one request at the host and leaves the other one open.
fn check_one_request(request: Message, message: Message, expected: Violation) {
    let mut pair = Pair::new();
    let other = pair.open(exec());
    let id = pair.open(request);
    // The agent's link refuses to send it.
    assert_eq!(
        pair.agent.send(id, message.clone(), &mut pair.from_agent),
        Err(SendError::Rule {
            id,
            violation: expected.clone()
        })
    );
    assert!(pair.from_agent.is_empty());
    let terminal = message
        .kind()
        .is_some_and(|kind| kind.role() == MessageRole::Terminal);
    let got = pair.deliver_to_host(id, message).expect_err("a violation");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: false,
            violation: expected
        }
    );
    assert_eq!(pair.host.phase(), Phase::Ready);
    let open: Vec<_> = pair.host.open_requests().map(|open| open.id).collect();
    assert_eq!(open, [other]);
    if terminal {
        // The guest has ended the request, so no `cancel` is sent.
        assert!(pair.from_host.is_empty());
    } else {
        let sent = only(&mut pair.from_host);
        assert_eq!((sent.id, sent.message), (id, Message::Cancel(Empty {})));
        // Later messages are ignored, up to and including the terminal message.
        assert_eq!(
            pair.deliver_to_host(id, output(Stream::Stdout, 1)),
            Ok(HostEvent::Ignored)
        );
        assert_eq!(pair.deliver_to_host(id, exited()), Ok(HostEvent::Ignored));
        assert_eq!(pair.host.ignored_count(), 2);
    }
    assert!(matches!(
        pair.deliver_to_host(other, exited()),
        Ok(HostEvent::Ended {
            terminal: Terminal::Exec(_),
            ..
        })
    ));
    assert_eq!(pair.host.lost(), []);
}

#[test]
fn output_above_its_credit_aborts_the_command() {
    let (stream, credit) = (StdStream::Stdout, 10);
    let exceeded = Violation::CreditExceeded {
        stream,
        credit,
        got: 11,
    };
    check_one_request(cat(10), output(Stream::Stdout, 11), exceeded);

    // The credit is used in parts, refilled, and used again. The other stream has no flow control.
    let mut pair = Pair::new();
    let id = pair.open(cat(10));
    for len in [4, 6] {
        pair.agent
            .send(id, output(Stream::Stdout, len), &mut pair.from_agent)
            .expect("credit");
        assert!(matches!(pair.host_event(), Ok(HostEvent::Output { .. })));
    }
    assert_eq!(
        pair.agent.output_credit(id, Stream::Stdout),
        Some(Credit::Bytes(0))
    );
    assert!(
        pair.agent
            .send_output(id, Stream::Stdout, b"x", &mut pair.from_agent)
            .is_err()
    );
    assert_eq!(
        pair.agent.output_credit(id, Stream::Stderr),
        Some(Credit::Unlimited)
    );
    pair.agent
        .send_output(id, Stream::Stderr, &[0; 100], &mut pair.from_agent)
        .expect("no bound");
    assert!(matches!(pair.host_event(), Ok(HostEvent::Output { .. })));
    let grant = Message::ExecWindow(ExecWindow {
        credit: some(5),
        stream: Stream::Stdout,
    });
    pair.host
        .send(id, grant, &mut pair.from_host)
        .expect("sent");
    let credit = Credit::Bytes(5);
    let follow_up = FollowUp::Credit {
        stream: Stream::Stdout,
        granted: 5,
        credit,
    };
    assert_eq!(
        pair.agent_event(),
        Ok(AgentEvent::FollowUp { id, follow_up })
    );
    assert_eq!(pair.host.output_credit(id, Stream::Stdout), Some(credit));
    pair.agent
        .send_output(id, Stream::Stdout, b"12345", &mut pair.from_agent)
        .expect("credit");
    assert!(matches!(pair.host_event(), Ok(HostEvent::Output { .. })));
}

#[test]
fn a_wrong_answer_aborts_the_request() {
    let wrong = |request, t| Violation::WrongAnswer { request, t };
    let (execs, reads) = (MessageKind::ExecRequest, MessageKind::FsRead);
    check_one_request(exec(), data(1), wrong(execs, MessageKind::OpResult));
    check_one_request(exec(), pong(), wrong(execs, MessageKind::Pong));
    check_one_request(read(1), exited(), wrong(reads, MessageKind::ExecResponse));
    let written = OpResult::Ok(OpValue::FsWrite(Written { written: 0 }));
    let wrong = Violation::WrongOp {
        request: reads,
        op: Op::FsWrite,
    };
    check_one_request(read(1), Message::OpResult(written), wrong);
    let error = OpError {
        code: OpErrorCode::Io,
        errno: None,
        message: String::new(),
    };
    let failed = OpResult::Err {
        op: Op::FsStat,
        error,
    };
    let wrong = Violation::WrongOp {
        request: reads,
        op: Op::FsStat,
    };
    check_one_request(read(1), Message::OpResult(failed), wrong);
}

#[test]
fn a_follow_up_of_another_type_of_request_aborts_the_request() {
    let request = MessageKind::FsRead;
    let wrong = |t| Violation::WrongRequest { request, t };
    let output = output(Stream::Stdout, 1);
    check_one_request(read(1), output, wrong(MessageKind::ExecOutput));
    let window = Message::StdinWindow(StdinWindow { credit: some(1) });
    check_one_request(read(1), window, wrong(MessageKind::StdinWindow));
}

#[test]
fn a_result_above_the_bound_of_the_request_aborts_it() {
    check_one_request(read(3), data(4), Violation::ReadTooLong { max: 3, got: 4 });
    let write = Message::FsWrite(FsWrite {
        data: vec![0; 3],
        handle: 1,
        offset: None,
    });
    let written = Message::OpResult(OpResult::Ok(OpValue::FsWrite(Written { written: 4 })));
    check_one_request(write, written, Violation::WrittenTooLong { max: 3, got: 4 });
    let bufs = vec![vec![0; 3]];
    let call = Message::Syscall(Syscall {
        nr: 1,
        args: Vec::new(),
        bufs,
    });
    let result = SyscallResult {
        ret: 0,
        errno: 0,
        out_bufs: OutBufs(Vec::new()),
    };
    let result = Message::OpResult(OpResult::Ok(OpValue::Syscall(result)));
    check_one_request(
        call,
        result,
        Violation::BufferCount {
            expected: 1,
            got: 0,
        },
    );
}

#[test]
fn an_unsorted_listing_aborts_the_request() {
    let list = |after: Option<&str>, limit| {
        let after = after.map(str::to_owned);
        Message::FsList(FsList {
            path: "/".to_owned(),
            after,
            limit,
        })
    };
    let page = |names: &[&str]| {
        let entry = |name: &&str| {
            let name = (*name).to_owned();
            Entry {
                kind: FileKind::File,
                name,
                size: None,
            }
        };
        let entries = names.iter().map(entry).collect();
        let listing = Listing {
            more: false,
            entries,
            unlisted: None,
        };
        Message::OpResult(OpResult::Ok(OpValue::FsList(listing)))
    };
    let unsorted = |index| Violation::ListUnsorted { index };
    check_one_request(list(None, None), page(&["b", "a"]), unsorted(1));
    check_one_request(list(None, None), page(&["a", "a"]), unsorted(1));
    check_one_request(list(Some("b"), None), page(&["b", "c"]), unsorted(0));
    let long = Violation::ListTooLong { max: 1, got: 2 };
    check_one_request(list(None, Some(some(1))), page(&["a", "b"]), long);
    let mut pair = Pair::new();
    let id = pair.open(list(Some("a"), Some(some(2))));
    pair.agent
        .send(id, page(&["b", "é"]), &mut pair.from_agent)
        .expect("in order");
    assert!(matches!(pair.host_event(), Ok(HostEvent::Ended { .. })));
}

#[test]
fn too_much_credit_aborts_the_command() {
    let window = AgentOffer {
        stdin_window: Some(u32::MAX),
        ..agent_offer()
    };
    let mut pair = Pair::with(HostOffer::default(), window);
    let id = pair.open(cat(1));
    let grant = Message::StdinWindow(StdinWindow { credit: some(1) });
    let (stream, credit) = (StdStream::Stdin, WINDOW_MAX);
    let violation = Violation::CreditOverflow {
        stream,
        credit,
        granted: 1,
    };
    let refused = pair.agent.send(id, grant.clone(), &mut pair.from_agent);
    assert_eq!(
        refused,
        Err(SendError::Rule {
            id,
            violation: violation.clone()
        })
    );
    let got = pair.deliver_to_host(id, grant).expect_err("too much");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: false,
            violation
        }
    );
}

/// Checks that `message` aborts one request at the agent and leaves the other one open.
fn check_one_request_of_host(request: Message, message: Message, expected: Violation) {
    let mut pair = Pair::with(
        HostOffer::default(),
        AgentOffer {
            stdin_window: Some(10),
            ..agent_offer()
        },
    );
    let other = pair.open(exec());
    let id = pair.open(request);
    assert_eq!(
        pair.host.send(id, message.clone(), &mut pair.from_host),
        Err(SendError::Rule {
            id,
            violation: expected.clone()
        })
    );
    assert!(pair.from_host.is_empty());
    let got = pair.deliver_to_agent(id, message).expect_err("a violation");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: false,
            violation: expected
        }
    );
    // The agent must still send the terminal message, and ignores later messages for the request.
    let none = AgentEvent::Settled { refused: None };
    assert_eq!(
        pair.deliver_to_agent(id, Message::Cancel(Empty {})),
        Ok(none)
    );
    let open: Vec<_> = pair.agent.open_requests().map(|open| open.id).collect();
    assert_eq!(open, [other]);
    pair.agent
        .send(id, Message::Error(got.reply()), &mut pair.from_agent)
        .expect("sent");
    assert!(matches!(
        pair.host_event(),
        Ok(HostEvent::Ended { terminal: Terminal::Error(reply), .. })
            if reply.code == ErrorCode::InvalidRequest
    ));
    let cancel = pair.deliver_to_agent(other, Message::Cancel(Empty {}));
    let follow_up = FollowUp::Cancel;
    assert_eq!(
        cancel,
        Ok(AgentEvent::FollowUp {
            id: other,
            follow_up
        })
    );
}

#[test]
fn input_without_standard_input_aborts_the_command() {
    check_one_request_of_host(exec(), input(1, None), Violation::NoStdin);
    let (stream, credit) = (StdStream::Stdin, 10);
    let exceeded = Violation::CreditExceeded {
        stream,
        credit,
        got: 11,
    };
    check_one_request_of_host(cat(1), input(11, None), exceeded);
    let request = MessageKind::FsRead;
    let signal = Message::Signal(Signal { signo: Signo::INT });
    let wrong = |t| Violation::WrongRequest { request, t };
    check_one_request_of_host(read(1), signal, wrong(MessageKind::Signal));
    check_one_request_of_host(read(1), input(1, None), wrong(MessageKind::StdinData));
    let window = Message::ExecWindow(ExecWindow {
        credit: some(1),
        stream: Stream::Stdout,
    });
    check_one_request_of_host(read(1), window, wrong(MessageKind::ExecWindow));
}

#[test]
fn input_after_its_end_aborts_the_command() {
    let mut pair = Pair::new();
    let id = pair.open(cat(1));
    pair.host
        .send_stdin(id, b"ab", true, &mut pair.from_host)
        .expect("credit");
    let follow_up = FollowUp::Stdin {
        data: b"ab".to_vec(),
        eof: true,
    };
    assert_eq!(
        pair.agent_event(),
        Ok(AgentEvent::FollowUp { id, follow_up })
    );
    let again = pair.host.send_stdin(id, b"", false, &mut pair.from_host);
    assert_eq!(
        again,
        Err(SendError::Rule {
            id,
            violation: Violation::AfterEof
        })
    );
    let got = pair
        .deliver_to_agent(id, input(0, Some(true)))
        .expect_err("after the end");
    assert_eq!(
        got,
        LinkViolation {
            id,
            fatal: false,
            violation: Violation::AfterEof
        }
    );
}

#[test]
fn a_wrong_payload_aborts_only_its_request() {
    let fault = |id, t| {
        let payload = antiphon_codec::Item::Map(Vec::new());
        let fault = Message::from_payload(t, payload).expect_err("fields are missing");
        FrameError::Payload { id, t, fault }
    };
    // At the host: a wrong output. Its command is aborted, another one is not.
    let mut pair = Pair::new();
    let (one, two) = (pair.open(exec()), pair.open(exec()));
    let got = pair
        .host
        .reject(fault(one, MessageKind::ExecOutput), &mut pair.from_host)
        .expect_err("no output");
    assert!(!got.fatal);
    assert_eq!(only(&mut pair.from_host).message, Message::Cancel(Empty {}));
    // The violation is reported once. Later messages on the id are ignored.
    let again = fault(one, MessageKind::ExecOutput);
    let ignored = Ok(HostEvent::Ignored);
    assert_eq!(pair.host.reject(again, &mut pair.from_host), ignored);
    assert_eq!(pair.deliver_to_host(one, exited()), ignored);
    // A wrong terminal message: the guest has ended the request, so no `cancel` is sent.
    let got = pair
        .host
        .reject(fault(two, MessageKind::ExecResponse), &mut pair.from_host)
        .expect_err("no response");
    assert!(!got.fatal);
    assert!(pair.from_host.is_empty());
    assert_eq!(pair.host.lost(), []);
    // An unused id and a malformed frame end the link.
    for error in [
        fault(77, MessageKind::ExecOutput),
        FrameError::TooLong {
            len: u32::MAX,
            max: 1,
        },
        FrameError::Cut { held: 1, needed: 4 },
    ] {
        let mut pair = Pair::new();
        let id = pair.open(exec());
        let got = pair.host.reject(error.clone(), &mut pair.from_host);
        let got = got.expect_err("a fault");
        assert!(got.fatal, "{got}");
        assert_eq!(got.violation, Violation::Frame(Box::new(error)));
        assert_eq!(
            pair.host
                .reject(FrameError::Cut { held: 2, needed: 4 }, &mut Vec::new()),
            Err(got)
        );
        assert_eq!(
            pair.host
                .lost()
                .iter()
                .map(|open| open.id)
                .collect::<Vec<_>>(),
            [id]
        );
    }
}

#[test]
fn refuses_an_invalid_request_on_its_id() {
    let mut pair = Pair::new();
    let fault = |id, t| {
        let payload = antiphon_codec::Item::Map(Vec::new());
        let fault = Message::from_payload(t, payload).expect_err("fields are missing");
        FrameError::Payload { id, t, fault }
    };
    let refused = |code| {
        Ok(AgentEvent::Settled {
            refused: Some(code),
        })
    };
    let got = pair
        .agent
        .reject(fault(4, MessageKind::ExecRequest), &mut pair.from_agent);
    assert_eq!(got, refused(ErrorCode::InvalidRequest));
    assert_eq!(only(&mut pair.from_agent).id, 4);
    let other = FrameError::Version {
        id: 5,
        got: 2,
        supported: range(1, 1),
    };
    let got = pair.agent.reject(other, &mut pair.from_agent);
    assert_eq!(got, refused(ErrorCode::UnsupportedVersion));
    match only(&mut pair.from_agent).message {
        Message::Error(reply) => assert_eq!(reply.supported, Some(range(1, 1))),
        other => panic!("{other:?}"),
    }
    // The ids count as used.
    let t = MessageKind::ExecRequest;
    let got = pair
        .agent
        .reject(fault(4, t), &mut pair.from_agent)
        .expect_err("again");
    assert!(got.fatal);
    // Before the handshake every error ends the link.
    let mut out = Vec::new();
    let mut agent = AgentLink::new(agent_offer());
    let other = FrameError::Version {
        id: 0,
        got: 2,
        supported: range(1, 1),
    };
    assert!(
        agent
            .reject(other, &mut out)
            .expect_err("no handshake")
            .fatal
    );
    let sent = only(&mut out);
    assert_eq!(sent.v, HANDSHAKE_VERSION);
    match sent.message {
        Message::Error(reply) => assert_eq!(reply.supported, Some(range(1, 1))),
        other => panic!("{other:?}"),
    }
}

// Messages that are not violations.

#[test]
fn ignores_follow_ups_that_cross_the_end_of_a_request() {
    let mut pair = Pair::new();
    let id = pair.open(cat(10));
    pair.host
        .send_stdin(id, b"late", false, &mut pair.from_host)
        .expect("credit");
    let late = only(&mut pair.from_host);
    pair.agent
        .send(id, exited(), &mut pair.from_agent)
        .expect("sent");
    let got = pair.agent.receive(late, &mut pair.from_agent);
    assert_eq!(got, Ok(AgentEvent::Settled { refused: None }));
    assert_eq!(pair.agent.ignored_count(), 1);
    assert!(matches!(pair.host_event(), Ok(HostEvent::Ended { .. })));
}

#[test]
fn refuses_unknown_types_on_new_ids_and_ignores_others() {
    let mut pair = Pair::new();
    let id = pair.open(exec());
    for ignored in [id, LINK_ID] {
        let got = pair.deliver_to_agent(ignored, unknown());
        assert_eq!(got, Ok(AgentEvent::Settled { refused: None }));
        assert!(pair.from_agent.is_empty());
    }
    let got = pair.deliver_to_agent(id + 1, unknown());
    assert_eq!(
        got,
        Ok(AgentEvent::Settled {
            refused: Some(ErrorCode::Unsupported)
        })
    );
    let answer = only(&mut pair.from_agent);
    assert_eq!(answer.id, id + 1);
    assert!(
        matches!(&answer.message, Message::Error(reply) if reply.code == ErrorCode::Unsupported)
    );
    assert_eq!(pair.agent.ignored_count(), 2);
    assert_eq!(pair.deliver_to_host(id, unknown()), Ok(HostEvent::Ignored));
    assert_eq!(pair.deliver_to_host(99, unknown()), Ok(HostEvent::Ignored));
    assert_eq!(pair.host.ignored_count(), 2);
    assert_eq!(
        (pair.host.phase(), pair.agent.phase()),
        (Phase::Ready, Phase::Ready)
    );
}

#[test]
fn a_feature_that_was_not_agreed_is_refused_on_both_sides() {
    let mut pair = Pair::with(
        HostOffer::default(),
        AgentOffer {
            features: Features::of([Feature::Exec]),
            ..agent_offer()
        },
    );
    let refused = pair.host.request(read(1), &mut pair.from_host);
    assert_eq!(
        refused,
        Err(SendError::NotAgreed {
            feature: Feature::Files
        })
    );
    assert!(pair.from_host.is_empty());
    let got = pair.deliver_to_agent(1, read(1));
    assert_eq!(
        got,
        Ok(AgentEvent::Settled {
            refused: Some(ErrorCode::Unsupported)
        })
    );
}

#[test]
fn each_method_sends_only_its_own_messages() {
    let mut pair = Pair::new();
    let id = pair.open(cat(1));
    for message in [
        exited(),
        input(1, None),
        Message::Cancel(Empty {}),
        unknown(),
    ] {
        let t = message.name().to_owned();
        let refused = pair.host.request(message, &mut pair.from_host);
        assert_eq!(refused, Err(SendError::WrongMessage { t }));
    }
    for message in [
        exec(),
        exited(),
        output(Stream::Stdout, 1),
        pong(),
        unknown(),
    ] {
        let t = message.name().to_owned();
        let refused = pair.host.send(id, message, &mut pair.from_host);
        assert_eq!(refused, Err(SendError::WrongMessage { t }));
    }
    for message in [
        exec(),
        input(1, None),
        ping(),
        unknown(),
        Message::Cancel(Empty {}),
    ] {
        let t = message.name().to_owned();
        let refused = pair.agent.send(id, message, &mut pair.from_agent);
        assert_eq!(refused, Err(SendError::WrongMessage { t }));
    }
    assert!(pair.from_host.is_empty() && pair.from_agent.is_empty());
}

#[test]
fn the_host_keeps_the_agreed_number_of_requests_and_pings() {
    let offer = HostOffer {
        ids_max: some(2),
        ..HostOffer::default()
    };
    let mut pair = Pair::with(offer, agent_offer());
    let one = pair.open(exec());
    pair.open(exec());
    let busy = SendError::Busy { open: 2, max: 2 };
    assert_eq!(pair.host.request(exec(), &mut pair.from_host), Err(busy));
    for _ in 0..PINGS_MAX {
        pair.host
            .request(ping(), &mut pair.from_host)
            .expect("a ping");
    }
    let busy = SendError::Busy {
        open: PINGS_MAX,
        max: PINGS_MAX,
    };
    assert_eq!(
        pair.host.request(ping(), &mut pair.from_host),
        Err(busy.clone())
    );
    messages(&mut pair.from_host);
    assert!(matches!(
        pair.deliver_to_host(one, exited()),
        Ok(HostEvent::Ended { .. })
    ));
    pair.host
        .request(exec(), &mut pair.from_host)
        .expect("one has ended");

    for _ in 0..PINGS_MAX {
        pair.agent.ping(&mut pair.from_agent).expect("a ping");
    }
    assert_eq!(pair.agent.ping(&mut pair.from_agent), Err(busy));
}

#[test]
fn each_side_answers_the_pings_of_the_other() {
    let mut pair = Pair::new();
    let id = pair.open(ping());
    let request = MessageKind::Ping;
    let ended = HostEvent::Ended {
        id,
        request,
        terminal: Terminal::Pong,
    };
    assert_eq!(pair.host_event(), Ok(ended));
    let id = pair.agent.ping(&mut pair.from_agent).expect("a ping");
    assert_eq!(pair.host_event(), Ok(HostEvent::Pinged));
    assert_eq!(pair.agent_event(), Ok(AgentEvent::Ponged { id }));
    // A ping cannot be cancelled.
    let id = pair
        .host
        .request(ping(), &mut pair.from_host)
        .expect("a ping");
    let refused = pair
        .host
        .send(id, Message::Cancel(Empty {}), &mut pair.from_host);
    let t = MessageKind::Cancel;
    let violation = Violation::WrongRequest { request, t };
    assert_eq!(refused, Err(SendError::Rule { id, violation }));
}

#[test]
fn either_side_can_close_the_link_with_a_reason() {
    let reply = || ErrorReply::new(ErrorCode::ShuttingDown, "going away");
    let mut pair = Pair::new();
    let id = pair.open(exec());
    pair.agent.close(reply(), &mut pair.from_agent);
    assert_eq!(pair.host_event(), Ok(HostEvent::Closing(reply())));
    assert_eq!(
        (pair.host.phase(), pair.agent.phase()),
        (Phase::Closed, Phase::Closed)
    );
    let lost = OpenRequest {
        id,
        request: MessageKind::ExecRequest,
    };
    assert_eq!(
        (pair.host.lost(), pair.agent.lost()),
        (vec![lost], vec![lost])
    );
    let got = pair.deliver_to_host(id, exited()).expect_err("closed");
    let (t, phase) = ("exec_response".to_owned(), Phase::Closed);
    assert_eq!(got.violation, Violation::AfterLink { t, phase });

    let mut pair = Pair::new();
    let id = pair.open(exec());
    pair.host.close(reply(), &mut pair.from_host);
    assert_eq!(pair.agent_event(), Ok(AgentEvent::Closing(reply())));
    assert_eq!(
        pair.agent
            .lost()
            .iter()
            .map(|open| open.id)
            .collect::<Vec<_>>(),
        [id]
    );
    let got = pair
        .deliver_to_agent(id, input(1, None))
        .expect_err("closed");
    let (t, phase) = ("stdin_data".to_owned(), Phase::Closed);
    assert_eq!(got.violation, Violation::AfterLink { t, phase });
}

#[test]
fn truncates_long_reasons() {
    let mut pair = Pair::new();
    let reply = ErrorReply::new(ErrorCode::Internal, "é".repeat(1 << 20));
    pair.agent.close(reply, &mut pair.from_agent);
    assert!(pair.from_agent.len() < usize::try_from(FRAME_LEN_MIN).expect("small"));
    assert!(matches!(pair.host_event(), Ok(HostEvent::Closing(_))));
}

#[test]
fn a_frame_above_the_peers_bound_is_refused_without_effect() {
    let least = FrameLen::new(FRAME_LEN_MIN).expect("the least");
    let mut pair = Pair::with(
        HostOffer {
            frame_len_max: least,
            ..HostOffer::default()
        },
        AgentOffer {
            frame_len_max: least,
            ..agent_offer()
        },
    );
    let long = ExecRequest::new("x".repeat(5000));
    let refused = pair
        .host
        .request(Message::ExecRequest(long), &mut pair.from_host);
    assert!(
        matches!(refused, Err(SendError::Encode(EncodeError::TooLong { .. }))),
        "{refused:?}"
    );
    let id = pair.open(cat(10_000));
    assert_eq!(id, 1, "the refused request used no id");
    let refused = pair
        .host
        .send_stdin(id, &[0; 5000], true, &mut pair.from_host);
    assert!(matches!(refused, Err(SendError::Encode(_))));
    let refused = pair
        .agent
        .send_output(id, Stream::Stdout, &[0; 5000], &mut pair.from_agent);
    assert!(matches!(refused, Err(SendError::Encode(_))));
    assert_eq!(
        pair.agent.output_credit(id, Stream::Stdout),
        Some(Credit::Bytes(10_000))
    );
    assert_eq!(
        pair.host.stdin_credit(id),
        Some(Credit::Bytes(u64::from(WINDOW)))
    );
    pair.host
        .send_stdin(id, &[0; 100], false, &mut pair.from_host)
        .expect("still open");
}
