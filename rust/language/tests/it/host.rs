//! A host for tests. It decides and generates values with a seeded random generator.

use std::collections::BTreeSet;

use antiphon_machine::{
    Class, EffectRequest, FailureKind, Instruction, OperationId, Outcome, Sort, SortId, Value,
    VerifiedImage,
};

/// The operations all of whose calls have an `else`.
pub(crate) fn with_else(image: &VerifiedImage) -> BTreeSet<OperationId> {
    let mut with = BTreeSet::new();
    let mut without = BTreeSet::new();
    for instruction in image
        .image()
        .programs
        .iter()
        .flat_map(|program| &program.code)
    {
        if let Instruction::Invoke {
            operation,
            on_failure,
            ..
        }
        | Instruction::Check {
            operation,
            on_failure,
            ..
        } = instruction
        {
            let set = if on_failure.is_some() {
                &mut with
            } else {
                &mut without
            };
            set.insert(*operation);
        }
    }
    &with - &without
}

/// A deterministic host: it decides fairly and generates values by sort.
pub(crate) fn answer(
    request: &EffectRequest<'_>,
    may_fail: &BTreeSet<OperationId>,
    rng: &mut Rng,
) -> Outcome {
    if may_fail.contains(&request.operation_id()) && rng.below(2) == 0 {
        return Outcome::failure(FailureKind::Unavailable, "a random failure");
    }
    match request.class() {
        Class::Decide { labels, .. } => Outcome::chosen(labels[rng.below(labels.len())]),
        Class::Produce { .. }
        | Class::Deliver { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => {
            let sorts = &request.image().image().sorts;
            Outcome::Success(value(request.result_sort(), sorts, rng))
        }
    }
}

fn value(sort: SortId, sorts: &[Sort], rng: &mut Rng) -> Value {
    match &sorts[sort.index()] {
        Sort::Unit => Value::Unit,
        Sort::Bool => Value::Bool(rng.below(2) == 0),
        Sort::Nat => Value::Nat(rng.next()),
        Sort::Int => Value::Int(rng.next() as i64),
        Sort::Text => Value::text(&rng.next().to_string()),
        Sort::Bytes | Sort::Foreign { .. } => Value::bytes(&rng.next().to_be_bytes()),
        Sort::List(item) => Value::list(
            (0..rng.below(3))
                .map(|_| value(*item, sorts, rng))
                .collect(),
        ),
        Sort::Option(item) => Value::option((rng.below(2) == 0).then(|| value(*item, sorts, rng))),
        Sort::Record { fields, .. } => Value::record(
            fields
                .iter()
                .map(|(_, sort)| value(*sort, sorts, rng))
                .collect(),
        ),
        Sort::Enum { variants, .. } => Value::Nat(rng.below(variants.len()) as u64),
        Sort::Arm(labels) => Value::Nat(labels[rng.below(labels.len())].0.into()),
    }
}

/// The SplitMix64 generator: the same seed gives the same numbers.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}
