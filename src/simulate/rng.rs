//! SplitMix64 and draws from it: small, fast, and the same numbers on every machine. Not for secrets.

/// A seeded source of numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The source of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any of all 64-bit numbers.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number from 0 to below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// True so many times in ten thousand.
    pub fn chance(&mut self, per_10k: u32) -> bool {
        self.below(10_000) < u64::from(per_10k)
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T; 4]) -> T {
        choices[self.below(4) as usize]
    }
}

/// Choices that come up in proportion to their weights.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The sum of all weights up to and with each choice.
    sums: Vec<u64>,
}

impl Weights {
    /// Choices 0, 1, 2 and so on, with these weights.
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let add = |sum: &mut u64, weight| {
            *sum += weight;
            Some(*sum)
        };
        Self { sums: weights.into_iter().scan(0, add).collect() }
    }

    /// A few choices that come up very often and many that hardly do: weight 1/rank.
    pub fn zipf(choices: usize) -> Self {
        Self::new((1..=choices as u64).map(|rank| 1_000_000_000 / rank))
    }

    /// The same, but flatter: weight 1/√rank.
    pub fn flat_zipf(choices: usize) -> Self {
        Self::new((1..=choices as u64).map(|rank| 1_000_000_000 / (rank * 10_000).isqrt()))
    }

    /// Weight 1/rank^exponent: the greater the exponent, the fewer do it all.
    pub fn power(choices: usize, exponent: f64) -> Self {
        Self::new((1..=choices).map(|rank| (1e9 / (rank as f64).powf(exponent)) as u64))
    }

    /// One of the choices.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.below(self.total());
        self.sums.partition_point(|sum| *sum <= at)
    }

    /// The part of `amount` that is a choice's by its weight.
    pub fn share(&self, choice: usize, amount: i128) -> i128 {
        let before = choice.checked_sub(1).map_or(0, |at| self.sums[at]);
        amount * i128::from(self.sums[choice] - before) / i128::from(self.total().max(1))
    }

    fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_everywhere() {
        let mut rng = Rng::new(0);
        // The reference implementation's first numbers.
        assert_eq!([rng.number(), rng.number()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_eq!(Rng::new(7).below(0), 0);
    }

    #[test]
    fn choices_come_up_by_their_weights() {
        let (weights, mut rng) = (Weights::new([1, 0, 3]), Rng::new(1));
        let mut drawn = [0_u32; 3];
        for _ in 0..40_000 {
            drawn[weights.draw(&mut rng)] += 1;
        }
        assert!((9_500..10_500).contains(&drawn[0]) && drawn[1] == 0, "{drawn:?}");
        assert_eq!((weights.share(2, 400), Weights::zipf(2).share(1, 300)), (300, 100));
        assert_eq!((Weights::power(4, 0.0).share(3, 400), Weights::power(2, 2.0).share(1, 500)), (100, 100));
    }
}
