//! Cases that were meant: each shows one thing, and its name says which.
//!
//! Every scenario is run under each of the four policies, because an outcome that is right under one may hide a wake or a
//! place in the queue that is wrong under another.

pub(crate) mod build;
mod effects;
mod inputs;
mod messages;
mod steps;

use antiphon_machine::{CodeImage, ProtocolMachineConfig, SchedulingPolicy};

use crate::case::Case;
use crate::script::Script;

/// Every hand-meant case.
pub fn cases() -> Vec<Case> {
    let mut hand = Hand::default();
    messages::add(&mut hand);
    steps::add(&mut hand);
    effects::add(&mut hand);
    inputs::add(&mut hand);
    hand.cases
}

#[derive(Debug, Default)]
struct Hand {
    cases: Vec<Case>,
}

impl Hand {
    /// A scenario: one image, a configuration but for the policy, and what is done.
    fn add_with(
        &mut self,
        name: &str,
        image: &CodeImage,
        configure: impl Fn(&mut ProtocolMachineConfig),
        play: impl Fn(&mut Script),
    ) {
        self.add_many(name, std::slice::from_ref(image), configure, play);
    }

    /// A scenario over several images.
    fn add_many(
        &mut self,
        name: &str,
        images: &[CodeImage],
        configure: impl Fn(&mut ProtocolMachineConfig),
        play: impl Fn(&mut Script),
    ) {
        for policy in SchedulingPolicy::ALL {
            let mut config = ProtocolMachineConfig::default();
            configure(&mut config);
            config.policy = policy;
            let name = format!("{name} ({})", policy.name());
            let mut script = Script::new(name, images.iter().cloned(), config);
            play(&mut script);
            self.cases.push(script.case());
        }
    }

    /// A scenario under the default configuration.
    fn add(&mut self, name: &str, image: &CodeImage, play: impl Fn(&mut Script)) {
        self.add_with(name, image, |_| {}, play);
    }

    /// A session that runs until it rests, and needs nobody.
    fn runs(&mut self, name: &str, image: &CodeImage) {
        self.add(name, image, |s| {
            s.open().rest();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_say_which_is_which() {
        let cases = super::cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "no name twice");
        assert!(cases.len() >= 300, "{} cases", cases.len());
        let actions: usize = cases.iter().map(|case| case.actions.len()).sum();
        assert!(actions < 100_000, "{actions} actions");
    }
}
