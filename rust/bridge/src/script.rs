//! Builds a case while running it: each action is done on the kernel at once, so the next action
//! can depend on the result.

use std::sync::Arc;

use antiphon_machine::{
    CodeImage, CoroutineId, EffectId, FailureKind, Ingress, Outcome, Pick, ProtocolMachineConfig,
    SessionId,
};

use crate::case::{Action, Case};
use crate::run::{ActionOut, ActionResult, Runner};

/// The most turns that [`Script::rest`] takes if the machine keeps running.
const TURNS_MAX: usize = 80;

/// A case that is being built, and its machine.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    case: Case,
    runner: Runner,
}

impl Script {
    pub(crate) fn new(
        name: impl Into<String>,
        images: impl IntoIterator<Item = CodeImage>,
        config: ProtocolMachineConfig,
    ) -> Script {
        let case = Case::new(name, images, config);
        let runner = Runner::new(&case);
        Script { case, runner }
    }

    /// A script that has done the case's actions.
    pub(crate) fn resume(case: &Case) -> Script {
        let mut script = Script {
            runner: Runner::new(case),
            case: Case {
                actions: Vec::new(),
                ..case.clone()
            },
        };
        for action in &case.actions {
            script.act(action.clone());
        }
        script
    }

    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    pub(crate) fn name(&self) -> &str {
        &self.case.name
    }

    pub(crate) fn len(&self) -> usize {
        self.case.actions.len()
    }

    pub(crate) fn case(self) -> Case {
        self.case
    }

    pub(crate) fn act(&mut self, action: Action) -> ActionOut {
        let out = self.runner.act(&action);
        self.case.actions.push(action);
        out
    }

    pub(crate) fn input(&mut self, input: Ingress) -> &mut Script {
        self.act(Action::Input(input));
        self
    }

    /// Opens a session of the image with this index.
    pub(crate) fn open_row(&mut self, row: usize, owner: &str) -> &mut Script {
        let image = *self.case.images[row].digest();
        let owner = Arc::from(owner);
        self.input(Ingress::Open { image, owner })
    }

    pub(crate) fn open(&mut self) -> &mut Script {
        self.open_row(0, "me")
    }

    pub(crate) fn turns(&mut self, count: usize) -> &mut Script {
        for _ in 0..count {
            self.act(Action::Turn);
        }
        self
    }

    /// Takes turns until no coroutine is ready; the last turn is the one that finds none.
    pub(crate) fn rest(&mut self) -> &mut Script {
        for _ in 0..TURNS_MAX {
            if let ActionResult::Rested(_) = self.act(Action::Turn).result {
                break;
            }
        }
        self
    }

    pub(crate) fn pick(&mut self, session: u32, coroutine: u16) -> &mut Script {
        self.act(Action::Pick(Pick {
            session: SessionId(session),
            coroutine: CoroutineId(coroutine),
        }));
        self
    }

    /// Steps the coroutines of the first session in this order.
    pub(crate) fn picks(&mut self, coroutines: &[u16]) -> &mut Script {
        for coroutine in coroutines {
            self.pick(0, *coroutine);
        }
        self
    }

    pub(crate) fn answer_in(&mut self, session: u32, number: u64, outcome: Outcome) -> &mut Script {
        let effect = EffectId {
            session: SessionId(session),
            number,
        };
        self.input(Ingress::Outcome { effect, outcome })
    }

    /// Answers an effect of the first session.
    pub(crate) fn answer(&mut self, number: u64, outcome: Outcome) -> &mut Script {
        self.answer_in(0, number, outcome)
    }

    pub(crate) fn fail(&mut self, number: u64, kind: FailureKind) -> &mut Script {
        self.answer(number, Outcome::failure(kind, "by hand"))
    }

    pub(crate) fn tick(&mut self, ticks: u64) -> &mut Script {
        self.input(Ingress::AdvanceClock { ticks })
    }

    pub(crate) fn cancel(&mut self, session: u32, owner: &str) -> &mut Script {
        let owner = Arc::from(owner);
        let session = SessionId(session);
        self.input(Ingress::Cancel { session, owner })
    }
}
