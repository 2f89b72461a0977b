//! Waves: the same sessions run step by step and in waves, and waves with given certificates, valid
//! or not.

use antiphon_machine::{
    CodeImage, CoroutineId, EffectId, Footprint, Ingress, Key, ObsEvent, Observation, Outcome,
    Pick, RunLog, SessionId, Sink, SortId, WaveCertificate, WavePick,
};

use crate::case::{Action, Case};
use crate::coins::Coins;
use crate::hand::build;
use crate::random;
use crate::run::{ActionOut, ActionResult};
use crate::script::Script;

/// The most turns of a phase. Sessions that run longer without an outstanding effect are not
/// compared.
const TURNS_MAX: usize = 160;

/// The most phases; effects are answered between phases.
const PHASES_MAX: usize = 6;

/// The same sessions and inputs run in two ways: step by step under the policy, and in rounds.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Turns and inputs.
    pub canonical: Case,
    /// Rounds, with the same inputs wherever no coroutine is ready.
    pub rounds: Case,
}

/// The two runs of this seed, with rounds of this width and quantum. `None` if the sessions never
/// rest.
///
/// Effects are answered only when no coroutine is ready. At that point every session is in the same
/// state under any schedule. So both runs can get the same inputs, and each session's trace must be
/// the same in both.
pub fn envelope(seed: u64, sessions: usize, width: u32, quantum: u32) -> Option<Envelope> {
    let opened = random::scenario(seed, sessions);
    let mut coins = Coins::new(seed);
    let mut script = Script::resume(&opened);
    let mut rounds = Case {
        name: format!("{} in rounds of {width}, {quantum} steps each", opened.name),
        ..opened
    };
    for _ in 0..PHASES_MAX {
        let turns = turns_to_rest(&mut script)?;
        // At least one session steps in each round until no coroutine is ready, so this many rounds
        // are enough.
        rounds
            .actions
            .extend(vec![Action::Round { width, quantum }; turns]);
        let inputs = inputs(&script, &mut coins);
        if inputs.is_empty() {
            break;
        }
        for input in inputs {
            script.input(input.clone());
            rounds.actions.push(Action::Input(input));
        }
    }
    Some(Envelope {
        canonical: script.case(),
        rounds,
    })
}

fn turns_to_rest(script: &mut Script) -> Option<usize> {
    let mut turn = || script.act(Action::Turn).result;
    (1..=TURNS_MAX).find(|_| matches!(turn(), ActionResult::Rested(_)))
}

/// An answer to every outstanding effect, sometimes with a clock tick before it.
fn inputs(script: &Script, coins: &mut Coins) -> Vec<Ingress> {
    let kernel = script.runner().kernel();
    let mut inputs = Vec::new();
    for session in kernel.sessions() {
        let image = kernel.image(session).image();
        for effect in session.effects() {
            if coins.once_in(8) {
                let ticks = coins.below(12) as u64;
                inputs.push(Ingress::AdvanceClock { ticks });
            }
            let result: SortId = image.operations[effect.operation.index()].result;
            inputs.push(Ingress::Outcome {
                effect: EffectId {
                    session: session.id(),
                    number: effect.number,
                },
                outcome: match coins.below(10) {
                    0 => Outcome::failure(antiphon_machine::FailureKind::Unavailable, ""),
                    _ => Outcome::Success(random::value_of(result, &image.sorts, coins)),
                },
            });
        }
    }
    inputs
}

/// The log of a case's run, to compare it with a run in another order.
pub fn log_of(case: &Case, outs: &[ActionOut]) -> RunLog {
    let mut log = RunLog::default();
    for (action, out) in case.actions.iter().zip(outs) {
        if let Action::Input(input) = action {
            log.observe(Observation::Input { step: 0, input });
        }
        if let ActionResult::Refused(refusal) = &out.result {
            log.observe(Observation::Refused { step: 0, refusal });
        }
        for ObsEvent { stamp, event } in &out.events {
            log.observe(Observation::Event { stamp, event });
        }
    }
    log
}

fn pick(session: u32, coroutine: u16) -> Pick {
    Pick {
        session: SessionId(session),
        coroutine: CoroutineId(coroutine),
    }
}

fn ledger(session: u32) -> Key {
    let session = SessionId(session);
    Key::Ledger { session }
}

fn of_coroutine(session: u32, coroutine: u16) -> Key {
    let Pick { session, coroutine } = pick(session, coroutine);
    Key::Coroutine { session, coroutine }
}

/// Three sessions of the image, opened, under this name.
fn opened(name: String, image: &CodeImage) -> Case {
    let mut script = Script::new(name, [image.clone()], Default::default());
    script.open().open().open();
    script.case()
}

/// The certificate of the first wave of three sessions with two coroutines each: the first
/// coroutine of each session takes one step.
fn good() -> WaveCertificate {
    let planned = |session: u32, lane: u32| WavePick {
        pick: pick(session, 0),
        lane,
        quantum: 1,
        footprint: Footprint::from_slice(&[ledger(session), of_coroutine(session, 0)]),
    };
    WaveCertificate {
        step_index: 0,
        queue: (0..3).flat_map(|s| [pick(s, 0), pick(s, 1)]).collect(),
        picks: vec![planned(0, 0), planned(1, 1), planned(2, 2)],
    }
}

/// The good certificate and variants for the same wave; most variants are invalid.
fn claims() -> Vec<(&'static str, WaveCertificate)> {
    let good = good();
    let changed = |change: fn(&mut WaveCertificate)| {
        let mut claim = good.clone();
        change(&mut claim);
        claim
    };
    vec![
        ("good", good.clone()),
        ("good, of two sessions", changed(|c| c.picks.truncate(2))),
        (
            "good, two steps each",
            changed(|c| c.picks.iter_mut().for_each(|p| p.quantum = 2)),
        ),
        ("of another step", changed(|c| c.step_index = 1)),
        ("of another queue", changed(|c| c.queue.swap(0, 1))),
        ("of a part of the queue", changed(|c| c.queue.truncate(2))),
        ("without picks", changed(|c| c.picks.clear())),
        (
            "whose first pick is not the policy's",
            changed(|c| c.picks.swap(0, 1)),
        ),
        (
            "that leaves the first pick out",
            changed(|c| c.picks = c.picks.split_off(1)),
        ),
        ("with one lane twice", changed(|c| c.picks[1].lane = 0)),
        (
            "with one session twice",
            changed(|c| c.picks[1] = c.picks[0].clone()),
        ),
        (
            "with a pick out of turn",
            changed(|c| c.picks[1].pick.coroutine = CoroutineId(1)),
        ),
        (
            "with a pick out of turn that says so",
            changed(|c| {
                c.picks[1].pick.coroutine = CoroutineId(1);
                c.picks[1].footprint[1] = of_coroutine(1, 1);
            }),
        ),
        (
            "with a pick that is nobody",
            changed(|c| c.picks[1].pick.session = SessionId(9)),
        ),
        ("without steps", changed(|c| c.picks[2].quantum = 0)),
        (
            "that touches too little",
            changed(|c| c.picks[1].footprint.truncate(1)),
        ),
        (
            "that touches too much",
            changed(|c| c.picks[1].footprint.push(ledger(1))),
        ),
        (
            "that touches another session",
            changed(|c| c.picks[1].footprint[0] = ledger(0)),
        ),
    ]
}

/// Waves with given certificates, and rounds of every kind.
pub fn cases() -> Vec<Case> {
    let idle = || build::alone(vec![build::YIELD, build::YIELD, build::YIELD, build::HALT]);
    let image = build::image(vec![idle(), idle()]);
    let mut cases = Vec::new();
    for (name, claim) in claims() {
        let mut case = opened(format!("a wave {name}"), &image);
        case.actions.push(Action::Wave(claim));
        case.actions.push(Action::Turn);
        cases.push(case);
    }
    for (width, quantum) in [
        (0, 1),
        (1, 1),
        (1, 0),
        (2, 1),
        (3, 1),
        (3, 2),
        (9, 3),
        (3, 99),
    ] {
        let mut case = opened(format!("rounds of {width}, {quantum} steps each"), &image);
        let round = Action::Round { width, quantum };
        case.actions.extend(vec![round; 26]);
        case.actions.push(Action::Turn);
        cases.push(case);
    }
    add_asking(&mut cases);
    let mut empty = Case::new("a wave without sessions", [], Default::default());
    empty.actions.push(Action::Wave(good()));
    cases.push(empty);
    cases
}

/// Adds waves and rounds of sessions that issue effects. A wave reports no request, but the turn in
/// place of a refused wave does.
fn add_asking(cases: &mut Vec<Case>) {
    let asking = || {
        build::alone(vec![
            build::set(1, 7_u64),
            build::invoke(build::op::DO, &[1], 2, None),
        ])
    };
    let image = build::image(vec![asking(), asking()]);
    for (name, action) in [
        (
            "rounds of 3 that ask",
            Action::Round {
                width: 3,
                quantum: 1,
            },
        ),
        (
            "rounds of 3 that would ask twice",
            Action::Round {
                width: 3,
                quantum: 9,
            },
        ),
        (
            "rounds without steps that ask",
            Action::Round {
                width: 3,
                quantum: 0,
            },
        ),
        ("a stale wave that asks", Action::Wave(good())),
    ] {
        let mut case = opened(name.to_owned(), &image);
        case.actions.extend(vec![action; 14]);
        cases.push(case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::EnvelopeDiff;

    use crate::run::run;

    #[test]
    fn both_runs_of_an_envelope_have_the_same_traces() {
        let made: Vec<_> = (0..60).filter_map(|seed| envelope(seed, 3, 2, 1)).collect();
        assert!(made.len() >= 30, "{} of 60", made.len());
        let mut sessions = 0;
        for Envelope { canonical, rounds } in &made {
            let is_input = |action: &&Action| matches!(action, Action::Input(_));
            let inputs = |case: &Case| case.actions.iter().filter(is_input).count();
            assert_eq!(inputs(canonical), inputs(rounds));
            let opened = |a: &&Action| matches!(a, Action::Input(Ingress::Open { .. }));
            sessions += canonical.actions.iter().filter(opened).count();
            let log = |case| log_of(case, &run(case));
            let diff = EnvelopeDiff::between(&log(canonical), &log(rounds));
            assert!(diff.is_within(), "`{}`: {diff}", canonical.name);
        }
        assert_eq!(sessions, 3 * made.len());
    }

    #[test]
    fn certificates_are_read_back() {
        for case in cases() {
            let read = Case::from_bytes(&case.to_bytes()).expect("the case is canonical");
            assert_eq!(read.actions, case.actions);
        }
    }
}
