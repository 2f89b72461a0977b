//! A recording replays as the run that it is of, and says where it does not.

use crate::runs::{Host, full, header, recorded, small_of};
use antiphon_machine::{DeterminismMode, sample};
use antiphon_record::{Tail, Verdict, replay};

#[test]
fn a_recording_replays_to_the_same_state() {
    for sessions in [1, 3] {
        let (bytes, kernel) = recorded(&full(), &sample::ping_pong(1), sessions, Host::new(5));
        let report = replay(&bytes[..]).expect("it is sound");
        assert_eq!(report.verdict, Verdict::Equal);
        assert_eq!(report.tail, Some(Tail::Sealed));
        assert_eq!(report.last.state, Some(kernel.state_digest()));
        assert_eq!(report.last.step, kernel.step_index());
    }
}

#[test]
fn answers_that_come_later_replay_too() {
    let (bytes, kernel) = small_of(7);
    let report = replay(&bytes[..]).expect("it is sound");
    assert_eq!(report.verdict, Verdict::Equal);
    assert_eq!(report.tail, Some(Tail::Sealed));
    assert_eq!(report.last.state, Some(kernel.state_digest()));
}

#[test]
fn every_mode_that_a_live_machine_has_replays() {
    for mode in [
        DeterminismMode::Full,
        DeterminismMode::ModuloEffects,
        DeterminismMode::ModuloCommutativity,
    ] {
        let (bytes, _) = recorded(&header(mode), &sample::ping_pong(1), 3, Host::new(5));
        let report = replay(&bytes[..]).expect("it is sound");
        assert_eq!(report.verdict, Verdict::Equal, "{mode:?}");
        assert_eq!(report.tail, Some(Tail::Sealed), "{mode:?}");
    }
}
