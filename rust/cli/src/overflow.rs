//! The rows beyond the bound of a list. All of them are counted; only the first and the last rows
//! of trouble and the first and the last ends of sessions are kept.

use std::collections::{BTreeMap, VecDeque};

use antiphon_record::describe::count;
use antiphon_record::rows::RowKind;

use crate::rows::NamedRow;

/// The first and the last items of a sequence, each with its position, and the number of all items.
#[derive(Debug)]
pub(crate) struct FirstLast<T> {
    max: usize,
    first: Vec<(u64, T)>,
    last: VecDeque<(u64, T)>,
    total: u64,
}

impl<T> FirstLast<T> {
    /// Keeps at most the first `max` and the last `max` items.
    pub(crate) fn new(max: usize) -> FirstLast<T> {
        FirstLast {
            max,
            first: Vec::new(),
            last: VecDeque::new(),
            total: 0,
        }
    }

    pub(crate) fn push(&mut self, place: u64, item: T) {
        self.total += 1;
        if self.first.len() < self.max {
            self.first.push((place, item));
            return;
        }
        self.last.push_back((place, item));
        if self.last.len() > self.max {
            self.last.pop_front();
        }
    }

    /// The number of kept items.
    pub(crate) fn len(&self) -> u64 {
        (self.first.len() + self.last.len()) as u64
    }

    /// Returns the kept items in the order of their positions.
    pub(crate) fn into_items(self) -> impl Iterator<Item = (u64, T)> {
        self.first.into_iter().chain(self.last)
    }
}

/// The rows beyond the bound of a list: counts of all, and those that are kept nevertheless.
#[derive(Debug)]
pub(crate) struct Overflow<T> {
    trouble: FirstLast<T>,
    ends: FirstLast<T>,
    pub(crate) totals: Totals,
}

impl<T> Overflow<T> {
    /// Keeps at most the first and the last `trouble_max` rows of trouble, and the first and the
    /// last `ends_max` ends of sessions.
    pub(crate) fn new(trouble_max: usize, ends_max: usize) -> Overflow<T> {
        Overflow {
            trouble: FirstLast::new(trouble_max),
            ends: FirstLast::new(ends_max),
            totals: Totals::default(),
        }
    }

    /// Counts a row, and keeps it if it is trouble or the end of a session.
    pub(crate) fn push(&mut self, place: u64, row: NamedRow<'_>, make: impl FnOnce() -> T) {
        self.totals.add(row);
        if row.kind() == RowKind::SessionTerminal {
            self.ends.push(place, make());
        } else if row.kind().is_trouble() {
            self.trouble.push(place, make());
        }
    }

    /// The number of kept rows.
    pub(crate) fn kept(&self) -> u64 {
        self.trouble.len() + self.ends.len()
    }

    /// The number of rows that are not kept.
    pub(crate) fn left_out(&self) -> u64 {
        self.totals.rows() - self.kept()
    }

    /// Summarises the trouble and the ends of sessions among these rows. Returns `None` if there
    /// are no rows.
    pub(crate) fn summary(&self) -> Option<String> {
        if self.totals.rows() == 0 {
            return None;
        }
        let (trouble, ends) = (self.totals.trouble(), self.totals.ends());
        let trouble = if trouble.is_empty() {
            "no trouble".to_owned()
        } else {
            trouble
        };
        let ends = if ends.is_empty() {
            "no session ended".to_owned()
        } else {
            format!("sessions {ends}")
        };
        Some(format!("{trouble}; {ends}"))
    }

    /// Returns the kept items in the order of their positions.
    pub(crate) fn into_items(self) -> Vec<(u64, T)> {
        let mut items: Vec<_> = self.trouble.into_items().collect();
        items.extend(self.ends.into_items());
        items.sort_by_key(|(place, _)| *place);
        items
    }
}

/// Counts of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    kinds: BTreeMap<RowKind, u64>,
    /// The number of calls of interfaces.
    calls: u64,
    /// The number of sessions by their end.
    ends: BTreeMap<String, u64>,
}

impl Totals {
    pub(crate) fn add(&mut self, row: NamedRow<'_>) {
        *self.kinds.entry(row.kind()).or_default() += 1;
        self.calls += u64::from(row.is_call());
        if row.kind() == RowKind::SessionTerminal {
            *self.ends.entry(row.subject()).or_default() += 1;
        }
    }

    /// The number of all rows.
    pub(crate) fn rows(&self) -> u64 {
        self.kinds.values().sum()
    }

    fn of(&self, kind: RowKind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// The counts of trouble by kind, as text.
    pub(crate) fn trouble(&self) -> String {
        let kinds = self.kinds.iter().filter(|(kind, _)| kind.is_trouble());
        let kinds = kinds.map(|(kind, count)| format!("{count} {}", kind.name().replace('_', " ")));
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// The number of sessions by their end, as text.
    pub(crate) fn ends(&self) -> String {
        let ends = self.ends.iter();
        let ends = ends.map(|(end, count)| format!("{count} {end}"));
        ends.collect::<Vec<_>>().join(", ")
    }

    /// Summarises the rows in one line.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![
            count(
                self.of(RowKind::Sent) + self.of(RowKind::Offered),
                "message",
            ),
            count(self.calls, "call"),
        ];
        parts.extend(Some(self.trouble()).filter(|trouble| !trouble.is_empty()));
        let ends = self.ends();
        if !ends.is_empty() {
            parts.push(format!("sessions {ends}"));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_and_last_items_and_counts_all() {
        let mut both = FirstLast::new(2);
        for place in 0..10u64 {
            both.push(place, place * 10);
        }
        assert_eq!((both.total, both.len()), (10, 4));
        let items: Vec<_> = both.into_items().collect();
        assert_eq!(items, [(0, 0), (1, 10), (8, 80), (9, 90)]);
    }
}
