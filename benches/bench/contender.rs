//! Who takes part, and what is said of each.

/// A way to do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// This program.
    Tollgate,
    /// The Kafka client alone.
    Floor,
    /// The usual design, each call awaited.
    Awaited,
    /// The usual design, 500 calls in a pipeline.
    Pipelined,
    /// Kafka Streams.
    Streams,
}

/// All, in the order of the report.
pub const ALL: [Contender; 5] =
    [Contender::Tollgate, Contender::Floor, Contender::Awaited, Contender::Pipelined, Contender::Streams];

impl Contender {
    /// The one of this name.
    pub fn named(name: &str) -> Self {
        let found = ALL.into_iter().find(|contender| contender.name() == name);
        found.unwrap_or_else(|| panic!("TOLLGATE_BENCH_ONLY: {name} is no contender"))
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tollgate => "tollgate",
            Self::Floor => "floor",
            Self::Awaited => "awaited",
            Self::Pipelined => "pipelined",
            Self::Streams => "streams",
        }
    }

    /// What it is, for the report.
    pub fn title(self) -> &'static str {
        match self {
            Self::Tollgate => "Tollgate",
            Self::Floor => "librdkafka, consuming only",
            Self::Awaited => "a script call an event, awaited",
            Self::Pipelined => "the same, 500 in a pipeline",
            Self::Streams => "Kafka Streams, in memory",
        }
    }

    /// Slow ones drain a tenth: their rate is what counts.
    pub fn drains_a_tenth(self) -> bool {
        self == Self::Awaited
    }

    /// Whether it decides and records, so that it is held to the checksum.
    pub fn decides(self) -> bool {
        self != Self::Floor
    }

    /// Whether it keeps its marks of ids in Redis.
    pub fn remembers_in_redis(self) -> bool {
        matches!(self, Self::Tollgate | Self::Awaited | Self::Pipelined)
    }
}
