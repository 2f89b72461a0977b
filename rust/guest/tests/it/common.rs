//! A host for tests, which uses the link's state machine and checks that each request ends once.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_guest::agent::{AgentOptions, serve_stream};
use antiphon_wire::{
    Deframer, Envelope, ErrorCode, ExecRequest, ExecResponse, HostEvent, HostLink, HostOffer,
    Message, StdinData, Stream, Terminal,
};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    pub(crate) link: HostLink,
    events: Receiver<Envelope>,
    writer: Box<dyn Write>,
    pub(crate) stash: BTreeMap<u32, Exchange>,
}

/// The messages received on an id.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) terminal: Option<Terminal>,
}

impl Client {
    pub(crate) fn new(
        mut reader: impl Read + Send + 'static,
        writer: impl Write + 'static,
    ) -> Client {
        let (tx, events) = channel();
        thread::spawn(move || {
            let mut deframer = Deframer::default();
            let mut buf = vec![0; 1 << 16];
            while let Ok(len @ 1..) = reader.read(&mut buf) {
                deframer.push(&buf[..len]);
                while let Some(envelope) = deframer.next().expect("the agent writes good frames") {
                    if tx.send(envelope).is_err() {
                        return;
                    }
                }
            }
        });
        let mut hello = Vec::new();
        let link = HostLink::new(HostOffer::default(), &mut hello).expect("a good offer");
        let mut client = Client {
            link,
            events,
            writer: Box::new(writer),
            stash: BTreeMap::new(),
        };
        client.raw(&hello);
        assert!(matches!(client.event(), HostEvent::Ready(_)));
        client
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("the agent reads");
        self.writer.flush().expect("the agent reads");
    }

    /// The next message, without passing it to the link's state machine.
    pub(crate) fn envelope(&mut self) -> Envelope {
        self.events
            .recv_timeout(TIMEOUT)
            .expect("the agent answers")
    }

    pub(crate) fn event(&mut self) -> HostEvent {
        self.try_event(TIMEOUT).expect("the agent answers")
    }

    pub(crate) fn try_event(&mut self, timeout: Duration) -> Option<HostEvent> {
        match self.events.recv_timeout(timeout) {
            Ok(envelope) => {
                let mut out = Vec::new();
                let event = self
                    .link
                    .receive(envelope, &mut out)
                    .expect("the agent keeps the rules");
                self.raw(&out);
                Some(event)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Whether the agent has closed the stream.
    pub(crate) fn closed(&mut self) -> bool {
        loop {
            match self.events.recv_timeout(TIMEOUT) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    pub(crate) fn request(&mut self, message: Message) -> u32 {
        let mut out = Vec::new();
        let id = self
            .link
            .request(message, &mut out)
            .expect("the link takes it");
        self.raw(&out);
        self.stash.insert(id, Exchange::default());
        id
    }

    pub(crate) fn send(&mut self, id: u32, message: Message) {
        let mut out = Vec::new();
        self.link
            .send(id, message, &mut out)
            .expect("the link takes it");
        self.raw(&out);
    }

    /// Receives one event and stores its output or its end.
    pub(crate) fn pump(&mut self) {
        match self.event() {
            HostEvent::Output { id, stream, data } => {
                assert!((1..=32 << 10).contains(&data.len()));
                let exchange = self.stash.get_mut(&id).expect("an open id");
                assert!(exchange.terminal.is_none(), "output after the end");
                match stream {
                    Stream::Stdout => exchange.stdout.extend(data),
                    Stream::Stderr => exchange.stderr.extend(data),
                }
            }
            HostEvent::Ended { id, terminal, .. } => {
                let exchange = self.stash.get_mut(&id).expect("an open id");
                assert!(
                    exchange.terminal.replace(terminal).is_none(),
                    "a second end"
                );
            }
            HostEvent::StdinCredit { .. } => {}
            other => panic!("not expected: {other:?}"),
        }
    }

    pub(crate) fn wait(&mut self, id: u32) -> Exchange {
        while self.stash[&id].terminal.is_none() {
            self.pump();
        }
        self.stash.remove(&id).expect("it is there")
    }

    pub(crate) fn call(&mut self, message: Message) -> Terminal {
        let id = self.request(message);
        self.wait(id).terminal.expect("it ended")
    }

    /// Sends all of the input, as credit allows.
    pub(crate) fn feed(&mut self, id: u32, data: &[u8]) {
        let mut sent = 0;
        while sent < data.len() {
            let credit = self.link.stdin_credit(id).expect("it is open");
            let len = credit.cap((data.len() - sent).min(32 << 10));
            if len == 0 {
                self.pump();
                continue;
            }
            let data = data[sent..sent + len].to_vec();
            self.send(id, Message::StdinData(StdinData { eof: None, data }));
            sent += len;
        }
        self.send(
            id,
            Message::StdinData(StdinData {
                eof: Some(true),
                data: Vec::new(),
            }),
        );
    }
}

pub(crate) fn exec(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        cmd: argv[0].to_owned(),
        cwd: None,
        env: None,
        argv: Some(argv.iter().map(|s| (*s).to_owned()).collect()),
        stdin: None,
        deadline_ms: None,
        stderr_window: None,
        stdout_window: None,
    }
}

pub(crate) fn sh(script: &str) -> ExecRequest {
    exec(&["sh", "-c", script])
}

impl Exchange {
    pub(crate) fn exit(&self) -> (i32, Option<i32>, bool) {
        match &self.terminal {
            Some(Terminal::Exec(ExecResponse {
                exit_code,
                signal,
                timed_out,
            })) => (
                *exit_code,
                signal.map(|s| s.number()),
                timed_out.unwrap_or(false),
            ),
            other => panic!("no exit: {other:?}"),
        }
    }

    pub(crate) fn error(&self) -> (ErrorCode, &str) {
        match &self.terminal {
            Some(Terminal::Error(reply)) => (reply.code, &reply.message),
            other => panic!("no error: {other:?}"),
        }
    }
}

/// An agent in a thread of this process.
pub(crate) fn in_process(options: AgentOptions) -> (Client, JoinHandle<()>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let agent = thread::spawn(move || serve_stream(theirs, &options).expect("it serves"));
    let handle = ours.try_clone().expect("a descriptor");
    (
        Client::new(ours.try_clone().expect("a descriptor"), ours),
        agent,
        handle,
    )
}

pub(crate) fn agent_command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon-agent"));
    command.args(args);
    command
}

/// An agent as a child process on its standard streams.
pub(crate) fn child() -> (Client, Child) {
    child_of(&mut agent_command(&["--stdio"]))
}

/// A client of a command that becomes an agent on its standard streams.
pub(crate) fn child_of(command: &mut Command) -> (Client, Child) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the agent starts");
    let (input, output) = (
        child.stdin.take().expect("piped"),
        child.stdout.take().expect("piped"),
    );
    (Client::new(output, input), child)
}

/// Waits until the process has exited or is a zombie.
pub(crate) fn gone(pid: i32) {
    let until = Instant::now() + Duration::from_secs(10);
    while state(pid).is_some_and(|state| state != 'Z') {
        assert!(Instant::now() < until, "process {pid} is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The state letter of a process.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn pid_in(output: &[u8]) -> i32 {
    String::from_utf8_lossy(output)
        .trim()
        .parse()
        .expect("a process number")
}
