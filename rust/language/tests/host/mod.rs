//! A host for tests: it decides and makes up values by coins that fall the same in every run.

use std::collections::BTreeSet;

use antiphon_machine::{
    Class, EffectRequest, FailureKind, Instruction, OperationId, Outcome, Sort, SortId, Value,
    VerifiedImage,
};

/// Operations whose every call has an `else`.
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

/// A deterministic host: fair decisions, values made up by sort.
pub(crate) fn answer(
    request: &EffectRequest<'_>,
    may_fail: &BTreeSet<OperationId>,
    coins: &mut Coins,
) -> Outcome {
    if may_fail.contains(&request.operation_id()) && coins.below(2) == 0 {
        return Outcome::failure(FailureKind::Unavailable, "the coin says so");
    }
    match request.class() {
        Class::Decide { labels, .. } => Outcome::chosen(labels[coins.below(labels.len())]),
        Class::Produce { .. }
        | Class::Deliver { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => {
            let sorts = &request.image().image().sorts;
            Outcome::Success(value(request.result_sort(), sorts, coins))
        }
    }
}

fn value(sort: SortId, sorts: &[Sort], coins: &mut Coins) -> Value {
    match &sorts[sort.index()] {
        Sort::Unit => Value::Unit,
        Sort::Bool => Value::Bool(coins.below(2) == 0),
        Sort::Nat => Value::Nat(coins.next()),
        Sort::Int => Value::Int(coins.next() as i64),
        Sort::Text => Value::text(&coins.next().to_string()),
        Sort::Bytes | Sort::Foreign { .. } => Value::bytes(&coins.next().to_be_bytes()),
        Sort::List(item) => Value::list(
            (0..coins.below(3))
                .map(|_| value(*item, sorts, coins))
                .collect(),
        ),
        Sort::Option(item) => {
            Value::option((coins.below(2) == 0).then(|| value(*item, sorts, coins)))
        }
        Sort::Record { fields, .. } => Value::record(
            fields
                .iter()
                .map(|(_, sort)| value(*sort, sorts, coins))
                .collect(),
        ),
        Sort::Enum { variants, .. } => Value::Nat(coins.below(variants.len()) as u64),
        Sort::Arm(labels) => Value::Nat(labels[coins.below(labels.len())].0.into()),
    }
}

/// SplitMix64: the same coins in every run.
pub(crate) struct Coins(pub(crate) u64);

impl Coins {
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
