//! Waves: the same sessions run one step at a time and many at a time, and certificates that somebody else made.

use antiphon_machine::{
    CoroutineId, EffectId, Footprint, Ingress, Key, ObsEvent, Outcome, Pick, RunLog, SessionId,
    Sink, SortId, WaveCertificate, WavePick,
};

use crate::case::{Action, Case};
use crate::coins::Coins;
use crate::hand::build;
use crate::random;
use crate::run::{ActionOut, ActionResult};
use crate::script::Script;

/// Turns of a phase; sessions that go on for longer without needing anybody are not compared.
const TURNS_MAX: usize = 160;

/// How often the world answers.
const PHASES_MAX: usize = 6;

/// One run of some sessions twice: under the policy, a step at a time, and in rounds.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Turns and inputs.
    pub canonical: Case,
    /// Rounds and the same inputs, each where nobody is ready.
    pub rounds: Case,
}

/// The run of this seed, with rounds of this width and quantum; `None` when its sessions never come to rest.
///
/// The world answers when nobody is ready and not before. Then every session stands where it would stand under any
/// other schedule, so that the same inputs can follow, and each session's trace must be the same.
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
        // No fewer than one session steps in a round that finds somebody ready; the last finds nobody.
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

/// An answer to everything that is owed, and sometimes some time between.
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

/// What a case's run has shown, for comparing it with another order of the same.
pub fn log_of(case: &Case, outs: &[ActionOut]) -> RunLog {
    let mut log = RunLog::default();
    for (action, out) in case.actions.iter().zip(outs) {
        if let Action::Input(input) = action {
            log.ingress(0, input);
        }
        if let ActionResult::Refused(refusal) = &out.result {
            log.refused(0, refusal);
        }
        for ObsEvent { stamp, event } in &out.events {
            log.event(stamp, event.clone());
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

/// Certificates, good and bad, and rounds of every kind, over three sessions of two coroutines that only give way.
pub fn cases() -> Vec<Case> {
    let idle = || build::alone(vec![build::YIELD, build::YIELD, build::YIELD, build::HALT]);
    let image = build::image(vec![idle(), idle()]);
    let planned = |session: u32, lane: u32| WavePick {
        pick: pick(session, 0),
        lane,
        quantum: 1,
        footprint: Footprint::from_slice(&[ledger(session), of_coroutine(session, 0)]),
    };
    let queue = || (0..3).flat_map(|s| [pick(s, 0), pick(s, 1)]).collect();
    let good = WaveCertificate {
        step_index: 0,
        queue: queue(),
        picks: vec![planned(0, 0), planned(1, 1), planned(2, 2)],
    };
    let bent = |bend: fn(&mut WaveCertificate)| {
        let mut claim = good.clone();
        bend(&mut claim);
        claim
    };
    let claims = [
        ("good", good.clone()),
        ("good, of two sessions", bent(|c| c.picks.truncate(2))),
        (
            "good, two steps each",
            bent(|c| c.picks.iter_mut().for_each(|p| p.quantum = 2)),
        ),
        ("of another step", bent(|c| c.step_index = 1)),
        ("of another queue", bent(|c| c.queue.swap(0, 1))),
        ("of a part of the queue", bent(|c| c.queue.truncate(2))),
        ("without picks", bent(|c| c.picks.clear())),
        (
            "whose first pick is not the policy's",
            bent(|c| c.picks.swap(0, 1)),
        ),
        (
            "that leaves the first pick out",
            bent(|c| c.picks = c.picks.split_off(1)),
        ),
        ("with one lane twice", bent(|c| c.picks[1].lane = 0)),
        (
            "with one session twice",
            bent(|c| c.picks[1] = c.picks[0].clone()),
        ),
        (
            "with a pick out of turn",
            bent(|c| c.picks[1].pick.coroutine = CoroutineId(1)),
        ),
        (
            "with a pick out of turn that says so",
            bent(|c| {
                c.picks[1].pick.coroutine = CoroutineId(1);
                c.picks[1].footprint[1] = of_coroutine(1, 1);
            }),
        ),
        (
            "with a pick that is nobody",
            bent(|c| c.picks[1].pick.session = SessionId(9)),
        ),
        ("without steps", bent(|c| c.picks[2].quantum = 0)),
        (
            "that touches too little",
            bent(|c| c.picks[1].footprint.truncate(1)),
        ),
        (
            "that touches too much",
            bent(|c| c.picks[1].footprint.push(ledger(1))),
        ),
        (
            "that touches another session",
            bent(|c| c.picks[1].footprint[0] = ledger(0)),
        ),
    ];
    let start = |name: String| {
        let mut script = Script::new(name, [image.clone()], Default::default());
        script.open().open().open();
        script
    };
    let mut cases = Vec::new();
    for (name, claim) in claims {
        let mut case = start(format!("a wave {name}")).case();
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
        let mut case = start(format!("rounds of {width}, {quantum} steps each")).case();
        let round = Action::Round { width, quantum };
        case.actions.extend(vec![round; 26]);
        case.actions.push(Action::Turn);
        cases.push(case);
    }
    // Sessions that ask the world: a wave tells no request, and the turn in its place does.
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
        ("a stale wave that asks", Action::Wave(good.clone())),
    ] {
        let mut script = Script::new(name.to_owned(), [image.clone()], Default::default());
        script.open().open().open();
        let mut case = script.case();
        case.actions.extend(vec![action; 14]);
        cases.push(case);
    }
    let mut nobody = Case::new("a wave without sessions", [], Default::default());
    nobody.actions.push(Action::Wave(good.clone()));
    cases.push(nobody);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::EnvelopeDiff;

    use crate::run::run;

    #[test]
    fn envelopes_are_many_and_are_what_they_say() {
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
            let read = Case::from_bytes(&case.to_bytes()).expect("it was written so");
            assert_eq!(read.actions, case.actions);
        }
    }
}
