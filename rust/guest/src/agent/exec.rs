//! One running command: a thread that moves bytes between the process's pipes and the link.
//!
//! The thread waits only in one `poll` over the pipes and a wake-up. So it is blocked neither by a
//! process that does not read its input, nor by a host that gives no credit, nor by a slow link. It
//! always ends with exactly one [`Outcome`].
//!
//! After the process has exited, a process that it left behind may hold its pipes open. The thread
//! reads such a pipe for [`LINGER`]. Then it kills the group, and the output ends with the bytes in
//! the pipes. Output that was read waits for credit as long as the link exists, because the
//! deadline applies only to the process.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::process::{Exit, Launch, LaunchError, Process, ProcessTable};
use crate::wake::{Sleeper, Waker, wake_pair};

/// The most bytes of one chunk of output. With the record around it, it stays within the machine's
/// bound of a payload.
pub(crate) const CHUNK_LEN_MAX: usize = 32 << 10;

/// How long a process's pipes may stay open after its exit. The last child of a shell needs
/// microseconds.
pub const LINGER: Duration = Duration::from_millis(500);

/// How long a killed process may take to exit before the host gets an error. Only a process that is
/// stuck in the kernel takes long.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// The most bytes read from one pipe after the group was killed: the capacity of a pipe. A process
/// outside the group could write without end.
const REMAINDER_MAX: usize = 1 << 20;

/// The most orders that wait for one command. All are handled in one turn of the loop; above it the
/// reader thread waits.
const ORDERS_MAX: usize = 64;

/// The most chunks of one command in the outbox. Enough that both streams are read while chunks of
/// both are written.
const QUEUED_MAX: usize = 8;

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    /// Standard output.
    Out = 0,
    /// Standard error.
    Err = 1,
}

/// An order of the host to a running command.
#[derive(Debug)]
pub(crate) enum Order {
    /// Bytes for standard input, and whether they are the last.
    Input { data: Vec<u8>, eof: bool },
    /// More credit for a stream.
    Credit { pipe: Pipe, bytes: u64 },
    /// A signal for the group.
    Signal(Signal),
    /// Kill the group and end the command.
    Cancel,
}

/// How a command ended: the only terminal event of its request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It exited.
    Done { exit: Exit, timed_out: bool },
    /// It was killed and did not exit.
    Unkillable,
    /// The agent could not watch it.
    Broken(io::Error),
}

/// The receiver of a command's events. Called from the command's thread; must not block.
pub(crate) trait Host: Send + 'static {
    /// A chunk of output, 1 to [`CHUNK_LEN_MAX`] bytes. The ticket is dropped when the chunk was
    /// written.
    fn output(&mut self, pipe: Pipe, data: Vec<u8>, ticket: Ticket);
    /// That many bytes of input were consumed, so the host may send as many more.
    fn input_taken(&mut self, bytes: u64);
    /// The command has ended. No event follows.
    fn end(self, outcome: Outcome);
}

/// A command to run, with its limits.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) launch: Launch,
    /// How long the process may run.
    pub(crate) deadline: Option<Duration>,
    /// The initial credit of standard output and standard error, in bytes.
    pub(crate) credit: [u64; 2],
}

/// A handle to a running command.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    orders: Sender<Order>,
    waker: Waker,
}

/// Counts the chunks of one command in the outbox.
#[derive(Debug)]
pub(crate) struct Ticket {
    queued: Arc<AtomicUsize>,
    waker: Waker,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The command stops reading at the bound and continues when half of its chunks were
        // written.
        if self.queued.fetch_sub(1, Ordering::AcqRel) == QUEUED_MAX / 2 + 1 {
            self.waker.wake();
        }
    }
}

impl Control {
    /// Gives an order. An order to a command that has ended is dropped.
    pub(crate) fn order(&self, order: Order) {
        match self.orders.try_send(order) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => self.waker.wake(),
            Err(TrySendError::Full(order)) => {
                self.waker.wake();
                let _ = self.orders.send(order);
            }
        }
    }
}

/// Starts the command and its thread. After an error nothing is left running.
pub(crate) fn start(
    processes: &ProcessTable,
    job: &Job,
    host: impl Host,
) -> Result<Control, LaunchError> {
    let process = processes.spawn(&job.launch)?;
    watch(process, job, host).map_err(|error| LaunchError::Spawn {
        cmd: job.launch.cmd.clone(),
        error,
    })
}

fn watch(mut process: Process, job: &Job, host: impl Host) -> io::Result<Control> {
    let (waker, sleeper) = wake_pair()?;
    let (orders_in, orders) = crossbeam_channel::bounded(ORDERS_MAX);
    let (input, output, errors) = process.take_pipes();
    let exited = Arc::new(AtomicBool::new(false));
    let running = Running {
        exited: exited.clone(),
        orders,
        sleeper,
        waker: waker.clone(),
        queued: Arc::new(AtomicUsize::new(0)),
        input: Input::new(input)?,
        streams: [
            Stream::new(Pipe::Out, output, job.credit[0])?,
            Stream::new(Pipe::Err, errors, job.credit[1])?,
        ],
        deadline: job.deadline.and_then(|d| Instant::now().checked_add(d)),
        timed_out: false,
        killed_at: None,
        exited_at: None,
        exit: None,
        closing: false,
    };
    let notice = waker.clone();
    process.on_exit(move || {
        exited.store(true, Ordering::Release);
        notice.wake();
    })?;
    thread::Builder::new()
        .name("exec".into())
        .spawn(move || running.run(process, host))?;
    Ok(Control {
        orders: orders_in,
        waker,
    })
}

struct Running {
    exited: Arc<AtomicBool>,
    orders: Receiver<Order>,
    sleeper: Sleeper,
    waker: Waker,
    queued: Arc<AtomicUsize>,
    input: Input,
    streams: [Stream; 2],
    deadline: Option<Instant>,
    timed_out: bool,
    /// When the deadline or a cancel killed the group.
    killed_at: Option<Instant>,
    exited_at: Option<Instant>,
    exit: Option<Exit>,
    /// Whether an empty pipe counts as closed.
    closing: bool,
}

impl Running {
    fn run(mut self, mut process: Process, mut host: impl Host) {
        let outcome = loop {
            match self.turn(&mut process, &mut host) {
                Ok(None) => {}
                Ok(Some(outcome)) => break outcome,
                Err(error) => break Outcome::Broken(error),
            }
        };
        // If the process was not reaped, its drop kills it and waits on another thread.
        drop(process);
        host.end(outcome);
    }

    fn turn(&mut self, process: &mut Process, host: &mut impl Host) -> io::Result<Option<Outcome>> {
        self.sleeper.reset();
        self.take_orders(process, host);
        self.input.flush(host);
        self.pump(host)?;
        if let Some(outcome) = self.advance(process, host, Instant::now())? {
            return Ok(Some(outcome));
        }
        self.sleep()?;
        Ok(None)
    }

    fn take_orders(&mut self, process: &Process, host: &mut impl Host) {
        // A bounded number: a host that sends orders without pause must not delay the output.
        for _ in 0..ORDERS_MAX {
            let Ok(order) = self.orders.try_recv() else {
                return;
            };
            match order {
                Order::Input { data, eof } => self.input.push(data, eof, host),
                Order::Credit { pipe, bytes } => self.streams[pipe as usize].grant(bytes),
                Order::Signal(signal) => process.signal(signal),
                Order::Cancel => self.abort(process, Instant::now(), host),
            }
        }
        self.waker.wake();
    }

    /// Ends the command now. Output is sent as far as its credit allows, and the rest is lost.
    fn abort(&mut self, process: &Process, now: Instant, host: &mut impl Host) {
        process.kill_all();
        self.killed_at.get_or_insert(now);
        self.deadline = None;
        self.closing = true;
        // After an error the streams are closed, as without one.
        let _ = self.pump(host);
        for stream in &mut self.streams {
            stream.close();
        }
    }

    /// Moves output from the pipes to the host, as far as credit and the outbox allow.
    fn pump(&mut self, host: &mut impl Host) -> io::Result<()> {
        for stream in &mut self.streams {
            loop {
                while self.queued.load(Ordering::Acquire) < QUEUED_MAX {
                    let Some(data) = stream.take_chunk() else {
                        break;
                    };
                    self.queued.fetch_add(1, Ordering::AcqRel);
                    let ticket = Ticket {
                        queued: self.queued.clone(),
                        waker: self.waker.clone(),
                    };
                    host.output(stream.pipe, data, ticket);
                }
                if !stream.fill(self.closing)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Applies the exit of the process and the deadlines. Returns the outcome at the end.
    fn advance(
        &mut self,
        process: &mut Process,
        host: &mut impl Host,
        now: Instant,
    ) -> io::Result<Option<Outcome>> {
        if self.exited_at.is_none() && self.has_exited(process, now) {
            self.exited_at = Some(now);
            // A process that has exited has met its deadline.
            self.deadline = None;
            self.input.close();
            // The process may have written after the last read of its pipes.
            self.waker.wake();
            return Ok(None);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.timed_out = true;
            self.abort(process, now, host);
        }
        let drained = self.streams.iter().all(Stream::is_done);
        let lingered = self.exited_at.is_some_and(|at| now >= at + LINGER);
        if self.exit.is_none() && self.exited_at.is_some() && (drained || lingered) {
            if self.streams.iter().any(Stream::has_writer) {
                process.kill_group();
                self.closing = true;
                self.waker.wake();
            }
            self.exit = Some(process.reap()?);
        }
        if let (Some(exit), true) = (self.exit, drained) {
            return Ok(Some(Outcome::Done {
                exit,
                timed_out: self.timed_out,
            }));
        }
        let overdue = self.killed_at.is_some_and(|at| now >= at + KILL_GRACE);
        Ok((overdue && self.exited_at.is_none()).then_some(Outcome::Unkillable))
    }

    /// Whether the process has exited. At the deadline it asks the kernel, because the thread that
    /// waits for the exit may be late.
    fn has_exited(&self, process: &Process, now: Instant) -> bool {
        let is_due = self.deadline.is_some_and(|deadline| now >= deadline);
        self.exited.load(Ordering::Acquire) || (is_due && process.has_exited())
    }

    /// Waits until there is something to do.
    fn sleep(&self) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.sleeper, PollFlags::IN)];
        if let Some(pipe) = self.input.wants_room() {
            fds.push(PollFd::from_borrowed_fd(pipe, PollFlags::OUT));
        }
        if self.queued.load(Ordering::Acquire) < QUEUED_MAX {
            for pipe in self.streams.iter().filter_map(Stream::wants_data) {
                fds.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
            }
        }
        let linger = self
            .exited_at
            .filter(|_| self.exit.is_none())
            .map(|at| at + LINGER);
        let grace = self
            .killed_at
            .filter(|_| self.exited_at.is_none())
            .map(|at| at + KILL_GRACE);
        let next = [self.deadline, linger, grace].into_iter().flatten().min();
        let timeout = next.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The process's standard input.
struct Input {
    pipe: Option<OwnedFd>,
    /// Input that was not written yet. Bounded by the credit of standard input.
    pending: VecDeque<Vec<u8>>,
    /// How many bytes of the first pending chunk were written.
    written: usize,
    eof: bool,
}

impl Input {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Input> {
        if let Some(pipe) = &pipe {
            prepare(pipe)?;
        }
        Ok(Input {
            pipe,
            pending: VecDeque::new(),
            written: 0,
            eof: false,
        })
    }

    fn push(&mut self, data: Vec<u8>, eof: bool, host: &mut impl Host) {
        if self.pipe.is_none() || self.eof {
            // The input has no reader. It counts as consumed, so that the host does not wait for
            // credit for ever.
            host.input_taken(data.len() as u64);
            return;
        }
        if !data.is_empty() {
            self.pending.push_back(data);
        }
        self.eof = eof;
    }

    fn flush(&mut self, host: &mut impl Host) {
        while let (Some(pipe), Some(chunk)) = (&self.pipe, self.pending.front()) {
            match rustix::io::write(pipe, chunk.get(self.written..).unwrap_or_default()) {
                Ok(len) => {
                    self.written += len;
                    if self.written >= chunk.len() {
                        host.input_taken(chunk.len() as u64);
                        self.pending.pop_front();
                        self.written = 0;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The process closed its input, so the rest is dropped.
                Err(_) => self.discard(host),
            }
        }
        if self.eof && self.pending.is_empty() {
            self.pipe = None;
        }
    }

    fn discard(&mut self, host: &mut impl Host) {
        self.pipe = None;
        for chunk in self.pending.drain(..) {
            host.input_taken(chunk.len() as u64);
        }
        self.written = 0;
    }

    fn close(&mut self) {
        self.pipe = None;
        self.pending.clear();
    }

    fn wants_room(&self) -> Option<BorrowedFd<'_>> {
        self.pipe
            .as_ref()
            .filter(|_| !self.pending.is_empty())
            .map(AsFd::as_fd)
    }
}

/// Standard output or standard error of the process.
struct Stream {
    pipe: Pipe,
    fd: Option<OwnedFd>,
    credit: u64,
    /// A chunk that was read and has no credit yet. While it is held, nothing more is read.
    held: Vec<u8>,
    /// Bytes read since an empty pipe counts as closed.
    remainder: usize,
}

impl Stream {
    fn new(pipe: Pipe, fd: Option<OwnedFd>, credit: u64) -> io::Result<Stream> {
        if let Some(fd) = &fd {
            prepare(fd)?;
        }
        Ok(Stream {
            pipe,
            fd,
            credit,
            held: Vec::new(),
            remainder: 0,
        })
    }

    fn grant(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// The bytes that may be sent now.
    fn take_chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.credit)
            .unwrap_or(usize::MAX)
            .min(self.held.len());
        if len == 0 {
            return None;
        }
        self.credit -= len as u64;
        let rest = self.held.split_off(len);
        Some(std::mem::replace(&mut self.held, rest))
    }

    /// Reads a chunk if none is held. Returns whether it should be called again after sending.
    fn fill(&mut self, closing: bool) -> io::Result<bool> {
        let Some(fd) = self.fd.as_ref().filter(|_| self.held.is_empty()) else {
            return Ok(false);
        };
        if closing && self.remainder >= REMAINDER_MAX {
            self.fd = None;
            return Ok(false);
        }
        self.held.reserve_exact(CHUNK_LEN_MAX);
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut self.held)) {
            Ok(0) => self.fd = None,
            Ok(len) => {
                if closing {
                    self.remainder += len;
                }
                return Ok(true);
            }
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) if !closing => {}
            Err(Errno::AGAIN) => self.fd = None,
            Err(error) => return Err(error.into()),
        }
        self.held = Vec::new();
        Ok(false)
    }

    fn wants_data(&self) -> Option<BorrowedFd<'_>> {
        self.fd
            .as_ref()
            .filter(|_| self.held.is_empty())
            .map(AsFd::as_fd)
    }

    /// Whether a process still holds the other end open.
    fn has_writer(&self) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut fds = [PollFd::new(fd, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&timespec(Duration::ZERO)));
        polled.is_ok() && !fds[0].revents().contains(PollFlags::HUP)
    }

    fn is_done(&self) -> bool {
        self.fd.is_none() && self.held.is_empty()
    }

    fn close(&mut self) {
        self.fd = None;
        self.held = Vec::new();
    }
}

fn prepare(pipe: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
    crate::port::enlarge_pipe(pipe);
    Ok(())
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up, because waking early would only cause another sleep.
    let duration = duration.saturating_add(Duration::from_micros(500));
    Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[derive(Debug)]
    enum Event {
        Output(Pipe, Vec<u8>),
        Taken(u64),
        End(Outcome),
    }

    struct Recorder(Sender<Event>);

    impl Host for Recorder {
        fn output(&mut self, pipe: Pipe, data: Vec<u8>, ticket: Ticket) {
            drop(ticket);
            self.0
                .send(Event::Output(pipe, data))
                .expect("the test listens");
        }

        fn input_taken(&mut self, bytes: u64) {
            self.0.send(Event::Taken(bytes)).expect("the test listens");
        }

        fn end(self, outcome: Outcome) {
            self.0.send(Event::End(outcome)).expect("the test listens");
        }
    }

    fn job(argv: &[&str]) -> Job {
        let launch = Launch {
            cmd: argv[0].to_owned(),
            argv: argv.iter().map(|s| (*s).to_owned()).collect(),
            env: Vec::new(),
            cwd: None,
            stdin: false,
        };
        Job {
            launch,
            deadline: None,
            credit: [u64::MAX; 2],
        }
    }

    fn begin(job: &Job) -> (Control, Receiver<Event>) {
        let (tx, rx) = unbounded();
        (
            start(&ProcessTable::default(), job, Recorder(tx)).expect("the program is there"),
            rx,
        )
    }

    /// Standard output, standard error, and the outcome.
    fn finish(rx: &Receiver<Event>) -> ([Vec<u8>; 2], Outcome) {
        let mut output = [Vec::new(), Vec::new()];
        loop {
            match rx
                .recv_timeout(Duration::from_secs(20))
                .expect("a command ends")
            {
                Event::Output(pipe, data) => {
                    assert!((1..=CHUNK_LEN_MAX).contains(&data.len()));
                    output[pipe as usize].extend(data);
                }
                Event::Taken(_) => {}
                Event::End(outcome) => {
                    assert!(rx.recv().is_err(), "nothing comes after the outcome");
                    return (output, outcome);
                }
            }
        }
    }

    fn exit(outcome: &Outcome) -> (i32, Option<i32>, bool) {
        let Outcome::Done { exit, timed_out } = outcome else {
            panic!("{outcome:?}")
        };
        (exit.code, exit.signal, *timed_out)
    }

    #[test]
    fn reports_both_streams_and_the_exit_code() {
        let (_control, rx) = begin(&job(&["sh", "-c", "echo out; echo err >&2; exit 3"]));
        let (output, outcome) = finish(&rx);
        assert_eq!(output, [b"out\n".to_vec(), b"err\n".to_vec()]);
        assert_eq!(exit(&outcome), (3, None, false));
    }

    #[test]
    fn a_deadline_kills_the_whole_group() {
        let mut job = job(&["sh", "-c", "sleep 100 & echo $!; wait"]);
        job.deadline = Some(Duration::from_millis(300));
        let started = Instant::now();
        let (_control, rx) = begin(&job);
        let (output, outcome) = finish(&rx);
        assert_eq!(exit(&outcome), (137, Some(9), true));
        assert!(started.elapsed() < Duration::from_secs(5));
        let pid: i32 = String::from_utf8_lossy(&output[0])
            .trim()
            .parse()
            .expect("a number");
        gone(pid);
    }

    fn gone(pid: i32) {
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        let until = Instant::now() + Duration::from_secs(5);
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        // A zombie has ended, too.
        while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z ")) {
            assert!(Instant::now() < until, "process {pid:?} is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_delays_the_end_by_the_linger_time_only() {
        let started = Instant::now();
        let (_control, rx) = begin(&job(&["sh", "-c", "sleep 100 & echo $!"]));
        let (output, outcome) = finish(&rx);
        assert_eq!(exit(&outcome), (0, None, false));
        assert!(started.elapsed() >= LINGER && started.elapsed() < LINGER * 6);
        gone(
            String::from_utf8_lossy(&output[0])
                .trim()
                .parse()
                .expect("a number"),
        );
    }

    #[test]
    fn a_grandchild_outside_the_group_that_writes_for_ever_does_not_delay_the_end() {
        let (_control, rx) = begin(&job(&[
            "sh",
            "-c",
            "setsid sh -c 'yes & echo $! >&2; wait' &",
        ]));
        let (output, outcome) = finish(&rx);
        assert_eq!(exit(&outcome), (0, None, false));
        let pid: i32 = String::from_utf8_lossy(&output[1])
            .trim()
            .parse()
            .expect("a number");
        // Its reader is gone, so it ends by itself.
        gone(pid);
    }

    #[test]
    fn without_credit_no_output_and_no_end() {
        let mut job = job(&["sh", "-c", "printf 0123456789; printf err >&2"]);
        job.credit = [4, u64::MAX];
        let (control, rx) = begin(&job);
        let mut out = Vec::new();
        while out.len() < 4 {
            if let Event::Output(Pipe::Out, data) = rx.recv().expect("it wrote") {
                out.extend(data);
            }
        }
        assert_eq!(out, b"0123");
        // The other stream is not blocked, and no output is lost after the linger time.
        thread::sleep(LINGER + Duration::from_millis(100));
        let events: Vec<_> = rx.try_iter().collect();
        assert!(
            events
                .iter()
                .all(|t| matches!(t, Event::Output(Pipe::Err, d) if d == b"err")),
            "{events:?}"
        );
        control.order(Order::Credit {
            pipe: Pipe::Out,
            bytes: 100,
        });
        let (output, outcome) = finish(&rx);
        assert_eq!(output[0], b"456789");
        assert_eq!(exit(&outcome), (0, None, false));
    }

    #[test]
    fn a_cancel_without_credit_ends_the_command() {
        let mut job = job(&["yes"]);
        job.credit = [10, 0];
        let (control, rx) = begin(&job);
        control.order(Order::Cancel);
        let (_, outcome) = finish(&rx);
        assert_eq!(exit(&outcome), (137, Some(9), false));
    }

    #[test]
    fn forwards_input_and_returns_its_credit() {
        let mut job = job(&["cat"]);
        job.launch.stdin = true;
        let (control, rx) = begin(&job);
        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let feeder = {
            let (control, data) = (control.clone(), data.clone());
            thread::spawn(move || {
                for chunk in data.chunks(50_000) {
                    control.order(Order::Input {
                        data: chunk.to_vec(),
                        eof: false,
                    });
                }
                control.order(Order::Input {
                    data: Vec::new(),
                    eof: true,
                });
            })
        };
        let (mut taken, mut output) = (0, Vec::new());
        let outcome = loop {
            match rx.recv_timeout(Duration::from_secs(20)).expect("cat ends") {
                Event::Output(_, data) => output.extend(data),
                Event::Taken(bytes) => taken += bytes,
                Event::End(outcome) => break outcome,
            }
        };
        feeder.join().expect("it fed");
        assert_eq!(exit(&outcome), (0, None, false));
        assert!(output == data);
        assert_eq!(taken, data.len() as u64);
    }

    #[test]
    fn consumes_input_for_a_process_that_does_not_read() {
        let mut job = job(&["sh", "-c", "exec <&-; sleep 0.3"]);
        job.launch.stdin = true;
        let (control, rx) = begin(&job);
        for _ in 0..40 {
            control.order(Order::Input {
                data: vec![0; 100_000],
                eof: false,
            });
        }
        let (_, outcome) = finish(&rx);
        assert_eq!(exit(&outcome), (0, None, false));
    }

    #[test]
    fn a_signal_reaches_the_group() {
        // Short sleeps: a shell runs its trap only after the current one.
        let script = "trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done";
        let (control, rx) = begin(&job(&["sh", "-c", script]));
        assert!(matches!(rx.recv(), Ok(Event::Output(Pipe::Out, _))));
        control.order(Order::Signal(Signal::USR1));
        assert_eq!(exit(&finish(&rx).1), (5, None, false));
    }

    #[test]
    fn reports_why_a_command_cannot_start() {
        let (tx, _rx) = unbounded();
        let mut job = job(&["/no/such/program"]);
        let error =
            start(&ProcessTable::default(), &job, Recorder(tx.clone())).expect_err("not there");
        assert_eq!(
            error.to_string(),
            "`/no/such/program`: No such file or directory (os error 2)"
        );
        job.launch.cmd = "true".to_owned();
        job.launch.cwd = Some("/no/such/dir".to_owned());
        let error =
            start(&ProcessTable::default(), &job, Recorder(tx.clone())).expect_err("not there");
        assert!(matches!(error, LaunchError::Cwd { .. }), "{error}");
        job.launch.cwd = None;
        job.launch.env = vec!["NOVALUE".to_owned()];
        let error = start(&ProcessTable::default(), &job, Recorder(tx)).expect_err("no value");
        assert!(matches!(error, LaunchError::Env { .. }), "{error}");
    }
}
