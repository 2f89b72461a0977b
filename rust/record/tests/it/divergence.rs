//! Recordings that were edited on purpose: the first difference is found and told with its facts.

use antiphon_machine::{
    Canonical, DeterminismMode, EffectId, Event, FailureKind, Ingress, OperationId, Outcome,
    Refusal, SessionId, Value, sample,
};
use antiphon_record::{Difference, Divergence, Entry, Stop, Verdict, replay, replay_twice};
use std::io::Cursor;

use crate::runs::{Host, edited, full, header, recorded};

/// One session of two pings; entry `n` of the edit is entry `n + 1` of the recording, behind the
/// header.
fn recording() -> Vec<u8> {
    recorded(&full(), &sample::ping_pong(1), 1, Host::new(2)).0
}

fn diverged(edit: impl FnOnce(&mut Vec<Entry>)) -> Divergence {
    let bytes = edited(&recording(), edit);
    let report = replay(&bytes[..]).expect("it is sound");
    let again = replay_twice(Cursor::new(&bytes)).expect("it is sound");
    assert_eq!(again, report);
    match report.verdict {
        Verdict::Diverged(divergence) => *divergence,
        Verdict::Equal | Verdict::EqualUpTo { .. } => panic!("nothing was found"),
    }
}

/// The position of the `n`th entry of a kind.
fn nth(entries: &[Entry], n: usize, is: impl Fn(&Entry) -> bool) -> usize {
    let found = entries.iter().enumerate().filter(|(_, e)| is(e)).nth(n);
    found.expect("there are that many").0
}

fn is_request(entry: &Entry) -> bool {
    matches!(entry, Entry::Request(_))
}

#[test]
fn an_edited_outcome_shows_at_the_first_request_that_carries_it() {
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
fn an_outcome_turned_into_a_failure_shows_as_a_missing_request() {
    let found = diverged(|entries| {
        let at = nth(entries, 1, |e| matches!(e, Entry::Answer(_)));
        entries[at] = Entry::Answer(Outcome::failure(FailureKind::Denied, "not today"));
    });
    assert!(matches!(found.difference, Difference::RequestMissing(_)));
    insta::assert_snapshot!(found);
}

#[test]
fn every_field_of_a_request_counts() {
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
    // And each alone.
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
fn payloads_that_differ_behind_the_preview_are_told_apart() {
    let payload = |n: u64| Value::bytes(&[&[0; 100][..], &[n as u8]].concat());
    let host = Host::of_bytes(2, payload);
    let (bytes, _) = recorded(&full(), &sample::ping_pong_bytes(), 1, host);
    let bytes = edited(&bytes, |entries| {
        let said = Outcome::Success(payload(1));
        let at = nth(entries, 0, |e| matches!(e, Entry::Answer(o) if *o == said));
        entries[at] = Entry::Answer(Outcome::Success(payload(77)));
    });
    let Verdict::Diverged(found) = replay(&bytes[..]).expect("it is sound").verdict else {
        panic!("nothing was found");
    };
    let Difference::Request { fields, .. } = &found.difference else {
        panic!("{found}");
    };
    assert_ne!(fields[0].expected, fields[0].got, "{found}");
}

#[test]
fn a_dropped_request_and_an_invented_one_are_named() {
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
fn an_input_from_nowhere_meets_a_request_that_it_hides() {
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
fn an_input_out_of_its_time_is_named() {
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
fn an_answer_to_nothing_is_named() {
    let found = diverged(|entries| {
        let at = nth(entries, 0, |e| matches!(e, Entry::Answer(_)));
        entries.insert(at, entries[at].clone());
    });
    assert_eq!(found.difference, Difference::AnswerToNothing);
}

#[test]
fn refusals_must_agree() {
    let late = Refusal::Late {
        effect: EffectId {
            session: SessionId(0),
            number: 0,
        },
    };
    let effect = EffectId {
        session: SessionId(0),
        number: 0,
    };
    let outcome = Outcome::done();
    let input = |entries: &[Entry]| {
        let Some(Entry::End(end)) = entries.last() else {
            panic!("it has an end");
        };
        Entry::Input {
            step: end.last.step,
            input: Ingress::Outcome {
                effect,
                outcome: outcome.clone(),
            },
        }
    };
    // The machine refuses a late outcome; the recording says nothing, something else, or the same.
    for told in [None, Some(Refusal::NeverIssued { effect }), Some(late)] {
        let bytes = edited(&recording(), |entries| {
            let end = entries.len() - 1;
            let input = input(entries);
            entries.splice(
                end..end,
                [input].into_iter().chain(told.map(Entry::Refused)),
            );
        });
        let verdict = replay(&bytes[..]).expect("it is sound").verdict;
        if told == Some(late) {
            assert_eq!(verdict, Verdict::Equal);
            continue;
        }
        let Verdict::Diverged(found) = verdict else {
            panic!("nothing was found with {told:?}");
        };
        let expected = Difference::Refusal {
            expected: told,
            got: Some(late),
        };
        assert_eq!(found.difference, expected);
    }
    // As the first, with a request to come that would be the right one.
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
        "the one behind the input, and not a later one"
    );
    // The recording has a refusal that the machine does not make.
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
fn every_field_of_an_end_counts() {
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
fn another_image_is_not_taken_for_the_recorded_one() {
    // The image alone: the session cannot be opened.
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
    // The image and who opens it: every request is the same, the trace is not.
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
fn the_last_events_before_it_are_in_order_and_at_most_sixteen() {
    let (bytes, _) = recorded(&full(), &sample::ping_pong(1), 1, Host::new(50));
    let bytes = edited(&bytes, |entries| {
        let at = nth(entries, 150, is_request);
        if let Entry::Request(request) = &mut entries[at] {
            request.attempt = 9;
        }
    });
    let Verdict::Diverged(found) = replay(&bytes[..]).expect("it is sound").verdict else {
        panic!("nothing was found");
    };
    assert_eq!(found.recent.len(), 16);
    let indices: Vec<_> = found.recent.iter().map(|s| s.event.stamp.index).collect();
    assert!(indices.is_sorted_by(|a, b| a + 1 == *b), "{indices:?}");
    let last = &found.recent[15].event.event;
    assert!(matches!(last, Event::EffectIssued { .. }), "{last:?}");
}

#[test]
fn modulo_effects_a_consistent_edit_replays_and_in_full_it_does_not() {
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
        replay(&bytes[..]).expect("it is sound").verdict
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
