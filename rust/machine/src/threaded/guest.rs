//! The threaded machine with a door for what comes later: outcomes, time and cancellations, from any thread.

use std::sync::Arc;

use crossbeam_channel::{Receiver, SendError, Sender, TrySendError, bounded};

use crate::fault::Refusal;
use crate::ids::SessionId;
use crate::input::{Ingress, Rest};
use crate::kernel::ProtocolMachineKernel;
use crate::sink::Sink;
use crate::threaded::{Handlers, ThreadedProtocolMachine, WaveReport};
use crate::verify::VerifiedImage;

/// Inputs that wait at the door. Who sends more waits, so that a world that answers faster than the machine takes is slowed down
/// and not kept in memory.
pub const INBOX_LEN_MAX: usize = 1024;

/// A threaded machine that other threads send inputs to.
///
/// [`run`](Self::run) takes in what has come, runs rounds until nobody is ready, and, as long as the world owes outcomes and
/// somebody holds a [`Remote`], waits for more. A handler that puts an answer off ([`Reply::Later`](crate::Reply::Later)) gives
/// the request to a thread of its own with a [`Remote`], and that sends the outcome.
///
/// ```
/// use antiphon_machine::threaded::{Inbox, Shared, ThreadedGuestRuntime, ThreadedProtocolMachine};
/// use antiphon_machine::{Class, EffectRequest, FromFn, Ingress, Outcome, Reply, Rest};
/// # let image = antiphon_machine::sample::ping_pong(1);
///
/// let inbox = Inbox::new();
/// let remote = inbox.remote();
/// let host = FromFn(move |request: &EffectRequest<'_>| {
///     let outcome = match request.class() {
///         Class::Decide { .. } => request.choose("stop").unwrap(),
///         _ => Outcome::done(),
///     };
///     let (effect, remote) = (request.effect(), remote.clone());
///     std::thread::spawn(move || remote.send(Ingress::Outcome { effect, outcome }));
///     Reply::Later
/// });
/// let machine = ThreadedProtocolMachine::with_workers(Default::default(), Shared(host), 2);
/// let mut runtime = ThreadedGuestRuntime::new(machine, inbox);
/// runtime.load_choreography(&image, "me")?;
/// assert_eq!(runtime.run(), Rest::Done);
/// # Ok::<(), antiphon_machine::Refusal>(())
/// ```
#[derive(Debug)]
pub struct ThreadedGuestRuntime<H, S> {
    machine: ThreadedProtocolMachine<H, S>,
    inputs: Receiver<Ingress>,
    refused: u64,
}

/// Where inputs come in: made before the machine, so that its handlers can hold a [`Remote`].
#[derive(Debug)]
pub struct Inbox {
    sender: Sender<Ingress>,
    inputs: Receiver<Ingress>,
}

/// Sends inputs to a machine on another thread.
#[derive(Clone, Debug)]
pub struct Remote(Sender<Ingress>);

/// Why an input was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// [`INBOX_LEN_MAX`] inputs wait already.
    #[error("{INBOX_LEN_MAX} inputs wait already")]
    Full(Ingress),
    /// The machine is no more.
    #[error("the machine is no more")]
    Gone(Ingress),
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox::new()
    }
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Inbox {
        let (sender, inputs) = bounded(INBOX_LEN_MAX);
        Inbox { sender, inputs }
    }

    /// A way to send to it.
    pub fn remote(&self) -> Remote {
        Remote(self.sender.clone())
    }
}

impl Remote {
    /// Sends an input, and waits while there is no room. Not for a handler's own thread: the machine takes nothing in while a
    /// handler is at work, so that one would wait for itself; [`try_send`](Self::try_send) never waits.
    ///
    /// # Errors
    /// When the machine is no more; the input comes back.
    pub fn send(&self, input: Ingress) -> Result<(), InboxError> {
        let gone = |SendError(input)| InboxError::Gone(input);
        self.0.send(input).map_err(gone)
    }

    /// Sends an input if there is room.
    ///
    /// # Errors
    /// When there is none, or the machine is no more; the input comes back.
    pub fn try_send(&self, input: Ingress) -> Result<(), InboxError> {
        self.0.try_send(input).map_err(|error| match error {
            TrySendError::Full(input) => InboxError::Full(input),
            TrySendError::Disconnected(input) => InboxError::Gone(input),
        })
    }
}

impl<H: Handlers, S: Sink> ThreadedGuestRuntime<H, S> {
    /// This machine with this door.
    pub fn new(machine: ThreadedProtocolMachine<H, S>, inbox: Inbox) -> ThreadedGuestRuntime<H, S> {
        ThreadedGuestRuntime {
            machine,
            inputs: inbox.inputs,
            refused: 0,
        }
    }

    /// Makes the image known and opens a session of it.
    ///
    /// # Errors
    /// A [`Refusal`] when the machine has no room for another session or the owner's name is too long.
    pub fn load_choreography(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
    ) -> Result<SessionId, Refusal> {
        self.machine.load_choreography(image, owner)
    }

    /// Runs until every session has ended, those that are left are stuck, or the world owes outcomes and nobody is left who could
    /// send one ([`Rest::Idle`]).
    pub fn run(&mut self) -> Rest {
        loop {
            while let Ok(input) = self.inputs.try_recv() {
                self.take(input);
            }
            // One round at a time: what comes in meanwhile is not kept waiting by sessions that never rest.
            match self.machine.run(1) {
                None => {}
                Some(rest @ (Rest::Done | Rest::Stuck(_))) if self.inputs.is_empty() => {
                    return rest;
                }
                Some(Rest::Done | Rest::Stuck(_)) => {}
                Some(Rest::Idle) => match self.inputs.recv() {
                    Ok(input) => self.take(input),
                    Err(_) => return Rest::Idle,
                },
            }
        }
    }

    /// A refusal is the sender's own affair: the observer has been told of it, and nothing has changed.
    fn take(&mut self, input: Ingress) {
        self.refused += u64::from(self.machine.ingress(input).is_err());
    }

    /// How many inputs that came in were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What the driver has done so far.
    pub fn report(&self) -> WaveReport {
        self.machine.report()
    }

    /// The kernel, to look at.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        self.machine.kernel()
    }

    /// The machine, the door being shut: whoever sends finds it gone.
    pub fn into_machine(self) -> ThreadedProtocolMachine<H, S> {
        self.machine
    }
}
