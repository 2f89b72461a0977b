//! The loop that runs a machine and passes its effects to an application and to guests.
//!
//! A [`Driver`] owns the machine, routes each effect to the application or to the guest that its
//! role or interface is bound to, and passes every outcome to the machine. Only the driver converts
//! real time to the machine's time, whose ticks are the milliseconds since the driver was created.
//!
//! ```no_run
//! use std::time::Duration;
//! use antiphon_guest::driver::{Driver, Guests};
//! use antiphon_guest::link::GuestLink;
//! use antiphon_guest::transport::Transport;
//! use antiphon_machine::{EffectRequest, FromFn, NoSink, Outcome, Reply};
//! # use antiphon_machine::{VerifiedImage, sample};
//! # fn image() -> std::sync::Arc<VerifiedImage> { sample::ping_pong(1) }
//!
//! let transport = Transport::spawn(std::process::Command::new("antiphon-agent"))?;
//! let link = GuestLink::open(transport, Default::default(), Duration::from_secs(5))?;
//! let application = FromFn(|request: &EffectRequest<'_>| {
//!     println!("a message for {}", request.role_name());
//!     Reply::Now(Outcome::done())
//! });
//! let mut driver = Driver::new(Default::default(), application, NoSink);
//! let guest = driver.add_guest(link);
//! driver.open(&image(), "me", &Guests::new().roles(guest, ["Client"]))?;
//! driver.run();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binding;
mod known;
mod refusal;
mod router;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_machine::safety::{Admission, Evidence, admit};
use antiphon_machine::{
    EffectHandler, Ingress, Phase, ProtocolMachine, ProtocolMachineConfig, ProtocolMachineKernel,
    Rest, RoleId, SessionId, Sink, VerifiedImage,
};
use crossbeam_channel::{Receiver, Select, SendError, Sender, TrySendError, bounded};

use crate::link::{Completion, GuestLink};

pub use binding::Binding;
pub use refusal::{OpenError, Unbacked};
pub use router::{GuestId, Guests, Router};

/// The most steps between two checks for inputs: some milliseconds of work.
const STEPS_MAX: u64 = 1 << 14;

/// The most inputs of other threads that wait for a driver. The inbox is full when the application
/// answers faster than the machine runs. Its threads then wait, or get [`InboxError::Full`].
pub const INBOX_LEN_MAX: usize = 1024;

/// The most probes that wait for a driver. Few threads probe, and only at a user's request.
const PROBES_MAX: usize = 16;

/// Sends inputs to a driver on another thread. Clones reach the same driver.
///
/// At most [`INBOX_LEN_MAX`] inputs wait. It works as `antiphon_machine::threaded::Remote` does,
/// and also sends probes.
#[derive(Clone, Debug)]
pub struct Remote {
    inputs: Sender<Ingress>,
    probes: Sender<Duration>,
}

/// Why an input was not delivered to a driver, with the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// [`INBOX_LEN_MAX`] inputs wait already.
    #[error("{INBOX_LEN_MAX} inputs wait for the driver; send again later")]
    Full(Ingress),
    /// The driver no longer exists.
    #[error("the driver is gone")]
    Gone(Ingress),
}

/// The driver no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the driver is gone")]
pub struct DriverGone;

impl Remote {
    /// Delivers an outcome that the application deferred, or cancels a session. An input that the
    /// machine refuses has no effect but an entry in the audit.
    ///
    /// Waits while the inbox is full. A handler on the driver's own thread would then wait for
    /// itself; it should call [`try_send`](Self::try_send), which never waits.
    ///
    /// # Errors
    /// [`InboxError::Gone`] with the input when the driver no longer exists.
    pub fn send(&self, input: Ingress) -> Result<(), InboxError> {
        let gone = |SendError(input)| InboxError::Gone(input);
        self.inputs.send(input).map_err(gone)
    }

    /// As [`send`](Self::send), if the inbox has room.
    ///
    /// # Errors
    /// [`InboxError`] with the input when the inbox is full or the driver no longer exists.
    pub fn try_send(&self, input: Ingress) -> Result<(), InboxError> {
        self.inputs.try_send(input).map_err(|error| match error {
            TrySendError::Full(input) => InboxError::Full(input),
            TrySendError::Disconnected(input) => InboxError::Gone(input),
        })
    }

    /// Pings every guest with an open request. A guest from which nothing arrives within `timeout`
    /// is `lost`. See [`GuestLink::probe`]. Waits while many probes are pending.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub fn probe(&self, timeout: Duration) -> Result<(), DriverGone> {
        self.probes.send(timeout).map_err(|_| DriverGone)
    }
}

/// A machine with its application and its guests.
#[derive(Debug)]
pub struct Driver<A, S> {
    machine: ProtocolMachine<Router<A>, S>,
    inputs: Receiver<Ingress>,
    probes: Receiver<Duration>,
    remote: Remote,
    /// The sessions that are bound to guests and have not ended.
    bound: Vec<SessionId>,
    begun: Instant,
}

impl<A: EffectHandler, S: Sink> Driver<A, S> {
    /// A machine without sessions and guests. Its clock starts now.
    pub fn new(config: ProtocolMachineConfig, application: A, sink: S) -> Driver<A, S> {
        let router = Router {
            application,
            guests: Vec::new(),
            roles: BTreeMap::new(),
            interfaces: BTreeMap::new(),
        };
        let (sender, inputs) = bounded(INBOX_LEN_MAX);
        let (probe_sender, probes) = bounded(PROBES_MAX);
        Driver {
            machine: ProtocolMachine::with_sink(config, router, sink),
            inputs,
            probes,
            remote: Remote {
                inputs: sender,
                probes: probe_sender,
            },
            bound: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Adds a guest.
    pub fn add_guest(&mut self, link: GuestLink) -> GuestId {
        let guests = &mut self.machine.handler().guests;
        guests.push(link);
        GuestId(guests.len() - 1)
    }

    /// Opens a session. Whether the image's roles fit together is not checked; see
    /// [`open_admitted`](Self::open_admitted).
    ///
    /// # Errors
    /// If the protocol does not have a name, a name is bound to two guests, a role of a guest would
    /// send a message that was not in a frame of the guest, or the machine has no room.
    pub fn open(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
        guests: &Guests,
    ) -> Result<SessionId, OpenError> {
        let code = image.image();
        let roles = self.named(&guests.roles, |name| router::role(code, name))?;
        let interfaces = self.named(&guests.interfaces, |name| router::interface(code, name))?;
        let bindings = self.bindings(image, &roles, &interfaces)?;
        self.advance();
        let session = self
            .machine
            .load_choreography(image, owner)
            .map_err(OpenError::Refused)?;
        if roles.is_empty() && interfaces.is_empty() {
            return Ok(session);
        }
        self.bound.push(session);
        let router = self.machine.handler();
        for (guest, binding) in router.guests.iter_mut().zip(bindings) {
            guest.bind(session, binding);
        }
        let roles = roles.into_iter();
        router
            .roles
            .extend(roles.map(|(role, guest)| ((session, role), guest)));
        let interfaces = interfaces.into_iter();
        router
            .interfaces
            .extend(interfaces.map(|(row, guest)| ((session, row), guest)));
        Ok(session)
    }

    /// As [`open`](Self::open), if the evidence shows that the image is safe on a machine with this
    /// driver's configuration.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`OpenError::NotAdmitted`].
    pub fn open_admitted(
        &mut self,
        image: &Arc<VerifiedImage>,
        owner: &str,
        guests: &Guests,
        evidence: Evidence<'_>,
    ) -> Result<(SessionId, Admission), OpenError> {
        let config = self.machine.kernel().config();
        let admission = admit(config, image, evidence).map_err(OpenError::NotAdmitted)?;
        Ok((self.open(image, owner, guests)?, admission))
    }

    /// The binding of each guest.
    fn bindings(
        &mut self,
        image: &VerifiedImage,
        roles: &BTreeMap<RoleId, usize>,
        interfaces: &BTreeMap<u16, usize>,
    ) -> Result<Vec<Binding>, OpenError> {
        let guests = self.machine.handler().guests.len();
        let binding = |n: usize| {
            let roles = roles.iter().filter(|(_, guest)| **guest == n);
            let rows = interfaces.iter().filter(|(_, guest)| **guest == n);
            let rows: Vec<u16> = rows.map(|(row, _)| *row).collect();
            Binding::of(image, roles.map(|(role, _)| *role).collect(), &rows)
        };
        (0..guests).map(binding).collect()
    }

    /// Finds the row of each name, and the guest that it is bound to.
    fn named<T: Ord>(
        &mut self,
        names: &[(GuestId, String)],
        find: impl Fn(&str) -> Result<T, OpenError>,
    ) -> Result<BTreeMap<T, usize>, OpenError> {
        let guests = self.machine.handler().guests.len();
        let mut found = BTreeMap::new();
        for (guest, name) in names {
            let guest = *guest;
            if guest.0 >= guests {
                return Err(OpenError::NoGuest { guest, guests });
            }
            let before = found.insert(find(name)?, guest.0);
            if before.is_some_and(|before| before != guest.0) {
                return Err(OpenError::TwoGuests { name: name.clone() });
            }
        }
        Ok(found)
    }

    /// A sender to this driver for other threads.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Runs until every session has ended, or the remaining sessions are deadlocked.
    ///
    /// Returns [`Rest::Done`] or [`Rest::Stuck`]. It waits as long as an effect of the application
    /// is outstanding; an effect of a guest always ends.
    pub fn run(&mut self) -> Rest {
        loop {
            if let Some(rest) = self.turn(None) {
                return rest;
            }
        }
    }

    /// As [`run`](Self::run), for at most `timeout`. Returns [`Rest::Idle`] if it still waits for
    /// inputs. For a driver that must regain control, such as during a clean-up.
    pub fn run_for(&mut self, timeout: Duration) -> Rest {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(rest) = self.turn(Some(left)) {
                return rest;
            }
            if left.is_zero() {
                return Rest::Idle;
            }
        }
    }

    /// One round: steps, sends, handles inputs, and waits for more if there is nothing to do.
    fn turn(&mut self, timeout: Option<Duration>) -> Option<Rest> {
        self.advance();
        let rest = self.machine.run(STEPS_MAX);
        self.end_sessions();
        for guest in &mut self.machine.handler().guests {
            guest.flush();
        }
        let waits = match rest {
            Some(Rest::Idle) => true,
            Some(rest) => return Some(rest),
            None => false,
        };
        if waits {
            self.end_premature();
        }
        if !self.take_inputs() && waits {
            self.wait(timeout);
            self.take_inputs();
        }
        None
    }

    /// Advances the machine's clock to real time.
    fn advance(&mut self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ticks = now.saturating_sub(self.machine.kernel().clock());
        if ticks > 0 {
            // The machine never refuses to advance the clock.
            let _ = self.machine.ingress(Ingress::AdvanceClock { ticks });
        }
        for guest in &mut self.machine.handler().guests {
            guest.tick(now);
        }
    }

    /// Removes the sessions that have ended from the guests.
    fn end_sessions(&mut self) {
        let mut bound = std::mem::take(&mut self.bound);
        bound.retain(|session| {
            let phase = self
                .machine
                .kernel()
                .session(*session)
                .map(|session| session.phase());
            if phase == Some(Phase::Active) {
                return true;
            }
            let router = self.machine.handler();
            for guest in &mut router.guests {
                guest.end_session(*session);
            }
            router.roles.retain(|(of, _), _| of != session);
            router.interfaces.retain(|(of, _), _| of != session);
            false
        });
        self.bound = bound;
    }

    /// Fails the effects of sessions in which all effects wait for a message of a guest before any
    /// request was made: a guest only answers.
    fn end_premature(&mut self) {
        for session in &self.bound {
            let kernel = self.machine.kernel();
            let open = kernel.session(*session).map_or(0, |s| s.effects().len());
            let guests = &mut self.machine.handler().guests;
            let premature: usize = guests.iter().map(|guest| guest.premature(*session)).sum();
            if premature > 0 && premature == open {
                guests
                    .iter_mut()
                    .for_each(|guest| guest.fail_premature(*session));
            }
        }
    }

    /// Handles waiting inputs. Returns whether there were any.
    fn take_inputs(&mut self) -> bool {
        let mut any = false;
        // A bounded number, so that a fast sender does not keep the machine from running.
        for input in self.inputs.try_iter().take(INBOX_LEN_MAX) {
            any = true;
            // The audit has an entry for an input that is refused: a late outcome, a second cancel.
            let _ = self.machine.ingress(input);
        }
        if let Ok(timeout) = self.probes.try_recv() {
            any = true;
            // The timeout of the probe starts now, not when the driver last read the clock.
            self.advance();
            let guests = &mut self.machine.handler().guests;
            guests.iter_mut().for_each(|guest| guest.probe(timeout));
        }
        for n in 0..self.machine.handler().guests.len() {
            let guests = &mut self.machine.handler().guests;
            if let Some(guest) = guests.get_mut(n) {
                guest.take_incoming();
            }
            while let Some(completion) = self.completion(n) {
                any = true;
                let Completion { effect, outcome } = completion;
                let _ = self.machine.ingress(Ingress::Outcome { effect, outcome });
            }
        }
        any
    }

    fn completion(&mut self, guest: usize) -> Option<Completion> {
        self.machine.handler().guests.get_mut(guest)?.completion()
    }

    /// Waits for an input, the next deadline, or the timeout.
    fn wait(&mut self, timeout: Option<Duration>) {
        let now = self.machine.kernel().clock();
        let machine = self.machine.kernel().next_deadline();
        let router = self.machine.handler();
        let deadlines = router
            .guests
            .iter()
            .filter_map(GuestLink::next_deadline)
            .chain(machine);
        let left = deadlines
            .min()
            .map(|at| Duration::from_millis(at.saturating_sub(now).max(1)));
        let shortest = [left, timeout].into_iter().flatten().min();
        let mut select = Select::new();
        select.recv(&self.inputs);
        select.recv(&self.probes);
        let router = self.machine.handler();
        for guest in &router.guests {
            let (incoming, written) = guest.incoming();
            select.recv(incoming);
            select.recv(written);
        }
        match shortest {
            Some(shortest) => drop(select.ready_timeout(shortest)),
            None => drop(select.ready()),
        }
    }

    /// The application.
    pub fn application(&mut self) -> &mut A {
        &mut self.machine.handler().application
    }

    /// The guest with this id; `None` if it belongs to another driver.
    pub fn guest(&mut self, guest: GuestId) -> Option<&mut GuestLink> {
        self.machine.handler().guests.get_mut(guest.0)
    }

    /// The machine's kernel, for inspection.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        self.machine.kernel()
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        self.machine.sink()
    }

    /// Closes the links to the guests and returns the application and the sink.
    pub fn close(self) -> (A, S) {
        let (application, sink, guests) = self.into_parts();
        guests.into_iter().for_each(GuestLink::close);
        (application, sink)
    }

    /// Returns the application, the sink, and the links to the guests, which are still open.
    pub fn into_parts(self) -> (A, S, Vec<GuestLink>) {
        let (_, router, sink) = self.machine.into_parts();
        (router.application, sink, router.guests)
    }
}
