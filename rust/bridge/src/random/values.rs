//! Random values of a given sort, and of any sort.

use antiphon_machine::{Sort, SortId, Value};

use crate::coins::Coins;

/// A small value of the sort.
pub(crate) fn of_sort(sort: SortId, sorts: &[Sort], coins: &mut Coins) -> Value {
    match sorts.get(sort.index()) {
        None | Some(Sort::Unit) => Value::Unit,
        Some(Sort::Bool) => Value::Bool(coins.once_in(2)),
        Some(Sort::Nat) => Value::Nat(number(coins)),
        Some(Sort::Int) => Value::Int(number(coins) as i64),
        Some(Sort::Text) => Value::text(
            &"a水b𐅑cdefghijklmnop"
                .chars()
                .take(coins.below(9))
                .collect::<String>(),
        ),
        Some(Sort::Bytes | Sort::Foreign { .. }) => {
            let bytes: Vec<u8> = (0..coins.below(6)).map(|n| n as u8).collect();
            Value::bytes(&bytes)
        }
        Some(Sort::List(item)) => {
            let items = 0..coins.below(3);
            Value::list(items.map(|_| of_sort(*item, sorts, coins)).collect())
        }
        Some(Sort::Option(item)) => {
            let some = coins.once_in(2);
            Value::option(some.then(|| of_sort(*item, sorts, coins)))
        }
        Some(Sort::Record { fields, .. }) => {
            let fields = fields.iter();
            Value::record(
                fields
                    .map(|(_, sort)| of_sort(*sort, sorts, coins))
                    .collect(),
            )
        }
        Some(Sort::Enum { variants, .. }) => Value::Nat(coins.below(variants.len()) as u64),
        Some(Sort::Arm(labels)) => {
            Value::Nat(coins.of(labels).map_or(0, |label| u64::from(label.0)))
        }
    }
}

/// A number of any encoded length, most often a small one.
fn number(coins: &mut Coins) -> u64 {
    match coins.below(6) {
        0..=2 => coins.below(5) as u64,
        3 => coins.below(300) as u64,
        4 => coins.next() >> 24,
        _ => coins.next(),
    }
}

/// Any value at most two levels deep, rarely of the expected sort.
pub(crate) fn any_value(coins: &mut Coins) -> Value {
    any(coins, 2)
}

/// A value of any sort, or an endpoint or evidence.
pub(super) fn any(coins: &mut Coins, depth: u32) -> Value {
    match coins.below(if depth == 0 { 8 } else { 10 }) {
        0 => Value::Unit,
        1 => Value::Bool(coins.once_in(2)),
        2 => Value::Nat(number(coins)),
        3 => Value::Int(number(coins) as i64),
        4 => Value::text("any"),
        5 => Value::bytes(&vec![9; coins.below(40)]),
        6 => Value::Endpoint(antiphon_machine::RoleId(coins.below(4) as u16)),
        7 => Value::Evidence(coins.below(4) as u64),
        n => {
            let items = 0..coins.below(4);
            let items = items.map(|_| any(coins, depth - 1)).collect();
            if n == 8 {
                Value::list(items)
            } else {
                Value::record(items)
            }
        }
    }
}
