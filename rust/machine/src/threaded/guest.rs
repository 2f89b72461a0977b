//! The threaded machine with an inbox for outcomes, time and cancellations from other threads.

use std::sync::Arc;

use crossbeam_channel::{Receiver, SendError, Sender, TrySendError, bounded};

use crate::fault::Refusal;
use crate::ids::SessionId;
use crate::input::{Ingress, Rest};
use crate::kernel::ProtocolMachineKernel;
use crate::safety::{Admission, AdmissionError, Evidence};
use crate::sink::Sink;
use crate::threaded::{Handlers, ThreadedProtocolMachine, WaveReport};
use crate::verify::VerifiedImage;

/// Inputs in the inbox. A full inbox blocks the sender, so a sender that is faster than the machine
/// is slowed down and does not fill the memory.
pub const INBOX_LEN_MAX: usize = 1024;

/// A threaded machine that other threads send inputs to.
///
/// [`run`](Self::run) takes in the inputs that have arrived and runs rounds until no coroutine is
/// ready. While effects are outstanding and a [`Remote`] exists, it then waits for more inputs. A
/// handler that defers its answer ([`Reply::Later`](crate::Reply::Later)) passes the request to
/// another thread with a [`Remote`], which sends the outcome.
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

/// The inputs of a machine. It is created before the machine, so that the handlers can hold a
/// [`Remote`].
#[derive(Debug)]
pub struct Inbox {
    sender: Sender<Ingress>,
    inputs: Receiver<Ingress>,
}

/// Sends inputs to a machine on another thread.
#[derive(Clone, Debug)]
pub struct Remote(Sender<Ingress>);

/// Why an input was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// The inbox is full: it has [`INBOX_LEN_MAX`] inputs.
    #[error("the inbox is full: it has {INBOX_LEN_MAX} inputs")]
    Full(Ingress),
    /// The machine has been dropped.
    #[error("the machine has been dropped")]
    Gone(Ingress),
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox::new()
    }
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Inbox {
        let (sender, inputs) = bounded(INBOX_LEN_MAX);
        Inbox { sender, inputs }
    }

    /// A handle that sends to this inbox.
    pub fn remote(&self) -> Remote {
        Remote(self.sender.clone())
    }
}

impl Remote {
    /// Sends an input, and waits while the inbox is full. A handler must not call it on its own
    /// thread: the machine takes no input while a handler runs, so the call could wait forever.
    /// [`try_send`](Self::try_send) never waits.
    ///
    /// # Errors
    /// [`InboxError::Gone`], with the input, if the machine has been dropped.
    pub fn send(&self, input: Ingress) -> Result<(), InboxError> {
        let gone = |SendError(input)| InboxError::Gone(input);
        self.0.send(input).map_err(gone)
    }

    /// Sends an input if the inbox has space.
    ///
    /// # Errors
    /// The inbox is full, or the machine has been dropped. The error returns the input.
    pub fn try_send(&self, input: Ingress) -> Result<(), InboxError> {
        self.0.try_send(input).map_err(|error| match error {
            TrySendError::Full(input) => InboxError::Full(input),
            TrySendError::Disconnected(input) => InboxError::Gone(input),
        })
    }
}

impl<H: Handlers, S: Sink> ThreadedGuestRuntime<H, S> {
    /// The machine, with this inbox.
    pub fn new(machine: ThreadedProtocolMachine<H, S>, inbox: Inbox) -> ThreadedGuestRuntime<H, S> {
        ThreadedGuestRuntime {
            machine,
            inputs: inbox.inputs,
            refused: 0,
        }
    }

    /// Makes the image known and opens a session with it. Whether the image's roles fit together is
    /// not checked: their session may come to a deadlock, to a message that its receiver cannot
    /// take, or to one that is never read. [`load_admitted`](Self::load_admitted) excludes these.
    ///
    /// # Errors
    /// A [`Refusal`] when the machine has as many sessions as it may have, or the owner's name is
    /// too long.
    pub fn load_choreography(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
    ) -> Result<SessionId, Refusal> {
        self.machine.load_choreography(image, owner)
    }

    /// As [`load_choreography`](Self::load_choreography), if the evidence shows that the image is
    /// safe on a machine with this configuration ([`safety::admit`](crate::safety::admit)).
    ///
    /// # Errors
    /// The image was not admitted and not loaded; or the session was refused, as by
    /// `load_choreography`.
    pub fn load_admitted(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
        evidence: Evidence<'_>,
    ) -> Result<(SessionId, Admission), AdmissionError> {
        self.machine.load_admitted(image, owner, evidence)
    }

    /// Runs until every session has ended, the remaining sessions are stuck, or effects are
    /// outstanding and no [`Remote`] is left that could send an outcome ([`Rest::Idle`]).
    pub fn run(&mut self) -> Rest {
        loop {
            while let Ok(input) = self.inputs.try_recv() {
                self.take(input);
            }
            // One round at a time, so that sessions that never block do not delay inputs.
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

    /// Takes an input. A refusal is only counted: the sink has observed it, and nothing has
    /// changed.
    fn take(&mut self, input: Ingress) {
        self.refused += u64::from(self.machine.ingress(input).is_err());
    }

    /// How many inputs were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The counts since the driver was created.
    pub fn report(&self) -> WaveReport {
        self.machine.report()
    }

    /// The kernel, for inspection.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        self.machine.kernel()
    }

    /// The machine. The inbox is closed: a send fails with [`InboxError::Gone`].
    pub fn into_machine(self) -> ThreadedProtocolMachine<H, S> {
        self.machine
    }
}
