//! The sides of a contest. A side is prepared before the measurement and then exchanges messages.

mod bare;
mod channels;
mod host;
mod images;
mod ours;
mod peer;
mod prepared;
mod side;
mod tasks;

use crate::contest::Contest;

pub use prepared::{Absent, Prepared, Ready};
pub use side::Side;

impl Side {
    /// Prepares the side.
    ///
    /// # Errors
    /// [`Absent`] when the side does not take part in the contest.
    pub fn prepare(self, contest: &Contest) -> Result<Prepared, Absent> {
        match self {
            Side::Bare => bare::prepare(contest),
            Side::Ours | Side::Digest | Side::Recording => ours::cooperative(self, contest),
            Side::Workers1 => ours::threaded(1, contest),
            Side::Workers2 => ours::threaded(2, contest),
            Side::Wasm => Err(Absent("runs in a Node process".to_owned())),
            Side::Telltale => peer::prepare(contest),
            Side::TokioCurrent => tasks::prepare(false, contest),
            Side::TokioMulti => tasks::prepare(true, contest),
            Side::CrossbeamSingle => channels::single(contest),
            Side::CrossbeamThreads => channels::threads(contest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratio::plan;

    /// Every side must exchange the requested number of messages and hardly more: a side that does
    /// nothing or counts wrong would win every contest.
    #[test]
    fn sides_exchange_the_requested_number_of_messages() {
        const MESSAGES: u64 = 320;
        let mut seen = 0;
        for (contest, side) in plan() {
            if contest.sessions > 10 || contest.steps.is_some() {
                continue;
            }
            let Ok(mut prepared) = side.prepare(&contest) else {
                assert!(matches!(side, Side::Wasm), "{contest} {side:?}");
                continue;
            };
            prepared.ready.exchange(MESSAGES);
            let (first, most) = (prepared.ready.received(), MESSAGES + 32);
            assert!(
                (MESSAGES - 8..=most).contains(&first),
                "{contest} {side:?}: {first}"
            );
            prepared.ready.exchange(MESSAGES);
            let second = prepared.ready.received() - first;
            assert!(
                (MESSAGES - 8..=most).contains(&second),
                "{contest} {side:?}: {second}"
            );
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_fixed_number_of_steps_gives_a_fixed_number_of_messages() {
        let prepared = Side::Ours.prepare(&Contest::steps(1_000));
        assert_eq!(prepared.ok().and_then(|prepared| prepared.fixed), Some(250));
    }
}
