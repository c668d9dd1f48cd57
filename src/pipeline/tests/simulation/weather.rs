//! What goes wrong with calls, drawn by seed: each run has some kinds of trouble and not others.

use std::time::Duration;

use tokio::time::Instant;

use crate::simulate::Rng;

/// A store, as somebody who calls it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Redis,
    Kafka,
    ClickHouse,
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fine,
    /// The work is done after the first wait, and answered after the second, in milliseconds.
    Slow(u64, u64),
    /// Nothing is done.
    Away,
    /// All is done, and the answer lost.
    Lost,
    /// The first so many rows or messages are written, and the answer lost.
    Broken(u64),
    /// Nothing is done, and the caller is told that it never will be.
    Refused,
    /// The caller dies before the work, after it, or after a part of it.
    Dies(Death),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    Before,
    Halfway(u64),
    After,
}

pub struct Weather {
    /// In ten thousand calls: slow, away, lost, broken, refused, dies.
    chances: [u32; 6],
    away_until: [Option<Instant>; 3],
    pub calm: bool,
}

impl Weather {
    pub fn drawn(dice: &mut Rng) -> Self {
        let mut chances = [2500, 800, 800, 600, 15, 300];
        for chance in &mut chances {
            *chance = if dice.chance(6000) { *chance } else { 0 };
        }
        Self { chances, away_until: [None; 3], calm: false }
    }

    pub fn away_for(&mut self, store: Store, time: Duration) {
        self.away_until[store as usize] = Some(Instant::now() + time);
    }

    pub fn calm(&mut self) {
        self.calm = true;
        self.away_until = [None; 3];
    }

    pub fn trouble(&self, store: Store, dice: &mut Rng) -> Trouble {
        if self.calm {
            return Trouble::Slow(0, 1);
        }
        if self.away_until[store as usize].is_some_and(|until| Instant::now() < until) {
            return Trouble::Away;
        }
        let mut left = dice.below(10_000);
        for (kind, chance) in self.chances.iter().enumerate() {
            if left < u64::from(*chance) {
                return match kind {
                    0 => Trouble::Slow(dice.below(150), dice.below(400)),
                    1 => Trouble::Away,
                    2 => Trouble::Lost,
                    3 => Trouble::Broken(dice.below(12)),
                    4 => Trouble::Refused,
                    _ => Trouble::Dies(match dice.below(3) {
                        0 => Death::Before,
                        1 => Death::Halfway(dice.below(12)),
                        _ => Death::After,
                    }),
                };
            }
            left -= u64::from(*chance);
        }
        Trouble::Fine
    }
}
