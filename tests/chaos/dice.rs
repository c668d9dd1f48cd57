//! Seeded chance: the same seed draws the same faults and the same workload, though never the same timing.

use std::time::Duration;

use tollgate::simulate::Rng;

/// Draws of a seed.
#[derive(Clone)]
pub struct Dice(Rng);

impl Dice {
    /// Dice of a seed, and of a purpose, so that two users of a seed draw different numbers.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self(Rng::new(mixed))
    }

    /// Below `end`, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.number() % end
    }

    /// From `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// Milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }
}
