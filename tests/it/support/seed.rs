//! Chance that can be had again: every test that leaves something to it prints its seed, and takes it from `STRONGROOM_TEST_SEED`.

use super::{say, tools};

/// A sequence of numbers that follows from its seed (`SplitMix64`, which is no secret to anybody).
#[derive(Clone)]
pub(crate) struct Seed(u64);

impl Seed {
    /// Of this run of a test: a fresh one, unless one is given.
    pub(crate) fn of(test: &str) -> Self {
        let given = tools::variable("STRONGROOM_TEST_SEED").map(|text| text.parse().unwrap());
        let seed = given.unwrap_or_else(|| u64::from(u32::from_be_bytes(strongroom::random::bytes())));
        say(&format!("{test}: STRONGROOM_TEST_SEED={seed}"));
        Self(seed)
    }

    /// One for a part of the test, so that its numbers do not depend on what other parts do.
    pub(crate) fn part(&self, number: u64) -> Self {
        let mut own = Self(self.0 ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
        own.next();
        own
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
