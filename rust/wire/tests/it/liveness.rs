//! Every id has exactly one end: with correct peers, with a transport that is lost at any byte, and
//! with a guest or a host that sends arbitrary bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use crate::common::samples;
use antiphon_wire::*;
use proptest::prelude::*;

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

/// A byte pipe with the deframer of its receiver.
#[derive(Clone, Default)]
struct Pipe {
    bytes: Vec<u8>,
    deframer: Deframer,
}

impl Pipe {
    /// Delivers at most `len` bytes and returns the complete messages.
    fn deliver(&mut self, len: usize) -> Vec<Envelope> {
        let rest = self.bytes.split_off(len.min(self.bytes.len()));
        self.deframer
            .push(&std::mem::replace(&mut self.bytes, rest));
        let mut got = Vec::new();
        while let Some(envelope) = self.deframer.next().expect("peers write good frames") {
            got.push(envelope);
        }
        got
    }
}

/// Both sides, the bytes between them, and the counts of an observer.
#[derive(Clone)]
struct World {
    host: HostLink,
    agent: AgentLink,
    to_agent: Pipe,
    to_host: Pipe,
    opened: BTreeMap<u32, MessageKind>,
    ended: BTreeSet<u32>,
    /// The requests that the agent has not ended.
    unanswered: BTreeMap<u32, HostRequest>,
    sent_len: BTreeMap<u32, usize>,
    got_len: BTreeMap<u32, usize>,
}

impl World {
    fn new(ids_max: u32, stdin_window: Option<u32>) -> Self {
        let (mut to_agent, mut to_host) = (Pipe::default(), Pipe::default());
        let offer = HostOffer {
            ids_max: some(ids_max),
            ..HostOffer::default()
        };
        let mut host = HostLink::new(offer, &mut to_agent.bytes).expect("a good offer");
        let offer = AgentOffer::new(Features::all(), "linux".to_owned(), "0.1.0".to_owned());
        let mut agent = AgentLink::new(AgentOffer {
            stdin_window,
            ..offer
        });
        for envelope in to_agent.deliver(usize::MAX) {
            let got = agent.receive(envelope, &mut to_host.bytes);
            assert!(matches!(got, Ok(AgentEvent::Ready(_))));
        }
        for envelope in to_host.deliver(usize::MAX) {
            let got = host.receive(envelope, &mut to_agent.bytes);
            assert!(matches!(got, Ok(HostEvent::Ready(_))));
        }
        Self {
            host,
            agent,
            to_agent,
            to_host,
            opened: BTreeMap::new(),
            ended: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            sent_len: BTreeMap::new(),
            got_len: BTreeMap::new(),
        }
    }

    fn request(&mut self, message: Message) {
        let kind = message.kind().expect("known");
        match self.host.request(message, &mut self.to_agent.bytes) {
            Ok(id) => assert_eq!(self.opened.insert(id, kind), None, "an id twice"),
            Err(SendError::Busy { open, max }) => assert_eq!(open, max),
            Err(other) => panic!("{other}"),
        }
    }

    fn end(&mut self, id: u32) {
        assert!(self.opened.contains_key(&id), "{id} ended and was not open");
        assert!(self.ended.insert(id), "{id} ended twice");
    }

    fn deliver_to_agent(&mut self, len: usize) {
        for envelope in self.to_agent.deliver(len) {
            let got = self.agent.receive(envelope, &mut self.to_host.bytes);
            match got.expect("the host keeps the rules") {
                AgentEvent::Request { id, request } => {
                    assert!(self.unanswered.insert(id, request).is_none());
                }
                AgentEvent::FollowUp { id, .. } => assert!(self.unanswered.contains_key(&id)),
                AgentEvent::Pinged | AgentEvent::Ponged { .. } => {}
                AgentEvent::Settled { refused } => assert_eq!(refused, None),
                other => panic!("{other:?}"),
            }
        }
    }

    fn deliver_to_host(&mut self, len: usize) {
        for envelope in self.to_host.deliver(len) {
            let got = self.host.receive(envelope, &mut self.to_agent.bytes);
            match got.expect("the agent keeps the rules") {
                HostEvent::Output { id, data, .. } => {
                    assert!(!self.ended.contains(&id), "output after the end");
                    *self.got_len.entry(id).or_default() += data.len();
                }
                HostEvent::Ended { id, request, .. } => {
                    assert_eq!(self.opened.get(&id), Some(&request));
                    self.end(id);
                }
                HostEvent::StdinCredit { .. } | HostEvent::Pinged => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// One of the ids.
    fn pick(ids: impl Iterator<Item = u32>, pick: usize) -> Option<u32> {
        let ids: Vec<_> = ids.collect();
        ids.get(pick % ids.len().max(1)).copied()
    }

    fn act(&mut self, action: Action) {
        let Action { what, pick, len } = action;
        let open = Self::pick(self.host.open_requests().map(|open| open.id), pick);
        let unanswered = Self::pick(self.unanswered.keys().copied(), pick);
        let short = u32::try_from(len).expect("short");
        match what {
            0 => self.request(Message::ExecRequest(ExecRequest {
                stdin: Some(true),
                stdout_window: Some(short),
                ..ExecRequest::new("cat".to_owned())
            })),
            1 => self.request(Message::FsRead(FsRead {
                len: short,
                handle: 1,
                offset: None,
            })),
            2 => self.request(Message::Ping(Empty {})),
            3 => self.deliver_to_agent(len),
            4 => self.deliver_to_host(len),
            5 => {
                if let Some((id, credit)) =
                    open.and_then(|id| Some((id, self.host.stdin_credit(id)?)))
                {
                    let data = vec![1; credit.cap(len)];
                    // Refused after the end of input; then nothing is written.
                    let _ = self
                        .host
                        .send_stdin(id, &data, len == 7, &mut self.to_agent.bytes);
                }
            }
            6 => {
                let grant = ExecWindow {
                    credit: some(short + 1),
                    stream: Stream::Stdout,
                };
                self.follow(open, Message::ExecWindow(grant));
            }
            7 => self.follow(open, Message::Signal(Signal { signo: Signo::INT })),
            8 => self.follow(open, Message::Cancel(Empty {})),
            9 => {
                let unanswered = unanswered
                    .and_then(|id| Some((id, self.agent.output_credit(id, Stream::Stdout)?)));
                if let Some((id, credit)) = unanswered {
                    let data = vec![2; credit.cap(len)];
                    self.agent
                        .send_output(id, Stream::Stdout, &data, &mut self.to_host.bytes)
                        .expect("there is credit");
                    *self.sent_len.entry(id).or_default() += data.len();
                }
            }
            10 => {
                if let Some(id) = unanswered.filter(|id| self.agent.stdin_credit(*id).is_some()) {
                    let grant = Message::StdinWindow(StdinWindow {
                        credit: some(short + 1),
                    });
                    self.agent
                        .send(id, grant, &mut self.to_host.bytes)
                        .expect("in range");
                }
            }
            11 => {
                let _ = self.agent.ping(&mut self.to_host.bytes);
            }
            _ => {
                if let Some(id) = unanswered {
                    self.finish(id, what);
                }
            }
        }
    }

    fn follow(&mut self, open: Option<u32>, message: Message) {
        if let Some(id) = open {
            // Refused for another type of request; then nothing is written.
            let before = self.to_agent.bytes.len();
            if self
                .host
                .send(id, message, &mut self.to_agent.bytes)
                .is_err()
            {
                assert_eq!(self.to_agent.bytes.len(), before);
            }
        }
    }

    fn finish(&mut self, id: u32, how: u8) {
        let message = match self.unanswered.remove(&id) {
            Some(HostRequest::ExecRequest(_)) if how == 12 => Message::ExecResponse(ExecResponse {
                signal: None,
                exit_code: 0,
                timed_out: None,
            }),
            Some(HostRequest::FsRead(read)) if how == 12 => {
                let data = vec![3; usize::try_from(read.len).expect("short")];
                Message::OpResult(OpResult::Ok(OpValue::FsRead(FileData { eof: false, data })))
            }
            Some(_) => Message::Error(ErrorReply::new(ErrorCode::Cancelled, "the reason")),
            None => return,
        };
        self.agent
            .send(id, message, &mut self.to_host.bytes)
            .expect("the request is open");
    }

    /// Both sides have the same credit when no bytes are between them.
    fn check_credit(&self) {
        for open in self.host.open_requests() {
            for stream in Stream::ALL {
                let (host, agent) = (&self.host, &self.agent);
                assert_eq!(
                    host.output_credit(open.id, *stream),
                    agent.output_credit(open.id, *stream)
                );
            }
            assert_eq!(
                self.host.stdin_credit(open.id),
                self.agent.stdin_credit(open.id)
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Action {
    what: u8,
    pick: usize,
    len: usize,
}

fn action() -> impl Strategy<Value = Action> {
    (0..14_u8, any::<usize>(), 0..200_usize).prop_map(|(what, pick, len)| Action {
        what,
        pick,
        len,
    })
}

proptest! {
    /// Correct peers never report a violation, and each id has one end, whenever the transport is
    /// lost.
    #[test]
    fn every_id_has_exactly_one_end(
        actions in prop::collection::vec(action(), 0..120),
        ids_max in 1..4_u32,
        window in prop::option::of(0..300_u32),
        lose in any::<bool>(),
    ) {
        let mut world = World::new(ids_max, window);
        for action in actions {
            world.act(action);
        }
        if !lose {
            // All bytes arrive, and the agent ends its requests.
            for _ in 0..3 {
                world.deliver_to_agent(usize::MAX);
                world.deliver_to_host(usize::MAX);
            }
            world.check_credit();
            for id in world.unanswered.keys().copied().collect::<Vec<_>>() {
                world.finish(id, 12);
            }
            world.deliver_to_host(usize::MAX);
            prop_assert_eq!(world.to_host.deframer.finish(), Ok(()));
            prop_assert_eq!(&world.got_len, &world.sent_len);
            prop_assert_eq!(world.host.open_requests().count(), 0);
            prop_assert_eq!(world.agent.open_requests().count(), 0);
        }
        for lost in world.host.lost() {
            prop_assert_eq!(world.opened.get(&lost.id), Some(&lost.request));
            world.end(lost.id);
        }
        prop_assert_eq!(world.host.lost(), vec![]);
        let opened: BTreeSet<_> = world.opened.keys().copied().collect();
        prop_assert_eq!(world.ended, opened);
        let still: Vec<_> = world.agent.lost().iter().map(|open| open.id).collect();
        prop_assert_eq!(still, world.unanswered.into_keys().collect::<Vec<_>>());
    }
}

// Arbitrary bytes.

/// Numbers from a seed (splitmix64): the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).expect("small")).expect("small")
    }
}

/// A stream of good, changed and random frames, on ids that may be open.
fn stream(dice: &mut Dice, good: &[Envelope]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=dice.below(4) {
        let mut envelope = good[dice.below(good.len())].clone();
        envelope.id = u32::try_from(dice.below(6)).expect("small");
        if dice.below(30) == 0 {
            envelope.v = 2;
        }
        let start = bytes.len();
        envelope
            .encode(&mut bytes, FrameLen::DEFAULT)
            .expect("a sample");
        match dice.below(8) {
            // Another byte in the body.
            0 => {
                let at = start + HEADER_LEN + dice.below(bytes.len() - start - HEADER_LEN);
                bytes[at] ^= u8::try_from(1 + dice.below(255)).expect("a byte");
            }
            // Another length.
            1 => bytes[start + 3] = bytes[start + 3].wrapping_add(1),
            // Cut off.
            2 => bytes.truncate(start + dice.below(bytes.len() - start)),
            // Followed by random bytes.
            3 => {
                let noise = dice.below(12);
                bytes.extend((0..noise).map(|_| dice.next().to_le_bytes()[0]));
            }
            _ => {}
        }
    }
    bytes
}

/// Counts of how the hostile streams ended, to check that they reach all cases.
#[derive(Default, Debug)]
struct Tally {
    taken: usize,
    of_request: usize,
    of_link: usize,
}

/// Feeds `bytes` to the host at random splits. Every id it opened ends exactly once.
fn attack_host(world: &World, bytes: &[u8], dice: &mut Dice, tally: &mut Tally) {
    let (mut host, mut deframer) = (world.host.clone(), Deframer::default());
    let mut ended = BTreeSet::new();
    let mut end = |id: u32| assert!(ended.insert(id), "{id} ended twice");
    let (mut at, mut out) = (0, Vec::new());
    'stream: while at < bytes.len() {
        let len = 1 + dice.below(bytes.len() - at);
        deframer.push(&bytes[at..at + len]);
        at += len;
        loop {
            let got = match deframer.next() {
                Ok(None) => break,
                Ok(Some(envelope)) => host.receive(envelope, &mut out),
                Err(error) => host.reject(error, &mut out),
            };
            let violation = match got {
                Ok(event) => {
                    tally.taken += 1;
                    if let HostEvent::Ended { id, .. } = event {
                        end(id);
                    }
                    continue;
                }
                Err(violation) => violation,
            };
            if violation.fatal {
                tally.of_link += 1;
                break 'stream;
            }
            tally.of_request += 1;
            end(violation.id);
        }
        assert!(
            deframer.reserved_len() <= 2 * bytes.len().max(64),
            "memory follows the bytes"
        );
    }
    host.lost().iter().for_each(|lost| end(lost.id));
    assert_eq!(
        ended,
        world.opened.keys().copied().collect(),
        "every id ends once"
    );
    assert!(
        out.len() <= 64 * bytes.len() + 2048,
        "{} bytes answered",
        out.len()
    );
}

/// Feeds `bytes` to the agent. Every accepted request can be ended once until the link is lost.
fn attack_agent(world: &World, bytes: &[u8], tally: &mut Tally) {
    let (mut agent, mut deframer) = (world.agent.clone(), Deframer::default());
    let mut unanswered: BTreeSet<u32> = world.unanswered.keys().copied().collect();
    let mut out = Vec::new();
    deframer.push(bytes);
    loop {
        let got = match deframer.next() {
            Ok(None) => break,
            Ok(Some(envelope)) => agent.receive(envelope, &mut out),
            Err(error) => agent.reject(error, &mut out),
        };
        match got {
            Ok(AgentEvent::Request { id, .. }) => {
                tally.taken += 1;
                assert!(unanswered.insert(id), "{id} opened twice");
            }
            Ok(_) => tally.taken += 1,
            Err(violation) if violation.fatal => {
                tally.of_link += 1;
                break;
            }
            Err(violation) => {
                tally.of_request += 1;
                // Its terminal message can be sent once.
                let reply = || Message::Error(violation.reply());
                if unanswered.remove(&violation.id) {
                    agent
                        .send(violation.id, reply(), &mut out)
                        .expect("the request is open");
                }
                assert!(agent.send(violation.id, reply(), &mut out).is_err());
            }
        }
    }
    let lost: BTreeSet<_> = agent.lost().iter().map(|open| open.id).collect();
    assert_eq!(lost, unanswered);
}

/// 100,000 streams from one seed; a failure names the stream to run again.
#[test]
fn a_hostile_stream_only_ends_its_link() {
    let mut world = World::new(4, Some(100));
    for what in [0, 1, 0, 2] {
        world.act(Action {
            what,
            pick: 0,
            len: 50,
        });
    }
    world.deliver_to_agent(usize::MAX);
    assert_eq!((world.opened.len(), world.unanswered.len()), (4, 3));
    let samples: Vec<_> = samples()
        .into_iter()
        .map(|(_, envelope)| envelope)
        .collect();
    let from = |direction: Direction| -> Vec<Envelope> {
        let other = if direction == Direction::HostToGuest {
            Direction::GuestToHost
        } else {
            Direction::HostToGuest
        };
        let is = |envelope: &&Envelope| {
            let kind = envelope.message.kind().expect("known");
            kind.direction() != other && kind.role() != MessageRole::Handshake
        };
        samples.iter().filter(is).cloned().collect()
    };
    let (guest, host) = (from(Direction::GuestToHost), from(Direction::HostToGuest));
    let (mut of_guest, mut of_host) = (Tally::default(), Tally::default());
    for seed in 0..50_000 {
        let mut dice = Dice(seed);
        let bytes = stream(&mut dice, &guest);
        attack_host(&world, &bytes, &mut dice, &mut of_guest);
        let bytes = stream(&mut dice, &host);
        attack_agent(&world, &bytes, &mut of_host);
    }
    for tally in [of_guest, of_host] {
        let least = tally.taken.min(tally.of_request).min(tally.of_link);
        assert!(
            least > 1000,
            "the streams do not reach everything: {tally:?}"
        );
    }
}
