//! The full values that a row's line shortens. They are not stored: the step is replayed again on
//! request.

use antiphon_machine::text::{Printed, Printer};
use antiphon_machine::{
    Event, Ingress, ObsEvent, Observation, Outcome, ProtocolMachineKernel, SortId, Value,
    VerifiedImage,
};
use antiphon_record::rows::{Row, RowBuilder, Source};
use antiphon_record::{Request, describe};
use serde::Serialize;

/// The maximum length of a value's text, in bytes. A longer value is cut and marked as cut.
const TEXT_LEN_MAX: usize = 1 << 20;

/// Captures one of the rows of a step.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    step: u64,
    /// The number of rows of the step that precede it.
    before: usize,
    builder: RowBuilder,
    row: Option<Row>,
}

impl Capture {
    /// Records what the replay observes as rows without an image.
    pub(crate) fn observe(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Event { stamp, event } => {
                let (stamp, event) = (*stamp, event.clone());
                self.record(|builder| builder.event(ObsEvent { stamp, event }, None));
            }
            Observation::Request { step, request } => {
                let request = Request::of(step, request);
                self.record(|builder| builder.request(request, 0, None));
            }
            Observation::Input { step, input } => {
                self.record(|builder| builder.input((step, 0), input.clone(), None));
            }
            Observation::Refused { step, refusal } => {
                self.record(|builder| builder.refused((step, 0), *refusal));
            }
            Observation::Loaded(_)
            | Observation::Wave { .. }
            | Observation::Stepped(_)
            | Observation::Rested(..) => {}
        }
    }

    /// Captures the row of this step that `before` rows of the step precede. The kernel has not
    /// taken the step yet.
    pub(crate) fn new(step: u64, before: usize, kernel: &ProtocolMachineKernel) -> Capture {
        Capture {
            step,
            before,
            builder: RowBuilder::of(kernel),
            row: None,
        }
    }

    /// Makes a row, and keeps it if it is the one to be captured. The row's values need no image
    /// until they are printed.
    pub(crate) fn record(&mut self, make: impl FnOnce(&mut RowBuilder) -> Row) {
        let row = make(&mut self.builder);
        if row.step != self.step || self.row.is_some() {
            return;
        }
        match self.before.checked_sub(1) {
            Some(before) => self.before = before,
            None => self.row = Some(row),
        }
    }
}

/// A row in full.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Detail {
    /// The number of the row's effect.
    pub(crate) effect: Option<u64>,
    operation: Option<String>,
    attempt: Option<u8>,
    deadline: Option<u64>,
    /// What the values are: `arguments`, `payload` or `result`.
    what: Option<&'static str>,
    values: Vec<FullValue>,
    failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct FullValue {
    sort: Option<String>,
    text: String,
    /// Whether the text was cut.
    cut: bool,
}

#[derive(Debug, Serialize)]
struct Failure {
    kind: String,
    detail: String,
}

/// The captured row in full.
pub(crate) fn of(capture: &Capture, kernel: &ProtocolMachineKernel) -> Detail {
    let Some(row) = &capture.row else {
        return Detail::default();
    };
    let session = row.session;
    let image = session.and_then(|session| describe::image_of(kernel, session));
    let printer = Printer::of(image.map(VerifiedImage::image));
    let operation = row.operation.map(|operation| printer.operation(operation));
    let detail = match &row.source {
        Source::Event(ObsEvent { event, .. }) => of_event(row, event, image),
        Source::Request(request) => Detail {
            effect: Some(request.effect.number),
            attempt: Some(request.attempt),
            deadline: request.deadline,
            what: Some("arguments"),
            values: values(row, image),
            ..Detail::default()
        },
        Source::Input(Ingress::Outcome { effect, outcome }) => {
            of_outcome(row, effect.number, outcome, image)
        }
        Source::Input(
            Ingress::Open { .. } | Ingress::AdvanceClock { .. } | Ingress::Cancel { .. },
        )
        | Source::Refused(_)
        | Source::Checkpoint(_)
        | Source::Diverged(_) => Detail::default(),
    };
    Detail {
        operation,
        ..detail
    }
}

fn of_event(row: &Row, event: &Event, image: Option<&VerifiedImage>) -> Detail {
    match event {
        Event::Sent(m) | Event::Offered(m) | Event::Received(m) | Event::Chose(m) => {
            let sort = image.and_then(|image| describe::message_sort(image, m));
            Detail {
                what: Some("payload"),
                values: vec![full(&m.payload, sort, image)],
                ..Detail::default()
            }
        }
        Event::EffectIssued {
            number,
            attempt,
            deadline,
            ..
        } => Detail {
            effect: Some(*number),
            attempt: Some(*attempt),
            deadline: *deadline,
            ..Detail::default()
        },
        Event::EffectResolved { number, .. } => Detail {
            effect: Some(*number),
            what: Some("result"),
            values: values(row, image),
            ..Detail::default()
        },
        Event::EffectFailed { number, failure } => Detail {
            effect: Some(*number),
            what: Some("result"),
            failure: Some(Failure::of(failure)),
            ..Detail::default()
        },
        Event::EffectInvalidated { number }
        | Event::WitnessIssued { number, .. }
        | Event::TimeoutIssued { number, .. } => Detail {
            effect: Some(*number),
            ..Detail::default()
        },
        Event::Opened { .. }
        | Event::WitnessExpired { .. }
        | Event::CancellationRequested { .. }
        | Event::Cancelled { .. }
        | Event::FailureBranchEntered { .. }
        | Event::Spawned { .. }
        | Event::Halted { .. }
        | Event::Faulted { .. }
        | Event::Closed
        | Event::SessionTerminal { .. }
        | Event::EpochAdvanced { .. } => Detail::default(),
    }
}

fn of_outcome(row: &Row, effect: u64, outcome: &Outcome, image: Option<&VerifiedImage>) -> Detail {
    let operation = row.operation;
    let operation = operation.and_then(|id| describe::operation_row(image, id));
    let sort = operation.map(|operation| operation.result);
    let (values, failure) = match outcome {
        Outcome::Success(value) => (vec![full(value, sort, image)], None),
        Outcome::Failure(failure) => (Vec::new(), Some(Failure::of(failure))),
    };
    Detail {
        effect: Some(effect),
        what: Some("result"),
        values,
        failure,
        ..Detail::default()
    }
}

impl Failure {
    fn of(failure: &antiphon_machine::Failure) -> Failure {
        Failure {
            kind: failure.kind.to_string(),
            detail: failure.detail.to_string(),
        }
    }
}

fn values(row: &Row, image: Option<&VerifiedImage>) -> Vec<FullValue> {
    let values = row.values(image).into_iter();
    values
        .map(|(value, sort)| full(value, sort, image))
        .collect()
}

fn full(value: &Value, sort: Option<SortId>, image: Option<&VerifiedImage>) -> FullValue {
    let printer = Printer::of(image.map(VerifiedImage::image));
    let whole = printer.with_width(TEXT_LEN_MAX).indented();
    let Printed { text, is_cut } = whole.print(value, sort);
    FullValue {
        sort: sort.map(|sort| printer.sort(sort)),
        text,
        cut: is_cut,
    }
}
