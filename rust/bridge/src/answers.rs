//! Answers of the model, kept as digests.
//!
//! The model's output of a case depends on nothing but the oracle's text, Lean and the case, so the
//! digest of an output need not be computed twice. [`Answers`] has the digests that are known, and
//! decides for which cases the model is asked: those without a known digest, those whose output by
//! the kernel has another one, and a part ([`Shard`]) that is asked each time. A known digest is
//! only ever that of a complete run of the model; the kernel's output never becomes one.

use std::collections::BTreeMap;

use crate::case::Case;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// The number of parts into which cases are divided by their digest.
pub const SHARDS: u8 = 16;

/// The part of the cases for which the model is asked although the answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard(u8);

/// The model's answers that are known, and those that a run adds.
#[derive(Debug, Default)]
pub struct Answers {
    known: BTreeMap<Digest, Digest>,
    shard: Option<Shard>,
    added: BTreeMap<Digest, Digest>,
}

impl Shard {
    /// The shard of this number; `None` from [`SHARDS`] on.
    pub fn new(number: u8) -> Option<Shard> {
        (number < SHARDS).then_some(Shard(number))
    }

    /// Whether the case with this digest is in the shard.
    pub fn contains(self, case: &Digest) -> bool {
        case[0] % SHARDS == self.0
    }
}

impl Answers {
    /// No answer is known: the model is asked for every case.
    pub fn unknown() -> Answers {
        Answers::default()
    }

    /// These answers are known; those in the shard are asked again.
    pub fn known(rows: impl IntoIterator<Item = (Digest, Digest)>, shard: Shard) -> Answers {
        Answers {
            known: rows.into_iter().collect(),
            shard: Some(shard),
            added: BTreeMap::new(),
        }
    }

    /// Asks the model for no known answer again, for a run that does not check the model.
    pub fn clear_shard(&mut self) {
        self.shard = None;
    }

    /// Whether the model is asked for a case. `kernel` computes the digest of the kernel's output;
    /// it is called only if an answer is known.
    pub fn must_ask(&self, case: &Digest, kernel: impl FnOnce() -> Digest) -> bool {
        let Some(known) = self.known.get(case) else {
            return true;
        };
        self.shard.is_some_and(|shard| shard.contains(case)) || kernel() != *known
    }

    /// Adds the answer of a complete run of the model. Returns `false`, and keeps the known answer,
    /// if it is another one: the model gave two answers to one case.
    #[must_use]
    pub fn add(&mut self, case: Digest, output: Digest) -> bool {
        match self.known.get(&case) {
            Some(known) => *known == output,
            None => {
                self.known.insert(case, output);
                self.added.insert(case, output);
                true
            }
        }
    }

    /// The answers that were added.
    pub fn added(&self) -> impl Iterator<Item = (&Digest, &Digest)> {
        self.added.iter()
    }
}

/// The digest of a case: of the bytes that both sides run.
pub fn case_digest(case: &Case) -> Digest {
    *blake3::hash(&case.to_bytes()).as_bytes()
}

/// The digest of an output of a case.
pub fn output_digest(output: &[u8]) -> Digest {
    *blake3::hash(output).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::run;

    fn cases() -> Vec<Case> {
        (0..64).map(random::case).collect()
    }

    fn kernel(case: &Case) -> Digest {
        output_digest(&run::encode(&run::run(case)))
    }

    /// The names of the cases for which the model is asked.
    fn asked(cases: &[Case], answers: &Answers) -> Vec<String> {
        let must_ask = |case: &&Case| answers.must_ask(&case_digest(case), || kernel(case));
        let asked = cases.iter().filter(must_ask);
        asked.map(|case| case.name.clone()).collect()
    }

    fn known(cases: &[Case], shard: u8) -> Answers {
        let rows = cases.iter().map(|case| (case_digest(case), kernel(case)));
        Answers::known(rows, Shard::new(shard).expect("a shard"))
    }

    #[test]
    fn every_case_is_asked_when_no_answer_is_known() {
        let cases = cases();
        assert_eq!(asked(&cases, &Answers::unknown()).len(), cases.len());
        let empty = Answers::known([], Shard(0));
        assert_eq!(asked(&cases, &empty).len(), cases.len());
    }

    #[test]
    fn only_the_shard_is_asked_when_all_answers_are_known() {
        let cases = cases();
        let mut all = 0;
        for shard in 0..SHARDS {
            let asked = asked(&cases, &known(&cases, shard));
            let expected: Vec<_> = cases
                .iter()
                .filter(|case| case_digest(case)[0] % SHARDS == shard)
                .map(|case| case.name.clone())
                .collect();
            assert_eq!(asked, expected);
            all += asked.len();
        }
        assert_eq!(all, cases.len(), "the shards divide the cases");
        assert_eq!(Shard::new(SHARDS), None);
        let mut answers = known(&cases, 0);
        answers.clear_shard();
        assert!(asked(&cases, &answers).is_empty());
    }

    /// A tampered case has another digest, and an output that differs has one that is not known.
    #[test]
    fn a_tampered_case_and_a_changed_output_are_asked() {
        let mut cases = cases();
        let answers = known(&cases, 0);
        let outside = |case: &Case| !Shard(0).contains(&case_digest(case));
        let at = cases.iter().position(outside).expect("most are outside");
        let before = asked(&cases, &answers);
        assert!(!before.contains(&cases[at].name));
        let digest = case_digest(&cases[at]);
        assert!(answers.must_ask(&digest, || [0; 32]), "another output");
        cases[at].actions.truncate(1);
        cases[at].name += " tampered";
        let after = asked(&cases, &answers);
        assert!(after.contains(&cases[at].name));
        let others = |names: Vec<String>| names.into_iter().filter(|n| !n.ends_with("tampered"));
        assert!(others(after).eq(before));
    }

    #[test]
    fn a_second_answer_to_a_case_is_refused() {
        let cases = cases();
        let mut answers = known(&cases, 0);
        let case = case_digest(&cases[0]);
        assert!(answers.add(case, kernel(&cases[0])));
        assert!(!answers.add(case, [0; 32]));
        assert!(answers.add([1; 32], [2; 32]));
        assert_eq!(answers.added().count(), 1);
    }
}
