//! The rate card: from feature, model and quantities to credits. Exact arithmetic, rounded up to a microcredit.

/// The rates in force, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct RateCard {}
