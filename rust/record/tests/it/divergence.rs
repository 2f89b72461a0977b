//! Edited recordings: the replay finds the first difference and reports its facts.

use antiphon_machine::{
    Canonical, DeterminismMode, EffectId, Event, FailureKind, Ingress, OperationId, Outcome,
    Refusal, SessionId, Value, sample,
};
use antiphon_record::{Difference, Divergence, Entry, Stop, Verdict, replay, replay_twice};
use std::io::Cursor;

use crate::runs::{Host, edited, full, header, recorded};

/// One session of two pings. Entry `n` of an edit is entry `n + 1` of the recording, which has a
/// header first.
fn recording() -> Vec<u8> {
    recorded(&full(), &sample::ping_pong(1), 1, Host::new(2)).0
}

fn diverged(edit: impl FnOnce(&mut Vec<Entry>)) -> Divergence {
    let bytes = edited(&recording(), edit);
    let report = replay(&bytes[..]).expect("a valid recording");
    let again = replay_twice(Cursor::new(&bytes)).expect("a valid recording");
    assert_eq!(again, report);
    match report.verdict {
        Verdict::Diverged(divergence) => *divergence,
        Verdict::Equal | Verdict::EqualUpTo { .. } => panic!("no divergence was found"),
    }
}

/// The position of the entry with number `n`, from 0, among those for which `is` holds.
fn nth(entries: &[Entry], n: usize, is: impl Fn(&Entry) -> bool) -> usize {
    let found = entries.iter().enumerate().filter(|(_, e)| is(e)).nth(n);
    found.expect("enough entries").0
}

fn is_request(entry: &Entry) -> bool {
    matches!(entry, Entry::Request(_))
}

#[test]
fn an_edited_outcome_diverges_at_the_first_request_with_it() {
    let found = diverged(|entries| {
        let at = nth(entries, 0, |e| {
            matches!(e, Entry::Answer(Outcome::Success(Value::Nat(1))))
        });
        entries[at] = Entry::Answer(Outcome::success(99u64));
    });
    assert!(matches!(&found.difference, Difference::Request { fields, .. } if fields.len() == 1));
    insta::assert_snapshot!(found);
}

#[test]
fn an_outcome_changed_to_a_failure_is_a_missing_request() {
    let found = diverged(|entries| {
        let at = nth(entries, 1, |e| matches!(e, Entry::Answer(_)));
        entries[at] = Entry::Answer(Outcome::failure(FailureKind::Denied, "not today"));
    });
    assert!(matches!(found.difference, Difference::RequestMissing(_)));
    insta::assert_snapshot!(found);
}

#[test]
fn every_field_of_a_request_is_compared() {
    let found = diverged(|entries| {
        let at = nth(entries, 2, is_request);
        let Entry::Request(request) = &mut entries[at] else {
            return;
        };
        request.effect.number += 7;
        request.role = Some(antiphon_machine::RoleId(0));
        request.operation = OperationId(2);
        request.attempt = 1;
        request.deadline = Some(10);
        request.args = vec![Value::text("other"), Value::Unit];
    });
    insta::assert_snapshot!(found);
    // Each field alone.
    let edits: [fn(&mut antiphon_record::Request); 7] = [
        |r| r.step += 1,
        |r| r.step -= 1,
        |r| r.effect.session = SessionId(1),
        |r| r.role = None,
        |r| r.attempt = 1,
        |r| r.deadline = Some(1),
        |r| r.args.push(Value::Unit),
    ];
    for (n, edit) in edits.into_iter().enumerate() {
        let found = diverged(|entries| {
            let at = nth(entries, 2, is_request);
            if let Entry::Request(request) = &mut entries[at] {
                edit(request);
            }
        });
        assert_eq!(found.entry, 7, "edit {n}: {found}");
    }
}

#[test]
fn long_payloads_are_shown_around_their_difference() {
    let payload = |n: u64| Value::bytes(&[&[0; 100][..], &[n as u8]].concat());
    let host = Host::of_bytes(2, payload);
    let (bytes, _) = recorded(&full(), &sample::ping_pong_bytes(), 1, host);
    let bytes = edited(&bytes, |entries| {
        let outcome = Outcome::Success(payload(1));
        let at = nth(
            entries,
            0,
            |e| matches!(e, Entry::Answer(o) if *o == outcome),
        );
        entries[at] = Entry::Answer(Outcome::Success(payload(77)));
    });
    let Verdict::Diverged(found) = replay(&bytes[..]).expect("a valid recording").verdict else {
        panic!("no divergence was found");
    };
    let Difference::Request { fields, .. } = &found.difference else {
        panic!("{found}");
    };
    assert_ne!(fields[0].expected, fields[0].got, "{found}");
}

#[test]
fn removed_and_added_requests_are_reported() {
    let found = diverged(|entries| {
        let at = nth(entries, 1, is_request);
        entries.drain(at..at + 2);
    });
    assert!(
        matches!(found.difference, Difference::Request { .. }),
        "{found}"
    );

    let found = diverged(|entries| {
        let end = entries.len() - 1;
        let mut request = entries[nth(entries, 0, is_request)].clone();
        if let Entry::Request(request) = &mut request {
            request.step = 100;
        }
        entries.insert(end, request);
    });
    insta::assert_snapshot!(found);
}

#[test]
fn an_added_input_hides_a_request() {
    let found = diverged(|entries| {
        let at = nth(entries, 1, is_request);
        let input = Ingress::AdvanceClock { ticks: 5 };
        entries.insert(at, Entry::Input { step: 4, input });
    });
    assert!(
        matches!(found.difference, Difference::RequestExtra(_)),
        "{found}"
    );
    insta::assert_snapshot!(found);
}

#[test]
fn an_input_at_a_wrong_step_is_reported() {
    let at_step = |step| {
        diverged(|entries| {
            let end = entries.len() - 1;
            let input = Ingress::AdvanceClock { ticks: 5 };
            entries.insert(end, Entry::Input { step, input });
        })
    };
    assert_eq!(at_step(1000).difference, Difference::Rest { step: 1000 });
    assert_eq!(at_step(0).difference, Difference::Past { step: 0 });
    insta::assert_snapshot!(at_step(1000));
}

#[test]
fn an_answer_without_a_request_is_reported() {
    let found = diverged(|entries| {
        let at = nth(entries, 0, |e| matches!(e, Entry::Answer(_)));
        entries.insert(at, entries[at].clone());
    });
    assert_eq!(found.difference, Difference::AnswerToNothing);
}

#[test]
fn refusals_are_compared() {
    let effect = EffectId {
        session: SessionId(0),
        number: 0,
    };
    let late = Refusal::Late { effect };
    let outcome = Outcome::done();
    let input = |entries: &[Entry]| {
        let Some(Entry::End(end)) = entries.last() else {
            panic!("an end is missing");
        };
        Entry::Input {
            step: end.last.step,
            input: Ingress::Outcome {
                effect,
                outcome: outcome.clone(),
            },
        }
    };
    // The machine refuses a late outcome. The recording has no refusal, another one, or the same.
    for recorded in [None, Some(Refusal::NeverIssued { effect }), Some(late)] {
        let bytes = edited(&recording(), |entries| {
            let end = entries.len() - 1;
            let input = input(entries);
            entries.splice(
                end..end,
                [input].into_iter().chain(recorded.map(Entry::Refused)),
            );
        });
        let verdict = replay(&bytes[..]).expect("a valid recording").verdict;
        if recorded == Some(late) {
            assert_eq!(verdict, Verdict::Equal);
            continue;
        }
        let Verdict::Diverged(found) = verdict else {
            panic!("no divergence was found with {recorded:?}");
        };
        let expected = Difference::Refusal {
            expected: recorded,
            got: Some(late),
        };
        assert_eq!(found.difference, expected);
    }
}

#[test]
fn a_missing_refusal_is_reported_before_an_equal_request() {
    let mut at = 0;
    let found = diverged(|entries| {
        at = nth(entries, 1, is_request);
        let Entry::Request(request) = &entries[at - 2] else {
            panic!("a request and its answer");
        };
        let input = Ingress::Cancel {
            session: SessionId(0),
            owner: "somebody else".into(),
        };
        let step = request.step;
        entries.insert(at, Entry::Input { step, input });
    });
    let session = SessionId(0);
    let expected = Difference::Refusal {
        expected: None,
        got: Some(Refusal::NotOwner { session }),
    };
    assert_eq!(found.difference, expected);
    assert_eq!(
        found.entry,
        at as u64 + 2,
        "the entry after the input, and not a later one"
    );
}

#[test]
fn an_added_refusal_is_reported() {
    let found = diverged(|entries| {
        let at = nth(entries, 0, |e| matches!(e, Entry::Input { .. }));
        entries.insert(at + 1, Entry::Refused(Refusal::NoSuchImage));
    });
    let expected = Difference::Refusal {
        expected: Some(Refusal::NoSuchImage),
        got: None,
    };
    assert_eq!(found.difference, expected);
}

#[test]
fn every_field_of_an_end_is_compared() {
    let edit_end = |edit: fn(&mut antiphon_record::End)| {
        diverged(|entries| {
            if let Some(Entry::End(end)) = entries.last_mut() {
                edit(end);
            }
        })
    };
    let found = edit_end(|e| e.last.clock = 9);
    assert_eq!(
        found.difference,
        Difference::Clock {
            expected: 9,
            got: 0
        }
    );
    let found = edit_end(|e| e.last.state = Some([1; 32]));
    assert!(matches!(found.difference, Difference::State { expected, .. } if expected == [1; 32]));
    let found = edit_end(|e| e.last.trace = Some([1; 32]));
    assert!(matches!(found.difference, Difference::Trace { expected, .. } if expected == [1; 32]));
    let found = edit_end(|e| e.stop = Stop::Stuck);
    let expected = Difference::Stop {
        expected: Stop::Stuck,
        got: Stop::Done,
    };
    assert_eq!(found.difference, expected);
    let found = edit_end(|e| e.last.step += 1);
    assert!(
        matches!(found.difference, Difference::Rest { .. }),
        "{found}"
    );
}

#[test]
fn an_exchanged_image_is_detected() {
    // Only the image is exchanged: the session cannot be opened.
    let other = sample::ping_pong(2);
    let swap = |entries: &mut Vec<Entry>| {
        let at = nth(entries, 0, |e| matches!(e, Entry::Image(_)));
        entries[at] = Entry::Image(other.image().to_bytes());
    };
    let found = diverged(swap);
    assert!(matches!(
        found.difference,
        Difference::Refusal {
            expected: None,
            got: Some(Refusal::NoSuchImage)
        }
    ));
    // The image and its digest in the input: the requests are equal, the trace is not.
    let found = diverged(|entries| {
        swap(entries);
        for entry in entries {
            if let Entry::Input {
                input: Ingress::Open { image, .. },
                ..
            } = entry
            {
                *image = *other.digest();
            }
        }
    });
    assert!(
        matches!(found.difference, Difference::Trace { .. }),
        "{found}"
    );
}

#[test]
fn keeps_the_last_sixteen_events_in_order() {
    let (bytes, _) = recorded(&full(), &sample::ping_pong(1), 1, Host::new(50));
    let bytes = edited(&bytes, |entries| {
        let at = nth(entries, 150, is_request);
        if let Entry::Request(request) = &mut entries[at] {
            request.attempt = 9;
        }
    });
    let Verdict::Diverged(found) = replay(&bytes[..]).expect("a valid recording").verdict else {
        panic!("no divergence was found");
    };
    assert_eq!(found.recent.len(), 16);
    let indices: Vec<_> = found.recent.iter().map(|s| s.event.stamp.index).collect();
    assert!(indices.is_sorted_by(|a, b| a + 1 == *b), "{indices:?}");
    let last = &found.recent[15].event.event;
    assert!(matches!(last, Event::EffectIssued { .. }), "{last:?}");
}

#[test]
fn only_modes_with_digests_detect_a_consistent_edit() {
    let shifted = |mode| {
        let (bytes, _) = recorded(&header(mode), &sample::ping_pong(1), 1, Host::new(2));
        let bytes = edited(&bytes, |entries| {
            for entry in entries {
                match entry {
                    Entry::Answer(Outcome::Success(Value::Nat(n))) if *n == 1 => *n = 1001,
                    Entry::Request(request) => {
                        for arg in &mut request.args {
                            if *arg == Value::Nat(1) {
                                *arg = Value::Nat(1001);
                            }
                        }
                    }
                    _ => {}
                }
            }
        });
        replay(&bytes[..]).expect("a valid recording").verdict
    };
    assert_eq!(shifted(DeterminismMode::ModuloEffects), Verdict::Equal);
    for mode in [DeterminismMode::Full, DeterminismMode::ModuloCommutativity] {
        let Verdict::Diverged(found) = shifted(mode) else {
            panic!("nothing was found in {mode:?}");
        };
        assert!(
            matches!(found.difference, Difference::Trace { .. }),
            "{found}"
        );
    }
}
