//! Timelines, and differences of recordings as text.

use std::fmt::Write;

use antiphon_machine::{Ingress, ObsEvent, ProtocolMachine, SessionId, sample};
use antiphon_record::{
    CompareOptions, Comparison, Entry, Flush, Moment, Reader, Recorder, Tail, Timeline, compare,
    describe, diff,
};

use crate::runs::{Host, edited, full, recorded, small, small_of};

fn timeline_text(bytes: &[u8]) -> String {
    let mut timeline = Timeline::open(bytes).expect("a header");
    let mut text = format!("{}\n", timeline.header().tool);
    while let Some(moment) = timeline.next() {
        let line = match moment.expect("memory does not fail") {
            Moment::Entry { index, entry } => {
                let session = match &entry {
                    Entry::Request(request) => Some(request.effect.session),
                    _ => None,
                };
                let image = session.and_then(|s| describe::image_of(timeline.kernel(), s));
                format!("{index:>3} {}", describe::entry(image, &entry))
            }
            Moment::Event(event) => {
                let image = describe::image_of(timeline.kernel(), event.stamp.session);
                format!(
                    "      {:>2} {}",
                    event.stamp.step,
                    describe::event(image, &event)
                )
            }
            Moment::Diverged(divergence) => divergence.to_string(),
        };
        let _ = writeln!(text, "{line}");
    }
    let tail = timeline.tail().map(Tail::to_string);
    let _ = writeln!(text, "{}", tail.unwrap_or_default());
    text
}

#[test]
fn a_timeline_has_entries_and_events_in_order() {
    insta::assert_snapshot!(timeline_text(&small_of(1).0));
}

#[test]
fn a_timeline_ends_with_the_divergence() {
    let bytes = edited(&small_of(1).0, |entries| {
        for entry in entries {
            if let Entry::Request(request) = entry
                && request.effect.number == 3
            {
                request.attempt = 1;
            }
        }
    });
    insta::assert_snapshot!(timeline_text(&bytes));
}

#[test]
fn a_timeline_has_every_event_of_the_run() {
    let run = |sink: &mut Vec<ObsEvent>| {
        let mut machine = ProtocolMachine::with_sink(full().config, Host::new(20), sink);
        for _ in 0..3 {
            let opened = machine.load_choreography(&sample::ping_pong(1), "me");
            opened.expect("there is room");
        }
        machine.run(u64::MAX);
    };
    let mut live = Vec::new();
    run(&mut live);
    let (bytes, _) = recorded(&full(), &sample::ping_pong(1), 3, Host::new(20));
    let moments = Timeline::open(&bytes[..]).expect("a valid recording");
    let events = moments.filter_map(|moment| match moment.expect("memory does not fail") {
        Moment::Event(event) => Some(event),
        Moment::Entry { .. } => None,
        Moment::Diverged(divergence) => panic!("{divergence}"),
    });
    assert_eq!(events.collect::<Vec<_>>(), live);
}

fn compared(a: &[u8], b: &[u8]) -> Comparison {
    let mut a = Reader::open(a).expect("a header");
    let mut b = Reader::open(b).expect("a header");
    diff(&mut a, &mut b).expect("memory does not fail")
}

#[test]
fn records_and_checkpoints_do_not_make_a_difference() {
    // The first recording has a record and a checkpoint for every rest; the second one was written
    // again without checkpoints.
    let bytes = small_of(20).0;
    let bare = edited(&bytes, |entries| {
        entries.retain(|e| !matches!(e, Entry::Checkpoint(_)))
    });
    assert_ne!(bytes, bare);
    assert!(matches!(compared(&bytes, &bare), Comparison::Equal { .. }));
    assert!(matches!(compared(&bare, &bytes), Comparison::Equal { .. }));
}

#[test]
fn diff_shows_the_first_difference_after_equal_entries() {
    let (a, _) = recorded(&full(), &sample::ping_pong(1), 2, Host::new(2));
    let (b, _) = recorded(&full(), &sample::ping_pong(1), 2, Host::new(3));
    insta::assert_snapshot!(compared(&a, &b));
}

#[test]
fn a_truncated_recording_is_equal_up_to_its_end() {
    let bytes = small();
    let cut = &bytes[..bytes.len() / 2];
    let torn = |tail: &Option<Tail>| matches!(tail, Some(Tail::Torn { .. }));
    let Comparison::EqualUpTo { left, right, .. } = compared(&bytes, cut) else {
        panic!("a recording was truncated");
    };
    assert!(left.is_none() && torn(&right), "{left:?}, {right:?}");
    let Comparison::EqualUpTo { left, right, .. } = compared(cut, cut) else {
        panic!("a recording was truncated");
    };
    assert!(torn(&left) && torn(&right), "{left:?}, {right:?}");
}

#[test]
fn different_configurations_are_reported_first() {
    let mut other = full();
    other.config.buffer_len_max = 3;
    other.source = None;
    let (a, _) = recorded(&full(), &sample::ping_pong(1), 1, Host::new(1));
    let (b, _) = recorded(&other, &sample::ping_pong(1), 1, Host::new(1));
    let Comparison::Header { fields } = compared(&a, &b) else {
        panic!("they differ");
    };
    let names: Vec<_> = fields.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["configuration", "protocol source"]);
}

#[test]
fn text_from_a_recording_cannot_control_the_terminal() {
    let owner = "\u{1b}[2J\u{202e}\u{7}".to_owned() + &"long ".repeat(100);
    let input = Ingress::Cancel {
        session: SessionId(1),
        owner: owner.into(),
    };
    let text = describe::input(&input);
    assert!(
        text.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{text:?}"
    );
    assert!(text.len() < 200, "{text:?}");
}

#[test]
fn advances_of_the_clock_are_compared() {
    let advanced = |ticks| {
        let header = full();
        let recorder =
            Recorder::create(Vec::new(), &header, Flush::default()).expect("memory does not fail");
        let mut machine = ProtocolMachine::with_sink(header.config.clone(), Host::new(1), recorder);
        let advance = machine.ingress(Ingress::AdvanceClock { ticks });
        advance.expect("the clock advances");
        let (kernel, _, recorder) = machine.into_parts();
        recorder.finish(&kernel).expect("memory does not fail")
    };
    let (a, b) = (advanced(1), advanced(2));

    let open = |bytes| Reader::open(bytes).expect("a header");
    let found = diff(&mut open(&a[..]), &mut open(&b[..])).expect("memory does not fail");
    let text = found.to_string();
    assert!(
        text.ends_with("- step 0: the clock advances by 1\n  + step 0: the clock advances by 2"),
        "{text}"
    );

    let options = CompareOptions {
        time: true,
        ..CompareOptions::default()
    };
    let found = compare(&a[..], &b[..], &options).expect("two headers");
    let text = found.text("a", "b");
    assert!(
        text.contains("- the clock advances by 1\n  + the clock advances by 2"),
        "{text}"
    );
}
