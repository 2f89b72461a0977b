//! The results of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contest::Contest;
use crate::sides::Side;

/// A run: its environment, and every side of every contest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The date, the computer, the compiler and the versions, by name.
    pub about: BTreeMap<String, String>,
    /// The rows, in the order in which they are shown.
    pub rows: Vec<Row>,
}

/// One side of one contest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The contest's name.
    pub contest: String,
    /// The side.
    pub side: Side,
    /// Why it did not take part; all figures are missing then.
    pub absent: Option<String>,
    /// The nanoseconds per message in each round.
    pub rounds: Vec<f64>,
    /// The instructions per message.
    pub instructions: Option<f64>,
    /// The allocations per message.
    pub allocations: Option<f64>,
    /// The bytes per session.
    pub session_bytes: Option<u64>,
    /// A remark for readers.
    pub note: Option<String>,
}

impl Row {
    /// A row without figures.
    pub fn new(contest: &Contest, side: Side) -> Row {
        Row {
            contest: contest.to_string(),
            side,
            absent: None,
            rounds: Vec::new(),
            instructions: None,
            allocations: None,
            session_bytes: None,
            note: None,
        }
    }

    /// Messages per second, the median over rounds.
    pub fn speed(&self) -> Option<f64> {
        median(&self.rounds).map(|nanos| 1e9 / nanos)
    }

    /// Half of the distance from the fastest to the slowest round, relative to the median.
    pub fn spread(&self) -> Option<f64> {
        let middle = median(&self.rounds)?;
        let least = self.rounds.iter().copied().reduce(f64::min)?;
        let most = self.rounds.iter().copied().reduce(f64::max)?;
        Some((most - least) / 2.0 / middle)
    }
}

impl Report {
    /// The row of a side.
    pub fn row(&self, contest: &Contest, side: Side) -> Option<&Row> {
        let contest = contest.to_string();
        self.rows
            .iter()
            .find(|row| row.contest == contest && row.side == side)
    }
}

/// The median; for an even number of values, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        0 => Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0),
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn speed_and_spread_follow_from_the_rounds() {
        let mut row = Row::new(&Contest::sessions(10), Side::Ours);
        assert_eq!((row.speed(), row.spread()), (None, None));
        row.rounds = vec![90.0, 100.0, 120.0];
        assert_eq!(row.speed(), Some(1e7));
        assert_eq!(row.spread(), Some(0.15));
    }
}
