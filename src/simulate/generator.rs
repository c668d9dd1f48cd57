//! The records of a [`Spec`], one after the other: first arrivals, resends of earlier ones, and
//! records that are no events.

use std::collections::BTreeMap;

use super::encode::{self, Encoding, Plain};
use super::malformed;
use super::rng::{Rng, Weights};
use super::spec::Spec;
use crate::kafka::Message;

/// Of these a run makes only a few, because they are large.
const TOO_LARGE_MAX: u32 = 4;
/// How far behind its first arrival a resend may come, in records.
const RESEND_DISTANCE_MAX: u64 = 20_000;
/// How far an event's time may lie behind its turn, in microseconds.
const LATENESS_MICROS_MAX: u64 = 600_000_000;

const MODELS: [&str; 4] = ["gpt-5-mini", "gpt-5", "claude-sonnet-4", "llama-4-70b"];
const SOURCES: [&str; 4] = ["gateway-eu-1", "gateway-eu-2", "sdk-python", "sdk-js"];

/// What a record is, known from its making. Places of workspaces, users and features are those of
/// the [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// A valid event that was not sent before.
    First {
        /// Whose.
        workspace: usize,
        /// Who.
        user: usize,
        /// What on.
        feature: usize,
        /// How much, in microcredits.
        micro: i64,
    },
    /// An event that was sent before.
    Resend {
        /// Whose.
        workspace: usize,
    },
    /// No event, for this one reason.
    Rejected {
        /// The word of the contract.
        reason: &'static str,
    },
}

/// A record, and what it is.
#[derive(Debug, Clone)]
pub struct Produced {
    /// To be published as it stands.
    pub message: Message,
    /// What must come of it.
    pub expectation: Expectation,
}

/// An iterator over the records of a [`Spec`].
#[derive(Debug)]
pub struct Generator<'a> {
    spec: &'a Spec,
    rng: Rng,
    workspaces: Weights,
    users: Weights,
    features: Weights,
    encodings: Weights,
    names: Vec<String>,
    made: u64,
    firsts: u64,
    too_large: u32,
    /// Resends by the turn from which they are due.
    resends: BTreeMap<u64, Produced>,
}

impl<'a> Generator<'a> {
    /// All records from the first on.
    pub fn new(spec: &'a Spec) -> Self {
        let encodings = spec.encodings;
        Self {
            spec,
            rng: Rng::new(spec.seed),
            workspaces: spec.workspace_weights(),
            users: spec.user_weights(),
            features: Weights::new(spec.features.iter().map(|feature| feature.weight)),
            encodings: Weights::new([
                encodings.bare,
                encodings.structured,
                encodings.base64,
                encodings.binary,
            ]),
            names: (0..spec.users_per_workspace).map(Spec::user_name).collect(),
            made: 0,
            firsts: 0,
            too_large: 0,
            resends: BTreeMap::new(),
        }
    }

    fn record(&mut self) -> Produced {
        if let Some(due) = self.resends.first_entry().filter(|first| *first.key() <= self.made) {
            return due.remove();
        }
        let (workspace, user) = (self.workspaces.draw(&mut self.rng), self.users.draw(&mut self.rng));
        let feature = self.features.draw(&mut self.rng);
        let names = std::mem::take(&mut self.names);
        let plain = self.plain(workspace, &names[user], feature);
        let record = if self.rng.chance(self.spec.malformed_per_10k) {
            self.malformed(&plain)
        } else {
            self.first(&plain, Expectation::First { workspace, user, feature, micro: plain.micro })
        };
        self.names = names;
        record
    }

    fn plain<'n>(&mut self, workspace: usize, user: &'n str, feature: usize) -> Plain<'n>
    where
        'a: 'n,
    {
        let (spec, rng) = (self.spec, &mut self.rng);
        let profile = &spec.features[feature];
        let turn = i128::from(spec.duration_micros) * i128::from(self.made) / i128::from(spec.records.max(1));
        let lateness = rng.below(LATENESS_MICROS_MAX.min(spec.duration_micros.max(0) as u64 / 4 + 1)) as i64;
        Plain {
            // A record that is rejected leaves its id to the next event.
            id: if spec.by_the_book {
                uuid_of(spec.seed, self.firsts)
            } else {
                format!("{:x}-{}", spec.seed, self.firsts)
            },
            source: rng.pick(&SOURCES),
            time_micros: Some(spec.start_micros + (turn as i64 - lateness).max(0)),
            workspace: &spec.workspaces[workspace],
            user,
            feature: profile.name,
            micro: profile.micro_min + profile.micro_step * rng.below(profile.steps + 1) as i64,
            model: rng.pick(&MODELS),
            tokens: [20 + rng.below(6_000), 5 + rng.below(1_500)],
            by_the_book: spec.by_the_book,
        }
    }

    fn first(&mut self, plain: &Plain<'_>, expectation: Expectation) -> Produced {
        self.firsts += 1;
        let encoding = [Encoding::Bare, Encoding::Structured, Encoding::Base64, Encoding::Binary]
            [self.encodings.draw(&mut self.rng)];
        let message = encode::message(plain, encoding, &mut self.rng);
        let record = Produced { message, expectation };
        if let Expectation::First { workspace, .. } = expectation
            && self.rng.chance(self.spec.resends_per_10k)
        {
            let message = self.resend(plain, encoding, &record.message);
            self.schedule(Produced { message, expectation: Expectation::Resend { workspace } });
        }
        record
    }

    /// Most resends are the same bytes; some name another time or none, as a careless retry does.
    fn resend(&mut self, plain: &Plain<'_>, encoding: Encoding, first: &Message) -> Message {
        let time_micros = match self.rng.below(10) {
            _ if plain.by_the_book => return first.clone(),
            0 => None,
            1 => plain.time_micros.map(|time| time + 1_500_000),
            _ => return first.clone(),
        };
        encode::message(&Plain { time_micros, ..plain.clone() }, encoding, &mut self.rng)
    }

    /// A third comes at once, in the same batch as likely as not; the others after anything.
    fn schedule(&mut self, resend: Produced) {
        let distance = if self.rng.below(3) == 0 { 1 } else { 2 + self.rng.below(RESEND_DISTANCE_MAX) };
        let mut due = self.made + distance;
        while self.resends.contains_key(&due) {
            due += 1;
        }
        self.resends.insert(due, resend);
    }

    fn malformed(&mut self, plain: &Plain<'_>) -> Produced {
        let mut reason = malformed::reason(&mut self.rng);
        if reason == "too_large" {
            self.too_large += 1;
            reason = if self.too_large > TOO_LARGE_MAX { "malformed_json" } else { reason };
        }
        let message = malformed::message(plain, reason, &mut self.rng);
        Produced { message, expectation: Expectation::Rejected { reason } }
    }
}

/// A UUID of version 4 in its looks, from a source of its own, so that it costs the run no draw.
fn uuid_of(seed: u64, first: u64) -> String {
    let mut rng = Rng::new(seed ^ first.wrapping_mul(0xd134_2543_de82_ef95));
    let (high, low) = (rng.number(), rng.number());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

impl Iterator for Generator<'_> {
    type Item = Produced;

    fn next(&mut self) -> Option<Produced> {
        if self.made >= self.spec.records {
            return None;
        }
        let record = self.record();
        self.made += 1;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::event::{DecodeRules, RawRecord, decode};
    use crate::domain::period::Instant;
    use crate::domain::rates::RateCard;
    use crate::simulate::Encodings;

    const START: i64 = 1_795_305_600_000_000; // 2026-11-22T00:00:00Z

    fn spec(seed: u64) -> Spec {
        let workspaces = (0..20).map(|n| format!("w{n}")).collect();
        Spec {
            start_micros: START,
            duration_micros: 3_600_000_000,
            resends_per_10k: 200,
            malformed_per_10k: 500,
            ..Spec::new(seed, workspaces, 50, 60_000)
        }
    }

    #[test]
    fn a_seed_makes_the_same_records_for_ever() {
        let (one, two) = (spec(1), spec(2));
        let same = Generator::new(&one).zip(Generator::new(&one)).all(|(a, b)| a.message == b.message);
        assert!(same && Generator::new(&one).count() == 60_000);
        assert!(Generator::new(&one).zip(Generator::new(&two)).any(|(a, b)| a.message != b.message));
    }

    #[test]
    fn by_the_book_all_are_written_alike_and_resent_as_they_were() {
        let encodings = Encodings { bare: 1, structured: 0, base64: 0, binary: 0 };
        let spec = Spec { by_the_book: true, encodings, malformed_per_10k: 0, ..spec(4) };
        let (mut payloads, mut bytes, mut resends) = (BTreeSet::new(), 0, 0);
        for Produced { message, expectation } in Generator::new(&spec) {
            let payload = message.payload.unwrap();
            bytes += payload.len();
            let is_new = payloads.insert(payload);
            assert_eq!(is_new, matches!(expectation, Expectation::First { .. }));
            resends += usize::from(!is_new);
        }
        assert!((220..270).contains(&(bytes / 60_000)), "{} bytes an event", bytes / 60_000);
        assert!((1_000..1_400).contains(&resends), "{resends}");
    }

    /// The decoder is asked here, in the test: it must find in each record what was put there.
    #[test]
    fn every_record_is_what_it_claims_to_be() {
        let (spec, mut ids, mut reasons) = (spec(3), BTreeSet::new(), BTreeSet::new());
        let rules = DecodeRules {
            age_micros_max: 72 * 3_600_000_000,
            ahead_micros_max: 300_000_000,
            payload_bytes_max: 262_144,
            rates: RateCard::default(),
        };
        for Produced { message, expectation } in Generator::new(&spec) {
            let timestamp = Instant::from_micros(START + 3_600_000_000);
            let (key, payload) = (message.key.as_deref(), message.payload.as_deref());
            let decoded = decode(RawRecord { key, payload, headers: &message.headers, timestamp }, &rules);
            match (expectation, decoded) {
                (Expectation::First { workspace, user, feature, micro }, Ok(event)) => {
                    assert_eq!(event.workspace.as_str(), spec.workspaces[workspace]);
                    assert_eq!(event.user.as_str(), Spec::user_name(user));
                    assert_eq!(event.feature.as_str(), spec.features[feature].name);
                    assert_eq!(event.credits.micro(), micro);
                    assert!(ids.insert((event.workspace, event.source, event.id)));
                }
                (Expectation::Resend { .. }, Ok(event)) => {
                    assert!(ids.contains(&(event.workspace, event.source, event.id)));
                }
                (Expectation::Rejected { reason }, Err(rejection)) => {
                    assert_eq!(rejection.reason.as_str(), reason, "{}", rejection.detail);
                    reasons.insert(reason);
                }
                (expectation, decoded) => panic!("{expectation:?} {decoded:?}"),
            }
        }
        assert_eq!(reasons.len(), 14, "{reasons:?}");
    }
}
