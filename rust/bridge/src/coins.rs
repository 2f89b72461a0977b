//! Pseudo-random numbers that depend on the seed alone.

/// SplitMix64: a seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Coins(u64);

impl Coins {
    pub(crate) fn new(seed: u64) -> Coins {
        // Seeds are small numbers; the first step makes the streams of neighbours independent.
        let mut coins = Coins(seed ^ 0x616e_7469_7068_6f6e);
        coins.next();
        coins
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; `n` = 0 counts as 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).cloned()
    }
}
