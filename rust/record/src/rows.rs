//! A run as rows, one for each event, request, input and entry: the common vocabulary of timelines,
//! JSON documents, diagrams and pages.
//!
//! [`RowSink`] observes a machine, live or in a replay, and passes its rows to a [`RowObserver`].
//! [`RowBuilder::moment`] returns the rows of a recording's timeline. A row has typed facts, and
//! methods that print them with the names of the session's image. Its users only have to lay out
//! the texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_machine::text::{Printer, line};
use antiphon_machine::{
    Class, CoroutineId, EffectId, EffectRequest, Event, Ingress, LabelId, ObsEvent, Observation,
    OperationId, ProtocolMachineKernel, Refusal, RoleId, SessionId, Sink, SortId, Stamp, Value,
    VerifiedImage,
};

use crate::describe;
use crate::divergence::Divergence;
use crate::entry::{Entry, Request};
use crate::timeline::Moment;

// The kinds of rows of events follow from the machine's table of events; the others are listed
// after them.
macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $number:literal = $event:ident ($text:literal, $is_trouble:literal, $line:literal)
        $({ $($fields:tt)* })? $(= $item:ident: $item_of:ty)?;
    )*) => {
        row_kinds! {
            $($(#[$doc])* $event $text $is_trouble,)*
            /// A request was put to the handler.
            Request "request" false,
            /// The machine was given an input.
            Input "input" false,
            /// The machine refused the preceding input.
            Refused "refused" true,
            /// A recording has the digests of the run up to here.
            Checkpoint "checkpoint" false,
            /// A replay differs from its recording. No row follows.
            Diverged "diverged" true,
        }

        impl RowKind {
            /// The kind of an event.
            pub const fn of(event: &Event) -> RowKind {
                match event {
                    $(Event::$event { .. } => RowKind::$event,)*
                }
            }
        }
    };
}

macro_rules! row_kinds {
    ($($(#[$doc:meta])* $name:ident $text:literal $is_trouble:literal,)*) => {
        /// The kind of a row. Rows of events have the names of the events in `docs/semantics.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum RowKind { $($(#[$doc])* $name,)* }

        impl RowKind {
            /// All kinds, in the order of their declaration.
            pub const ALL: &'static [RowKind] = &[$(RowKind::$name,)*];

            /// The name in JSON and in pages, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(RowKind::$name => $text,)* }
            }

            /// Whether it reports a failure or a cancellation. Ends of sessions do not count.
            pub const fn is_trouble(self) -> bool {
                match self { $(RowKind::$name => $is_trouble,)* }
            }
        }
    };
}

antiphon_machine::for_each_event! { kinds }

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: RowKind,
    /// Number of steps before it; of a request, including the step that issued it.
    pub step: u64,
    /// The logical clock, in ticks.
    pub clock: u64,
    /// The session, if it concerns one.
    pub session: Option<SessionId>,
    /// The role that acts: sends, receives, issues the effect, ends.
    pub role: Option<RoleId>,
    /// The other role of a message, or of a request about a message.
    pub peer: Option<RoleId>,
    /// The label of a message.
    pub label: Option<LabelId>,
    /// The operation of an effect.
    pub operation: Option<OperationId>,
    /// The number of the message on its edge, of the effect in its session, or of the witness.
    pub number: Option<u64>,
    /// The report that the row is made of, with all facts.
    pub source: Source,
}

/// The report that a row is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An event.
    Event(ObsEvent),
    /// A request.
    Request(Request),
    /// An input.
    Input(Ingress),
    /// The refusal of the preceding input.
    Refused(Refusal),
    /// A checkpoint or the end of a recording.
    Checkpoint(Entry),
    /// The difference between a replay and its recording.
    Diverged(Box<Divergence>),
}

impl Row {
    fn new(kind: RowKind, (step, clock): (u64, u64), source: Source) -> Row {
        Row {
            kind,
            step,
            clock,
            session: None,
            role: None,
            peer: None,
            label: None,
            operation: None,
            number: None,
            source,
        }
    }

    /// The payload, the arguments or the result, with their sorts if the image has them. Empty for
    /// a payload `()`.
    pub fn values(&self, image: Option<&VerifiedImage>) -> Vec<(&Value, Option<SortId>)> {
        let row = self
            .operation
            .and_then(|id| describe::operation_row(image, id));
        match &self.source {
            Source::Event(event) => match &event.event {
                Event::Sent(message)
                | Event::Offered(message)
                | Event::Received(message)
                | Event::Chose(message) => {
                    let sort = image.and_then(|image| describe::message_sort(image, message));
                    let payload = Some((&message.payload, sort));
                    let payload = payload.filter(|(payload, _)| **payload != Value::Unit);
                    payload.into_iter().collect()
                }
                Event::EffectResolved { result, .. } => vec![(result, row.map(|row| row.result))],
                Event::Opened { .. }
                | Event::EffectIssued { .. }
                | Event::EffectFailed { .. }
                | Event::EffectInvalidated { .. }
                | Event::WitnessIssued { .. }
                | Event::WitnessExpired { .. }
                | Event::TimeoutIssued { .. }
                | Event::CancellationRequested { .. }
                | Event::Cancelled { .. }
                | Event::FailureBranchEntered { .. }
                | Event::Spawned { .. }
                | Event::Halted { .. }
                | Event::Faulted { .. }
                | Event::Closed
                | Event::SessionTerminal { .. }
                | Event::EpochAdvanced { .. } => Vec::new(),
            },
            Source::Request(request) => {
                let sorts = row.map_or(&[][..], |row| &row.args);
                let args = request.args.iter().enumerate();
                args.map(|(n, arg)| (arg, sorts.get(n).copied())).collect()
            }
            Source::Input(_) | Source::Refused(_) | Source::Checkpoint(_) | Source::Diverged(_) => {
                Vec::new()
            }
        }
    }

    /// The subject in a word or two: the label of a message, the operation of an effect, the
    /// protocol of a new session, the program of a new coroutine, how a session ended. Empty for
    /// any other row.
    pub fn subject(&self, image: Option<&VerifiedImage>) -> String {
        let printer = Printer::of(image.map(VerifiedImage::image));
        if let Some(label) = self.label {
            return printer.label(label);
        }
        if let Some(operation) = self.operation {
            return printer.operation(operation);
        }
        let Source::Event(ObsEvent { event, .. }) = &self.source else {
            return String::new();
        };
        match event {
            Event::Opened { .. } => {
                image.map_or_else(String::new, |image| line(&image.image().name))
            }
            Event::Spawned { program, .. } => printer.program(*program),
            Event::SessionTerminal { end } => end.name().to_owned(),
            Event::Sent(_)
            | Event::Offered(_)
            | Event::Received(_)
            | Event::Chose(_)
            | Event::EffectIssued { .. }
            | Event::EffectResolved { .. }
            | Event::EffectFailed { .. }
            | Event::EffectInvalidated { .. }
            | Event::WitnessIssued { .. }
            | Event::WitnessExpired { .. }
            | Event::TimeoutIssued { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::FailureBranchEntered { .. }
            | Event::Halted { .. }
            | Event::Faulted { .. }
            | Event::Closed
            | Event::EpochAdvanced { .. } => String::new(),
        }
    }

    /// The facts that are not in the fields, the values and the subject. Often empty.
    pub fn note(&self, image: Option<&VerifiedImage>) -> String {
        match &self.source {
            Source::Event(event) => event_note(&event.event, image),
            Source::Request(request) => {
                let attempt = (request.attempt > 0)
                    .then(|| format!("attempt {}", u16::from(request.attempt) + 1));
                let deadline = request.deadline.map(|deadline| format!("until {deadline}"));
                let notes: Vec<String> = attempt.into_iter().chain(deadline).collect();
                notes.join(", ")
            }
            Source::Input(Ingress::Outcome { outcome, .. }) => {
                let outcome = describe::outcome_of(outcome, image, self.operation);
                format!("answered: {outcome}")
            }
            Source::Input(input) => describe::input(input),
            Source::Refused(refusal) => line(&refusal.to_string()),
            Source::Checkpoint(entry) => describe::entry(None, entry),
            Source::Diverged(divergence) => {
                let Divergence { expected, got, .. } = divergence.as_ref();
                let name = divergence.difference.name();
                line(&format!("{name}: expected {expected}, got {got}"))
            }
        }
    }

    /// The whole row as one line, without step, clock and session.
    pub fn text(&self, image: Option<&VerifiedImage>) -> String {
        match &self.source {
            Source::Event(event) => describe::event_of(image, event, self.operation),
            Source::Request(request) => describe::request(image, request),
            Source::Input(Ingress::Outcome { effect, .. }) => {
                format!("{effect} {}", self.note(image))
            }
            Source::Input(_) | Source::Refused(_) | Source::Checkpoint(_) | Source::Diverged(_) => {
                self.note(image)
            }
        }
    }

    /// Whether its operation is one of a role's host (decide, produce or deliver a message) and not
    /// one of an interface.
    pub fn is_of_host(&self, image: Option<&VerifiedImage>) -> bool {
        let row = self
            .operation
            .and_then(|id| describe::operation_row(image, id));
        row.is_some_and(|row| match row.class {
            Class::Produce { .. } | Class::Decide { .. } | Class::Deliver { .. } => true,
            Class::Command | Class::Observe | Class::Check => false,
        })
    }

    /// Whether a short timeline omits it: it concerns a role's host, an input, the machine's
    /// bookkeeping, or something that another row reports too.
    pub fn is_detail(&self, image: Option<&VerifiedImage>) -> bool {
        match self.kind {
            RowKind::Request | RowKind::EffectResolved => self.is_of_host(image),
            RowKind::Received
            | RowKind::Chose
            | RowKind::EffectIssued
            | RowKind::WitnessIssued
            | RowKind::WitnessExpired
            | RowKind::Halted
            | RowKind::Closed
            | RowKind::EpochAdvanced
            | RowKind::Input
            | RowKind::Checkpoint => true,
            RowKind::Opened
            | RowKind::Sent
            | RowKind::Offered
            | RowKind::EffectFailed
            | RowKind::EffectInvalidated
            | RowKind::TimeoutIssued
            | RowKind::CancellationRequested
            | RowKind::Cancelled
            | RowKind::FailureBranchEntered
            | RowKind::Spawned
            | RowKind::Faulted
            | RowKind::SessionTerminal
            | RowKind::Refused
            | RowKind::Diverged => false,
        }
    }
}

fn event_note(event: &Event, image: Option<&VerifiedImage>) -> String {
    let printer = Printer::of(image.map(VerifiedImage::image));
    match event {
        Event::Opened { owner, .. } => format!("for {}", printer.text(owner)),
        Event::EffectIssued {
            coroutine, attempt, ..
        } => match attempt {
            0 => format!("by coroutine {coroutine}"),
            attempt => format!(
                "by coroutine {coroutine}, attempt {}",
                u16::from(*attempt) + 1
            ),
        },
        Event::EffectFailed { failure, .. } if failure.detail.is_empty() => {
            failure.kind.to_string()
        }
        Event::EffectFailed { failure, .. } => {
            format!("{}: {}", failure.kind, printer.text(&failure.detail))
        }
        Event::WitnessIssued { number, .. } => format!("for effect {number}"),
        Event::TimeoutIssued { witness, .. } => format!("witness {witness}"),
        Event::FailureBranchEntered { cause, .. } => printer.fault(cause),
        Event::Spawned { coroutine, .. } | Event::Halted { coroutine } => {
            format!("coroutine {coroutine}")
        }
        Event::Faulted { fault, .. } => printer.fault(fault),
        Event::EpochAdvanced { epoch } => format!("epoch {epoch}"),
        Event::Sent(_)
        | Event::Offered(_)
        | Event::Received(_)
        | Event::Chose(_)
        | Event::EffectResolved { .. }
        | Event::EffectInvalidated { .. }
        | Event::WitnessExpired { .. }
        | Event::CancellationRequested { .. }
        | Event::Cancelled { .. }
        | Event::Closed
        | Event::SessionTerminal { .. } => String::new(),
    }
}

/// An outstanding effect.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    role: Option<RoleId>,
    operation: OperationId,
}

/// Makes rows. Keeps the outstanding effects, because an event that ends an effect has neither its
/// role nor its operation. The machine bounds their number.
#[derive(Clone, Debug, Default)]
pub struct RowBuilder {
    outstanding: BTreeMap<EffectId, Outstanding>,
}

impl RowBuilder {
    /// A builder for the rows that follow this state of a machine.
    pub fn of(kernel: &ProtocolMachineKernel) -> RowBuilder {
        let mut builder = RowBuilder::default();
        for session in kernel.sessions() {
            let image = kernel.image(session);
            for effect in session.effects() {
                let id = EffectId {
                    session: session.id(),
                    number: effect.number,
                };
                let outstanding = Outstanding {
                    role: role_of(effect.coroutine, Some(image)),
                    operation: effect.operation,
                };
                builder.outstanding.insert(id, outstanding);
            }
        }
        builder
    }

    /// The row of an event. `image` is that of its session.
    pub fn event(&mut self, event: ObsEvent, image: Option<&VerifiedImage>) -> Row {
        let Stamp {
            session,
            step,
            clock,
            ..
        } = event.stamp;
        let source = Source::Event(event.clone());
        let mut row = Row::new(RowKind::of(&event.event), (step, clock), source);
        row.session = Some(session);
        let effect = |number: u64| EffectId { session, number };
        match &event.event {
            Event::Sent(message)
            | Event::Offered(message)
            | Event::Received(message)
            | Event::Chose(message) => {
                let ends = image.and_then(|i| i.edges().get(message.edge.index()).copied());
                let (from, to) = ends.unzip();
                let is_sent = matches!(row.kind, RowKind::Sent | RowKind::Offered);
                (row.role, row.peer) = if is_sent { (from, to) } else { (to, from) };
                row.label = Some(message.label);
                row.number = Some(message.sequence);
            }
            Event::EffectIssued {
                number,
                coroutine,
                operation,
                ..
            } => {
                let (role, operation) = (role_of(*coroutine, image), *operation);
                let outstanding = Outstanding { role, operation };
                self.outstanding.insert(effect(*number), outstanding);
                row.of_effect(*number, Some(outstanding), image);
            }
            Event::EffectResolved { number, .. }
            | Event::EffectFailed { number, .. }
            | Event::EffectInvalidated { number } => {
                let ended = self.outstanding.remove(&effect(*number));
                row.of_effect(*number, ended, image);
            }
            Event::TimeoutIssued { number, .. } => {
                let outstanding = self.outstanding.get(&effect(*number)).copied();
                row.of_effect(*number, outstanding, image);
            }
            Event::WitnessIssued { witness, number } => {
                let outstanding = self.outstanding.get(&effect(*number));
                row.role = outstanding.and_then(|outstanding| outstanding.role);
                row.number = Some(*witness);
            }
            Event::WitnessExpired { witness }
            | Event::CancellationRequested { witness }
            | Event::Cancelled { witness } => row.number = Some(*witness),
            Event::FailureBranchEntered { coroutine, .. }
            | Event::Spawned { coroutine, .. }
            | Event::Halted { coroutine }
            | Event::Faulted { coroutine, .. } => row.role = role_of(*coroutine, image),
            Event::Opened { .. }
            | Event::Closed
            | Event::SessionTerminal { .. }
            | Event::EpochAdvanced { .. } => {}
        }
        row
    }

    /// The row of a request. `image` is that of its session.
    pub fn request(&mut self, request: Request, clock: u64, image: Option<&VerifiedImage>) -> Row {
        let Request {
            step,
            effect,
            role,
            operation,
            ..
        } = request;
        let mut row = Row::new(RowKind::Request, (step, clock), Source::Request(request));
        row.session = Some(effect.session);
        row.of_effect(effect.number, Some(Outstanding { role, operation }), image);
        row
    }

    /// The row of an input at this step and clock. `image` is that of its session, if it has one.
    pub fn input(
        &mut self,
        (step, clock): (u64, u64),
        input: Ingress,
        image: Option<&VerifiedImage>,
    ) -> Row {
        let mut row = Row::new(RowKind::Input, (step, clock), Source::Input(input.clone()));
        row.session = input.session();
        if let Ingress::Outcome { effect, .. } = input {
            let outstanding = self.outstanding.get(&effect).copied();
            row.of_effect(effect.number, outstanding, image);
        }
        row
    }

    /// The row of the refusal of the preceding input, at this step and clock.
    pub fn refused(&mut self, (step, clock): (u64, u64), refusal: Refusal) -> Row {
        Row::new(RowKind::Refused, (step, clock), Source::Refused(refusal))
    }

    /// The row of an element of a recording's timeline. `None` for a header, an image and a wave,
    /// and for an answer, which the next event reports.
    pub fn moment(&mut self, moment: Moment, kernel: &ProtocolMachineKernel) -> Option<Row> {
        let at = (kernel.step_index(), kernel.clock());
        let image = |session| describe::image_of(kernel, session);
        Some(match moment {
            Moment::Event(event) => {
                let session = event.stamp.session;
                self.event(event, image(session))
            }
            Moment::Entry { entry, .. } => match entry {
                Entry::Request(request) => {
                    let session = request.effect.session;
                    self.request(request, at.1, image(session))
                }
                Entry::Input { step, input } => {
                    let image = input.session().and_then(image);
                    self.input((step, at.1), input, image)
                }
                Entry::Refused(refusal) => self.refused(at, refusal),
                Entry::Checkpoint(_) | Entry::End(_) => {
                    Row::new(RowKind::Checkpoint, at, Source::Checkpoint(entry))
                }
                Entry::Header(_) | Entry::Image(_) | Entry::Answer(_) | Entry::Wave { .. } => {
                    return None;
                }
            },
            Moment::Diverged(divergence) => {
                let session = divergence.session;
                let row = Row::new(RowKind::Diverged, at, Source::Diverged(divergence));
                Row { session, ..row }
            }
        })
    }
}

impl Row {
    fn of_effect(
        &mut self,
        number: u64,
        effect: Option<Outstanding>,
        image: Option<&VerifiedImage>,
    ) {
        self.number = Some(number);
        let Some(Outstanding { role, operation }) = effect else {
            return;
        };
        self.role = role;
        self.operation = Some(operation);
        let row = describe::operation_row(image, operation);
        self.peer = row.and_then(|row| match row.class {
            Class::Produce { peer, .. }
            | Class::Decide { peer, .. }
            | Class::Deliver { peer, .. } => Some(peer),
            Class::Command | Class::Observe | Class::Check => None,
        });
    }
}

/// The role of a coroutine: the first coroutines run the roles, in their order.
fn role_of(coroutine: CoroutineId, image: Option<&VerifiedImage>) -> Option<RoleId> {
    let roles = image.map_or(0, |image| image.image().roles.len());
    let role = RoleId(coroutine.0);
    (role.index() < roles).then_some(role)
}

/// Receives the rows of a run.
pub trait RowObserver {
    /// A row, with the image of its session if it concerns one.
    fn row(&mut self, row: Row, image: Option<&VerifiedImage>);

    /// An image was loaded. Its sessions can follow.
    fn loaded(&mut self, _image: &Arc<VerifiedImage>) {}
}

impl<F: FnMut(Row, Option<&VerifiedImage>)> RowObserver for F {
    fn row(&mut self, row: Row, image: Option<&VerifiedImage>) {
        self(row, image);
    }
}

/// A sink that passes a row for each report of a machine to an observer.
#[derive(Clone, Debug, Default)]
pub struct RowSink<O> {
    builder: RowBuilder,
    images: BTreeMap<[u8; 32], Arc<VerifiedImage>>,
    /// The image of each session, in the order of the sessions' numbers.
    sessions: Vec<Option<Arc<VerifiedImage>>>,
    clock: u64,
    /// Ticks of the last input, until the machine has refused it or reports something else.
    ticks: u64,
    observer: O,
}

impl<O: RowObserver> RowSink<O> {
    /// A sink for a machine without images and sessions.
    pub fn new(observer: O) -> RowSink<O> {
        RowSink {
            builder: RowBuilder::default(),
            images: BTreeMap::new(),
            sessions: Vec::new(),
            clock: 0,
            ticks: 0,
            observer,
        }
    }

    /// The observer of the rows.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// The observer of the rows.
    pub fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }

    fn image(&self, session: SessionId) -> Option<Arc<VerifiedImage>> {
        self.sessions.get(session.index()).cloned().flatten()
    }

    /// The clock, after the last input that advances it.
    fn now(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(std::mem::take(&mut self.ticks));
        self.clock
    }
}

impl<O: RowObserver> Sink for RowSink<O> {
    fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => self.event(stamp, event.clone()),
            Observation::Loaded(image) => self.loaded(image),
            Observation::Request { step, request } => self.request(step, request),
            Observation::Input { step, input } => self.input(step, input),
            Observation::Refused { step, refusal } => self.refused(step, refusal),
            Observation::Wave { .. } | Observation::Stepped(_) | Observation::Rested(..) => {}
        }
    }
}

impl<O: RowObserver> RowSink<O> {
    fn loaded(&mut self, image: &VerifiedImage) {
        let digest = *image.digest();
        let entry = self.images.entry(digest);
        let image = entry.or_insert_with(|| Arc::new(image.clone()));
        self.observer.loaded(image);
    }

    fn event(&mut self, stamp: &Stamp, event: Event) {
        (self.clock, self.ticks) = (stamp.clock, 0);
        if let Event::Opened { image, .. } = &event {
            // Sessions are numbered in the order in which they are opened.
            self.sessions.push(self.images.get(image).cloned());
        }
        let image = self.image(stamp.session);
        let event = ObsEvent {
            stamp: *stamp,
            event,
        };
        let row = self.builder.event(event, image.as_deref());
        self.observer.row(row, image.as_deref());
    }

    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        let clock = self.now();
        let image = Some(request.image());
        let row = self
            .builder
            .request(Request::of(step, request), clock, image);
        self.observer.row(row, image);
    }

    fn input(&mut self, step: u64, input: &Ingress) {
        let clock = self.now();
        let image = input.session().and_then(|session| self.image(session));
        let at = (step, clock);
        let row = self.builder.input(at, input.clone(), image.as_deref());
        if let Ingress::AdvanceClock { ticks } = input {
            self.ticks = *ticks;
        }
        self.observer.row(row, image.as_deref());
    }

    fn refused(&mut self, step: u64, refusal: &Refusal) {
        self.ticks = 0;
        let row = self.builder.refused((step, self.clock), *refusal);
        self.observer.row(row, None);
    }
}
