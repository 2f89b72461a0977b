//! Random actions on random images, chosen while the machine runs.

use std::sync::Arc;

use antiphon_machine::*;

use super::{altered, assembled, text, values};
use crate::case::{Action, Case};
use crate::coins::Coins;
use crate::run::ActionResult;
use crate::script::Script;

/// The most actions of a random case.
const ACTIONS_MAX: usize = 200;

/// The case of this seed.
pub fn case(seed: u64) -> Case {
    let mut coins = Coins::new(seed);
    let images: Vec<_> = (0..1 + coins.below(2))
        .map(|_| image(seed, &mut coins))
        .collect();
    let config = config(&mut coins);
    let wanted = match coins.below(4) {
        0 => ACTIONS_MAX,
        _ => 20 + coins.below(ACTIONS_MAX / 3),
    };
    let mut world = World {
        rows: images.len(),
        script: Script::new(format!("random {seed}"), images, config),
        coins,
        resting: false,
    };
    for _ in 0..1 + world.coins.below(2) {
        world.open();
    }
    while world.script.len() < wanted {
        world.act();
    }
    world.script.case()
}

/// The images, the configuration and the opened sessions of a seed, for a run that the caller
/// schedules. Every image is valid.
pub fn scenario(seed: u64, sessions: usize) -> Case {
    let mut coins = Coins::new(seed);
    let images: Vec<_> = (0..2).map(|_| assembled::image(&mut coins)).collect();
    let mut config = config(&mut coins);
    config.sessions_max = sessions as u32;
    let mut script = Script::new(format!("scenario {seed}"), images, config);
    for n in 0..sessions {
        script.open_row(n % 2, "me");
    }
    script.case()
}

/// Images of any kind, a configuration, and `sessions` opened sessions, for a run that the caller
/// drives.
pub fn opened(seed: u64, sessions: usize) -> Case {
    let mut coins = Coins::new(seed);
    let images: Vec<_> = (0..1 + coins.below(2))
        .map(|_| image(seed, &mut coins))
        .collect();
    let rows = images.len();
    let mut config = config(&mut coins);
    config.sessions_max = sessions as u32;
    let mut script = Script::new(format!("driven {seed}"), images, config);
    for n in 0..sessions {
        script.open_row(n % rows, "me");
    }
    script.case()
}

fn image(seed: u64, coins: &mut Coins) -> CodeImage {
    let compiled = |coins: &mut Coins| text::image(coins);
    match seed % 4 {
        0 | 1 => assembled::image(coins),
        2 => compiled(coins).unwrap_or_else(|| assembled::image(coins)),
        _ => {
            let mut image = match coins.below(3) {
                0 => sample::ping_pong_image(1, SortId(coins.below(3) as u16)),
                1 => compiled(coins).unwrap_or_else(|| assembled::image(coins)),
                _ => assembled::image(coins),
            };
            altered::alter(&mut image, coins);
            image
        }
    }
}

fn config(coins: &mut Coins) -> ProtocolMachineConfig {
    let names = ["A", "B", "C", "Client"];
    let priority = |name: &&str| ((*name).to_owned(), 0);
    let mut priorities: std::collections::BTreeMap<_, _> = names.iter().map(priority).collect();
    priorities.retain(|_, priority| {
        *priority = coins.below(4) as u8;
        coins.once_in(2)
    });
    ProtocolMachineConfig {
        policy: SchedulingPolicy::ALL[coins.below(4)],
        priorities,
        buffer_len_max: 1 + coins.below(4) as u32,
        payload_len_max: [12, 64, 64 << 10][coins.below(3)],
        coroutines_max: 2 + coins.below(6) as u16,
        sessions_max: 2 + coins.below(3) as u32,
        witnesses_max: coins.below(4) as u32,
        witness_ttl: 1 + coins.below(30) as u64,
        effect_budget: coins.once_in(2).then(|| coins.below(25) as u64),
        determinism_mode: DeterminismMode::Full,
    }
}

struct World {
    script: Script,
    coins: Coins,
    rows: usize,
    /// Whether the last turn found no ready coroutine.
    resting: bool,
}

impl World {
    fn act(&mut self) {
        let effects = self.outstanding();
        let die = self.coins.below(100);
        match die {
            // If no coroutine is ready, a turn does nothing; only an input can continue the run.
            0..=54 if !self.resting => self.turn(),
            55..=69 => self.pick(),
            0..=86 if !effects.is_empty() => self.answer(&effects),
            87..=90 => self.unexpected_outcome(),
            91..=94 => self.tick(),
            95 => self.cancel(),
            96 => self.open(),
            _ if self.resting && self.coins.once_in(3) => self.open(),
            _ => self.turn(),
        }
    }

    fn turn(&mut self) {
        let out = self.script.act(Action::Turn);
        self.resting = matches!(out.result, ActionResult::Rested(_));
    }

    fn input(&mut self, input: Ingress) {
        self.script.input(input);
        self.resting = self.script.runner().kernel().ready().is_empty();
    }

    /// Picks a ready coroutine most of the time, and any other sometimes.
    fn pick(&mut self) {
        let ready = self.script.runner().kernel().ready();
        let pick = match self.coins.of(&ready) {
            Some(pick) if self.coins.below(8) > 0 => pick,
            _ => Pick {
                session: SessionId(self.coins.below(4) as u32),
                coroutine: CoroutineId(self.coins.below(5) as u16),
            },
        };
        self.script.act(Action::Pick(pick));
    }

    fn open(&mut self) {
        let row = self.coins.below(self.rows);
        let owner = ["me", "you", ""][self.coins.below(3)];
        self.script.open_row(row, owner);
        self.resting = self.script.runner().kernel().ready().is_empty();
    }

    fn cancel(&mut self) {
        let sessions = self.script.runner().kernel().sessions();
        let own = sessions.get(self.coins.below(4)).map(Session::owner);
        let owner = match own {
            Some(owner) if self.coins.below(4) > 0 => Arc::from(owner),
            _ => Arc::from(["me", "you", ""][self.coins.below(3)]),
        };
        let session = SessionId(self.coins.below(sessions.len() + 1) as u32);
        self.input(Ingress::Cancel { session, owner });
    }

    fn tick(&mut self) {
        let ticks = match self.coins.below(40) {
            0 => u64::MAX - self.coins.below(9) as u64,
            n => (n % 13) as u64,
        };
        self.input(Ingress::AdvanceClock { ticks });
    }

    /// Every outstanding effect, with the sort of its result.
    fn outstanding(&self) -> Vec<(EffectId, SortId)> {
        let kernel = self.script.runner().kernel();
        let mut effects = Vec::new();
        for session in kernel.sessions() {
            let operations = &kernel.image(session).image().operations;
            for effect in session.effects() {
                let id = EffectId {
                    session: session.id(),
                    number: effect.number,
                };
                effects.push((id, operations[effect.operation.index()].result));
            }
        }
        effects
    }

    fn answer(&mut self, effects: &[(EffectId, SortId)]) {
        let Some((effect, sort)) = self.coins.of(effects) else {
            return;
        };
        let outcome = self.outcome(effect, sort);
        self.input(Ingress::Outcome { effect, outcome });
    }

    fn outcome(&mut self, effect: EffectId, sort: SortId) -> Outcome {
        let coins = &mut self.coins;
        match coins.below(20) {
            0..=12 => {
                let kernel = self.script.runner().kernel();
                let image = kernel
                    .session(effect.session)
                    .map(|s| kernel.image(s).image());
                let sorts = image.map_or(&[][..], |image| &image.sorts);
                Outcome::Success(values::of_sort(sort, sorts, coins))
            }
            13 => Outcome::Success(values::any(coins, 2)),
            14 => Outcome::Success(Value::bytes(&[1; 70])),
            15 => Outcome::Success(Value::list(vec![Value::Nat(u64::MAX); 10])),
            16 | 17 => Outcome::failure(FailureKind::Unavailable, "not now"),
            _ => {
                let kind = FailureKind::ALL[coins.below(10)];
                Outcome::failure(kind, ["", "no", "größe"][coins.below(3)])
            }
        }
    }

    /// An outcome that is expected only by chance: it may be late, repeated, never issued, or of no
    /// session.
    fn unexpected_outcome(&mut self) {
        let session = SessionId(self.coins.below(4) as u32);
        let number = self.coins.below(6) as u64;
        let effect = EffectId { session, number };
        let sort = SortId(self.coins.below(6) as u16);
        let outcome = self.outcome(effect, sort);
        self.input(Ingress::Outcome { effect, outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_case() {
        for seed in 0..40 {
            let case = case(seed);
            assert_eq!(case.to_bytes(), super::case(seed).to_bytes());
            assert!(case.actions.len() <= ACTIONS_MAX + 1);
        }
    }
}
