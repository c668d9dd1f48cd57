//! What is to be simulated, and which plans and limits whoever runs it has to set so that the
//! expectations come true.

use super::rng::Weights;

/// One feature that users spend on.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Its id.
    pub name: &'static str,
    /// How often it is used, beside the others.
    pub weight: u64,
    /// Least credits of one use, in microcredits.
    pub micro_min: i64,
    /// Between two possible amounts, in microcredits.
    pub micro_step: i64,
    /// How many steps above the least the most is.
    pub steps: u64,
}

impl Feature {
    fn mean_micro(&self) -> i128 {
        i128::from(self.micro_min) + i128::from(self.micro_step) * i128::from(self.steps) / 2
    }
}

/// How often each encoding is used, beside the others.
#[derive(Debug, Clone, Copy)]
pub struct Encodings {
    /// Bare JSON.
    pub bare: u64,
    /// CloudEvents structured.
    pub structured: u64,
    /// CloudEvents structured with `data_base64`.
    pub base64: u64,
    /// CloudEvents binary.
    pub binary: u64,
}

/// How busy the workspaces are, beside each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread {
    /// Weight 1/√rank: many are busy, some more than others.
    Mild,
    /// Weight 1/rank^exponent; 0 makes all of them equally busy.
    Power(f64),
}

/// Everything that a run follows from.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Another seed, other events.
    pub seed: u64,
    /// Ids of the workspaces, the busiest first.
    pub workspaces: Vec<String>,
    /// How busy they are.
    pub spread: Spread,
    /// Users of each, the busiest first.
    pub users_per_workspace: usize,
    /// Records in all: valid, resent and malformed.
    pub records: u64,
    /// When the first event happens, in microseconds since 1970.
    pub start_micros: i64,
    /// How long after it the last does, in microseconds.
    pub duration_micros: i64,
    /// Resends of earlier events among 10,000 records.
    pub resends_per_10k: u32,
    /// Records that are no events among 10,000.
    pub malformed_per_10k: u32,
    /// What users spend on.
    pub features: Vec<Feature>,
    /// How events are written.
    pub encodings: Encodings,
    /// Whether all producers write names, amounts and times in the same way, with UUIDs for ids, and
    /// resend the same bytes. Otherwise they take the liberties that the contract leaves them.
    pub by_the_book: bool,
    /// One user in so many has a limit too low for what they ask; 0 for nobody.
    pub limited_user_every: usize,
    /// One workspace in so many has a pool too small for what is asked of it; 0 for none.
    pub dry_pool_every: usize,
}

/// The five features of the contract. Agents are dear and seldom, fields cheap and many.
const FEATURES: [Feature; 5] = [
    Feature { name: "ai_chat", weight: 50, micro_min: 50_000, micro_step: 1_234, steps: 2_000 },
    Feature { name: "ai_field", weight: 20, micro_min: 0, micro_step: 10_000, steps: 50 },
    Feature { name: "ai_automation", weight: 14, micro_min: 1_000_000, micro_step: 1_000_000, steps: 7 },
    Feature { name: "ai_agent", weight: 12, micro_min: 2_000_000, micro_step: 250_001, steps: 200 },
    Feature { name: "image_generation", weight: 4, micro_min: 4_000_000, micro_step: 4_000_000, steps: 3 },
];

const FIRST_NAMES: [&str; 24] = [
    "ann", "bob", "carla", "dev", "emma", "farid", "grace", "hugo", "ines", "jonas", "kira", "liam", "mei",
    "nora", "omar", "petra", "quinn", "rosa", "sven", "tara", "uma", "viktor", "wanda", "yusuf",
];

impl Spec {
    /// A quiet day: no resends, nothing malformed, nobody at a limit.
    pub fn new(seed: u64, workspaces: Vec<String>, users_per_workspace: usize, records: u64) -> Self {
        Self {
            seed,
            workspaces,
            spread: Spread::Mild,
            users_per_workspace,
            records,
            start_micros: 0,
            duration_micros: 0,
            resends_per_10k: 0,
            malformed_per_10k: 0,
            features: FEATURES.to_vec(),
            encodings: Encodings { bare: 60, structured: 22, base64: 3, binary: 15 },
            by_the_book: false,
            limited_user_every: 0,
            dry_pool_every: 0,
        }
    }

    /// The id of a user, the same in every workspace.
    pub fn user_name(user: usize) -> String {
        let (round, first) = (user / FIRST_NAMES.len(), FIRST_NAMES[user % FIRST_NAMES.len()]);
        if round == 0 { first.to_owned() } else { format!("{first}-{}", round + 1) }
    }

    /// What has to be set before the first record.
    pub fn plans(&self) -> Plans {
        let (workspaces, users) = (self.workspace_weights(), self.user_weights());
        let (limited_user_every, dry_pool_every) = (self.limited_user_every, self.dry_pool_every);
        Plans { workspaces, users, asked_micro: self.asked_micro(), limited_user_every, dry_pool_every }
    }

    /// See [`Plans::pool_micro`]; whoever asks for many asks [`Spec::plans`] once.
    pub fn pool_micro(&self, workspace: usize) -> i64 {
        self.plans().pool_micro(workspace)
    }

    /// See [`Plans::limit_micro`]; whoever asks for many asks [`Spec::plans`] once.
    pub fn limit_micro(&self, workspace: usize, user: usize) -> Option<i64> {
        self.plans().limit_micro(workspace, user)
    }

    /// Weights of the workspaces.
    pub(super) fn workspace_weights(&self) -> Weights {
        match self.spread {
            Spread::Mild => Weights::flat_zipf(self.workspaces.len()),
            Spread::Power(exponent) => Weights::power(self.workspaces.len(), exponent),
        }
    }

    /// Weights of the users of any workspace.
    pub(super) fn user_weights(&self) -> Weights {
        Weights::zipf(self.users_per_workspace)
    }

    /// About what all users of all workspaces will ask for together.
    fn asked_micro(&self) -> i128 {
        let weights: u64 = self.features.iter().map(|feature| feature.weight).sum();
        let of_all: i128 =
            self.features.iter().map(|feature| feature.mean_micro() * i128::from(feature.weight)).sum();
        let first_per_10k = 10_000_u32.saturating_sub(self.resends_per_10k + self.malformed_per_10k);
        let events = i128::from(self.records) * i128::from(first_per_10k) / 10_000;
        events * of_all / i128::from(weights.max(1))
    }
}

/// The pools and limits of a [`Spec`], weighed once.
#[derive(Debug, Clone)]
pub struct Plans {
    workspaces: Weights,
    users: Weights,
    asked_micro: i128,
    limited_user_every: usize,
    dry_pool_every: usize,
}

impl Plans {
    /// What the workspace's plan has to give each month, in microcredits: three times what will be
    /// asked of it, or six tenths in a workspace whose pool is to run dry.
    pub fn pool_micro(&self, workspace: usize) -> i64 {
        let asked = self.workspaces.share(workspace, self.asked_micro);
        let dry = is_chosen(workspace, self.dry_pool_every);
        saturate(if dry { asked * 6 / 10 } else { asked * 3 + 1_000_000 })
    }

    /// The user's own limit, in microcredits: four tenths of what they will ask for. None: no limit.
    pub fn limit_micro(&self, workspace: usize, user: usize) -> Option<i64> {
        let asked = self.users.share(user, self.workspaces.share(workspace, self.asked_micro));
        is_chosen(user, self.limited_user_every).then(|| saturate(asked * 4 / 10))
    }
}

/// The middle one of every so many: neither the busiest alone nor the idle alone.
fn is_chosen(at: usize, every: usize) -> bool {
    every > 0 && at % every == every / 2
}

fn saturate(micro: i128) -> i64 {
    i64::try_from(micro).unwrap_or(i64::MAX)
}
