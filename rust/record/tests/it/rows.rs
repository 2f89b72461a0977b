//! Rows of runs: live, in a replay, and of a timeline.

use std::collections::BTreeSet;
use std::fmt::Write;

use antiphon_machine::text::Printer;
use antiphon_machine::{
    EffectRequest, Event, Failure, FailureKind, Fault, FromFn, Ingress, ObsEvent, ProtocolMachine,
    ProtocolMachineConfig, Reply, SessionId, Stamp, VerifiedImage, sample,
};
use antiphon_record::rows::{Row, RowBuilder, RowKind, RowSink, Source};
use antiphon_record::{Replay, Timeline, describe};

use crate::runs::{Host, full, recorded, small_of};

/// A row with all that its methods print.
fn line(row: &Row, image: Option<&VerifiedImage>) -> String {
    let printer = Printer::of(image.map(VerifiedImage::image));
    let mut text = format!("{:>2} {}", row.step, row.kind.name());
    let ends = [row.role, row.peer].map(|role| role.map(|role| printer.role(role)));
    let _ = match ends {
        [Some(role), Some(peer)] => write!(text, " {role}, {peer}"),
        [Some(role), None] => write!(text, " {role}"),
        [None, _] => Ok(()),
    };
    let subject = row.subject(image);
    if !subject.is_empty() {
        let _ = write!(text, " [{subject}]");
    }
    if let Some(number) = row.number {
        let _ = write!(text, " #{number}");
    }
    for (value, sort) in row.values(image) {
        let _ = write!(text, " {}", printer.value(value, sort));
    }
    let note = row.note(image);
    if !note.is_empty() {
        let _ = write!(text, " ({note})");
    }
    let detail = if row.is_detail(image) { " detail" } else { "" };
    text + detail
}

fn moments(bytes: &[u8]) -> Vec<(Row, String)> {
    let mut timeline = Timeline::open(bytes).expect("a header");
    let (mut builder, mut rows) = (RowBuilder::default(), Vec::new());
    while let Some(moment) = timeline.next() {
        let kernel = timeline.kernel();
        let Some(row) = builder.moment(moment.expect("memory does not fail"), kernel) else {
            continue;
        };
        let image = row.session.and_then(|s| describe::image_of(kernel, s));
        let text = line(&row, image);
        rows.push((row, text));
    }
    rows
}

#[test]
fn a_timeline_has_rows() {
    let rows = moments(&small_of(1).0);
    let lines: Vec<String> = rows.into_iter().map(|(_, line)| line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_run_and_its_replay_have_the_same_rows() {
    let mut live = Vec::new();
    let sink = RowSink::new(|row: Row, _: Option<&VerifiedImage>| live.push(row));
    let mut machine = ProtocolMachine::with_sink(full().config, Host::new(3), sink);
    for _ in 0..2 {
        let opened = machine.load_choreography(&sample::ping_pong(1), "me");
        opened.expect("there is room");
    }
    machine.run(u64::MAX);
    drop(machine);
    let (bytes, _) = recorded(&full(), &sample::ping_pong(1), 2, Host::new(3));
    let mut replayed = Vec::new();
    let sink = RowSink::new(|row: Row, _: Option<&VerifiedImage>| replayed.push(row));
    let report = Replay::with_sink(&bytes[..], sink).expect("a valid recording");
    let _ = report.finish().expect("memory does not fail");
    assert_eq!(live, replayed);

    // The timeline has the same rows, but for the inputs that are answers and for the end.
    let answers = |row: &Row| match &row.source {
        Source::Input(Ingress::Outcome { .. }) => true,
        Source::Event(_)
        | Source::Request(_)
        | Source::Input(_)
        | Source::Refused(_)
        | Source::Checkpoint(_)
        | Source::Diverged(_) => false,
    };
    live.retain(|row| !answers(row));
    let rows = moments(&bytes).into_iter().map(|(row, _)| row);
    let rows = rows.filter(|row| row.kind != RowKind::Checkpoint);
    assert_eq!(rows.collect::<Vec<_>>(), live);
}

/// Rows have the clock of the machine, also those that follow an event of an input that advances
/// it.
#[test]
fn rows_have_the_clock_of_the_machine() {
    let mut rows = Vec::new();
    let sink = RowSink::new(|row: Row, _: Option<&VerifiedImage>| rows.push(row));
    let later = FromFn(|_: &EffectRequest<'_>| Reply::Later);
    let config = ProtocolMachineConfig {
        effect_budget: Some(5),
        ..full().config
    };
    let mut machine = ProtocolMachine::with_sink(config, later, sink);
    let image = sample::ping_pong(1);
    machine.load_choreography(&image, "me").expect("room");
    machine.run(u64::MAX);
    // The effect times out: an event of the input.
    let _ = machine.ingress(Ingress::AdvanceClock { ticks: 7 });
    machine.load_choreography(&image, "me").expect("room");
    machine.run(u64::MAX);
    drop(machine);
    let advance = rows.iter().position(|row| {
        let input = &row.source;
        matches!(input, Source::Input(Ingress::AdvanceClock { .. }))
    });
    let (before, after) = rows.split_at(advance.expect("the clock advanced") + 1);
    assert!(before.iter().all(|row| row.clock == 0), "{before:#?}");
    assert!(after.iter().any(|row| row.kind == RowKind::TimeoutIssued));
    assert!(after.iter().any(|row| row.kind == RowKind::Request));
    assert!(after.iter().all(|row| row.clock == 7), "{after:#?}");
}

#[test]
fn the_text_of_a_row_is_its_description() {
    let bytes = small_of(2).0;
    let mut timeline = Timeline::open(&bytes[..]).expect("a header");
    let mut builder = RowBuilder::default();
    while let Some(moment) = timeline.next() {
        let kernel = timeline.kernel();
        let Some(row) = builder.moment(moment.expect("memory does not fail"), kernel) else {
            continue;
        };
        let image = row.session.and_then(|s| describe::image_of(kernel, s));
        let expected = match &row.source {
            Source::Event(event) => describe::event_of(image, event, row.operation),
            Source::Request(request) => describe::request(image, request),
            Source::Input(Ingress::Outcome { effect, outcome }) => {
                let outcome = describe::outcome_of(outcome, image, row.operation);
                format!("{effect} answered: {outcome}")
            }
            Source::Input(input) => describe::input(input),
            Source::Checkpoint(entry) => describe::entry(None, entry),
            Source::Refused(_) | Source::Diverged(_) => continue,
        };
        assert_eq!(row.text(image), expected);
    }
}

#[test]
fn a_failed_effect_has_its_operation_and_its_role() {
    let image = sample::ping_pong(1);
    let mut builder = RowBuilder::default();
    let mut row_of = |index: u64, event: Event| {
        let stamp = Stamp {
            session: SessionId(0),
            index,
            step: index,
            clock: 0,
        };
        builder.event(ObsEvent { stamp, event }, Some(&image))
    };
    let (number, operation) = (0, antiphon_machine::OperationId(0));
    let issued = Event::EffectIssued {
        number,
        coroutine: antiphon_machine::CoroutineId(0),
        operation,
        attempt: 0,
        deadline: None,
    };
    let failure = Failure {
        kind: FailureKind::Denied,
        detail: "not today".into(),
    };
    let issued = row_of(0, issued);
    let failed = row_of(1, Event::EffectFailed { number, failure });
    assert_eq!(failed.operation, Some(operation));
    assert_eq!((failed.role, failed.peer), (issued.role, issued.peer));
    assert!(failed.role.is_some() && failed.peer.is_some());
    assert!(failed.kind.is_trouble() && !failed.is_detail(Some(&image)));
    assert_eq!(failed.note(Some(&image)), "denied: \"not today\"");
    // The effect is not outstanding any more.
    let again = row_of(2, Event::EffectInvalidated { number });
    assert_eq!(again.operation, None);
    let fault = Fault::WrongOperation;
    let coroutine = antiphon_machine::CoroutineId(7);
    let faulted = row_of(3, Event::Faulted { coroutine, fault });
    assert_eq!(faulted.role, None, "a spawned coroutine has no role");
}

#[test]
fn a_builder_of_a_running_machine_knows_the_outstanding_effects() {
    let later = FromFn(|_: &EffectRequest<'_>| Reply::Later);
    let mut machine = ProtocolMachine::new(full().config, later);
    let image = sample::ping_pong(1);
    let opened = machine.load_choreography(&image, "me");
    opened.expect("there is room");
    machine.run(u64::MAX);
    let session = &machine.kernel().sessions()[0];
    let effect = session.effects().first().expect("a role has asked");
    let stamp = Stamp {
        session: session.id(),
        index: 0,
        step: 0,
        clock: 0,
    };
    let event = Event::EffectInvalidated {
        number: effect.number,
    };
    let event = ObsEvent { stamp, event };
    let row = RowBuilder::of(machine.kernel()).event(event.clone(), Some(&image));
    assert_eq!(row.operation, Some(effect.operation));
    assert_eq!(row.role.map(|role| role.0), Some(effect.coroutine.0));
    let unknown = RowBuilder::default().event(event, Some(&image));
    assert_eq!((unknown.operation, unknown.role), (None, None));
}

#[test]
fn the_names_of_the_kinds_are_distinct() {
    let names: BTreeSet<&str> = RowKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), RowKind::ALL.len());
    let is_snake_case = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    assert!(names.iter().all(is_snake_case), "{names:?}");
}
