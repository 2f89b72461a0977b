//! Hand-written cases: each shows one thing, and its name says what.
//!
//! Every scenario is run under each of the four policies, because a wrong wake-up or a wrong
//! position in the queue may show under one policy only.

pub(crate) mod build;
mod effects;
mod inputs;
mod messages;
mod steps;

use antiphon_machine::{CodeImage, ProtocolMachineConfig, SchedulingPolicy};

use crate::case::Case;
use crate::script::Script;

/// Every hand-written case.
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
    /// A scenario with one image: `configure` changes the default configuration, and `play` does
    /// the actions.
    fn add_with(
        &mut self,
        name: &str,
        image: &CodeImage,
        configure: impl Fn(&mut ProtocolMachineConfig),
        play: impl Fn(&mut Script),
    ) {
        self.add_many(name, std::slice::from_ref(image), configure, play);
    }

    /// A scenario with several images.
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

    /// A scenario with one session that runs until it rests, without inputs.
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
    fn the_names_of_cases_are_unique() {
        let cases = super::cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "no name twice");
        assert!(cases.len() >= 300, "{} cases", cases.len());
        let actions: usize = cases.iter().map(|case| case.actions.len()).sum();
        assert!(actions < 100_000, "{actions} actions");
    }
}
