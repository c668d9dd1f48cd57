//! What one run has shown.

use super::checksum::Used;
use super::servers::Cpu;
use super::sets::Set;

/// Measured, and checked: of a contender that got something wrong there is no `Run`.
#[derive(Debug, Clone)]
pub struct Run {
    pub records: u64,
    pub seconds: f64,
    /// Microseconds of CPU time by process.
    pub cpu: Cpu,
    /// The contender's, at its highest.
    pub rss_kib: u64,
    /// What Redis holds more than before.
    pub redis_bytes: i64,
}

impl Run {
    /// Of one process, for each event.
    pub fn cpu_micros_per_event(&self, process: &str) -> f64 {
        self.cpu.get(process).copied().unwrap_or(0) as f64 / self.records as f64
    }

    pub fn events_per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }
}

/// What was taken between two looks.
pub fn difference(after: &Cpu, before: &Cpu) -> Cpu {
    let taken = |(name, micros): (&&'static str, &u64)| {
        (*name, micros.saturating_sub(before.get(name).copied().unwrap_or(0)))
    };
    after.iter().map(taken).collect()
}

/// Each place where numbers stand must say what the generator counted.
pub fn check(set: &Set, sums: &[(&str, u64)], used: &Used) -> anyhow::Result<()> {
    for (place, sum) in sums {
        anyhow::ensure!(*sum == set.checksum, "{place}: checksum {sum:016x}, not {:016x}", set.checksum);
    }
    let wrong = set.used.iter().find(|(name, micro)| used.get(*name) != Some(*micro));
    if let Some((name, micro)) = wrong {
        anyhow::bail!("{name}: {:?} microcredits taken, not {micro}", used.get(name));
    }
    anyhow::ensure!(used.len() == set.used.len(), "pools of which nobody should have taken");
    Ok(())
}
