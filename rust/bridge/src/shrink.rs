//! Shrinking: finds a smaller case that still diverges.

use std::sync::Arc;

use antiphon_machine::{Ingress, SessionId};

use crate::case::{Action, Case};

/// Makes a case smaller while `diverges` holds for it.
///
/// Each call of `diverges` may run the model, so whole halves are dropped before single actions,
/// and there are at most `calls_max` calls. The result is a case for which `diverges` returned
/// true, or the given case.
pub fn shrink(case: &Case, calls_max: u32, diverges: impl FnMut(&Case) -> bool) -> Case {
    let mut shrinking = Shrinking {
        best: case.clone(),
        calls_left: calls_max,
        diverges,
    };
    shrinking.end_early();
    loop {
        let before = shrinking.best.to_bytes().len();
        shrinking.drop_runs();
        shrinking.drop_sessions();
        shrinking.drop_images();
        shrinking.shorten();
        if shrinking.calls_left == 0 || shrinking.best.to_bytes().len() == before {
            return shrinking.best;
        }
    }
}

struct Shrinking<F> {
    best: Case,
    calls_left: u32,
    diverges: F,
}

impl<F: FnMut(&Case) -> bool> Shrinking<F> {
    /// Keeps the case if it still diverges.
    fn try_case(&mut self, case: Case) -> bool {
        if self.calls_left == 0 {
            return false;
        }
        self.calls_left -= 1;
        let good = (self.diverges)(&case);
        if good {
            self.best = case;
        }
        good
    }

    fn try_actions(&mut self, actions: Vec<Action>) -> bool {
        let case = Case {
            actions,
            ..self.best.clone()
        };
        self.try_case(case)
    }

    /// Finds the shortest prefix that diverges, by bisection: actions after the first difference
    /// are not needed.
    fn end_early(&mut self) {
        let (mut low, mut high) = (0, self.best.actions.len());
        while low < high && self.calls_left > 0 {
            let middle = low + (high - low) / 2;
            if self.try_actions(self.best.actions[..middle].to_vec()) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
    }

    /// Drops runs of actions: halves first, single actions last.
    fn drop_runs(&mut self) {
        let mut len = self.best.actions.len().div_ceil(2);
        while len > 0 {
            let mut at = 0;
            while at < self.best.actions.len() && self.calls_left > 0 {
                let mut actions = self.best.actions.clone();
                actions.drain(at..(at + len).min(actions.len()));
                if !self.try_actions(actions) {
                    at += len;
                }
            }
            len /= 2;
        }
    }

    /// Drops whole sessions, with every action on them; later sessions are renumbered.
    fn drop_sessions(&mut self) {
        let is_open = |action: &&Action| matches!(action, Action::Input(Ingress::Open { .. }));
        let mut number = self.best.actions.iter().filter(is_open).count() as u32;
        while number > 0 {
            number -= 1;
            let actions = without_session(&self.best.actions, number);
            self.try_actions(actions);
        }
    }

    fn drop_images(&mut self) {
        let mut row = self.best.images.len();
        while row > 0 {
            row -= 1;
            let mut case = self.best.clone();
            case.images.remove(row);
            self.try_case(case);
        }
    }

    /// Tries the default configuration and shorter owners.
    fn shorten(&mut self) {
        let mut case = self.best.clone();
        case.config.priorities.clear();
        if case.config != self.best.config {
            self.try_case(case);
        }
        let default = antiphon_machine::ProtocolMachineConfig {
            policy: self.best.config.policy,
            ..Default::default()
        };
        if default != self.best.config {
            let case = Case {
                config: default,
                ..self.best.clone()
            };
            self.try_case(case);
        }
        let shorter = self.best.actions.iter().map(|action| match action {
            Action::Input(Ingress::Open { image, .. }) => Action::Input(Ingress::Open {
                image: *image,
                owner: Arc::from("o"),
            }),
            Action::Input(Ingress::Cancel { session, .. }) => Action::Input(Ingress::Cancel {
                session: *session,
                owner: Arc::from("o"),
            }),
            other => other.clone(),
        });
        let shorter: Vec<_> = shorter.collect();
        if shorter != self.best.actions {
            self.try_actions(shorter);
        }
    }
}

/// The actions without the session of this number. Sessions are numbered in the order of the
/// openings, as if none were refused.
fn without_session(actions: &[Action], number: u32) -> Vec<Action> {
    let mut opened = 0;
    let mut kept = Vec::with_capacity(actions.len());
    for action in actions {
        let mut action = action.clone();
        let session = match &mut action {
            Action::Input(Ingress::Open { .. }) => {
                opened += 1;
                if opened - 1 != number {
                    kept.push(action);
                }
                continue;
            }
            Action::Input(Ingress::Outcome { effect, .. }) => Some(&mut effect.session),
            Action::Input(Ingress::Cancel { session, .. }) => Some(session),
            Action::Pick(pick) => Some(&mut pick.session),
            Action::Input(Ingress::AdvanceClock { .. })
            | Action::Turn
            | Action::Round { .. }
            | Action::Wave(_) => None,
        };
        match session {
            Some(SessionId(n)) if *n == number => continue,
            Some(SessionId(n)) if *n > number => *n -= 1,
            Some(_) | None => {}
        }
        kept.push(action);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::run::{ActionResult, run};
    use antiphon_machine::Taken;

    /// A cancellation needs only an opening and itself; every other action is dropped.
    #[test]
    fn only_the_necessary_actions_are_left() {
        let cancelled = |case: &Case| {
            let outs = run(case);
            let cancelled = ActionResult::Taken(Taken::Cancelled);
            outs.iter().any(|out| out.result == cancelled)
        };
        let mut cases = (0..500).map(random::case);
        let long = |case: &Case| case.actions.len() > 50 && case.images.len() == 2;
        let case = cases.find(|case| long(case) && cancelled(case));
        let case = case.expect("many cases cancel a session");
        let small = shrink(&case, 2_000, cancelled);
        assert!(cancelled(&small));
        assert_eq!(small.actions.len(), 2, "{:?}", small.actions);
        assert_eq!(small.images.len(), 1);
        assert_eq!(shrink(&case, 0, cancelled).to_bytes(), case.to_bytes());
    }
}
