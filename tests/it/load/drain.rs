//! A load from its making to its checks: published whole, drained by the service, compared everywhere.

use std::time::{Duration, Instant as Clock};

use tollgate::domain::Credits;
use tollgate::domain::period::PeriodName;
use tollgate::simulate::{Spec, Tally, Verdict, produce};

use super::setup::{USERS, WORKSPACES, set_plans, spec};
use super::{checks, outcomes};
use crate::support::{Installation, Service, Watch};

/// Nothing committed for so long is a service that stands still.
const STILL_MAX: Duration = Duration::from_secs(45);
/// The owner of partitions is missed sooner than by default, and somebody waits for that here.
const MORE: &str = "[kafka.consumer]\nsession_timeout_ms = 6000";

/// Everything published and nothing consumed yet.
pub struct Load {
    /// Where.
    pub installation: Installation,
    /// What.
    pub spec: Spec,
    /// What must become of it.
    pub tally: Tally,
    /// The one that all of it falls into.
    pub period: PeriodName,
    produced_in: Duration,
}

impl Load {
    /// Makes an installation and publishes so many records.
    pub async fn prepare(what: &str, records: u64) -> Self {
        let installation = Installation::new(what, MORE).await;
        let (spec, period) = spec(records);
        set_plans(&installation.stores.ledger, &spec).await;
        let (producer, topic) = (&installation.stores.producer, &installation.settings.kafka.topics.events);
        let started = Clock::now();
        let published = produce(producer, topic, &spec, None, |_| ()).await.unwrap();
        Self { spec, tally: published.tally, period, produced_in: started.elapsed(), installation }
    }

    /// All checks.
    pub async fn check(&self) -> Checked {
        let (settings, stores) = (&self.installation.settings, &self.installation.stores);
        let (watch, input) = (Watch::new(&settings.kafka), &settings.kafka.topics.events);
        assert_eq!(watch.committed(), watch.ends(input), "committed to the end");
        let outcomes = outcomes::read(&watch, settings);
        outcomes.check_each_record_once(&watch, input, self.spec.records);
        outcomes.check_against(&self.spec, &self.tally);
        checks::tables(&stores.tables, &self.spec, &self.tally, self.period).await;
        checks::redis(&stores.ledger, &self.spec, &self.tally, self.period).await;
        checks::rows(settings, &stores.ledger, &self.spec, &self.tally).await;
        Checked { repeats: outcomes.repeats, epoch: outcomes.epoch() }
    }

    /// The figures of a run, for people.
    pub fn print(&self, drained: &Drained, repeats: u64) {
        let (records, tally) = (self.spec.records as f64, &self.tally);
        let (produced, seconds) = (self.produced_in.as_secs_f64(), drained.elapsed.as_secs_f64());
        let credits = Credits::from_micro(tally.used_micro()).to_string();
        println!("records            {:>14}  of {WORKSPACES} workspaces of {USERS} users", self.spec.records);
        println!("  allowed          {:>14}", tally.verdicts(Verdict::Allowed));
        println!("  denied, limit    {:>14}", tally.verdicts(Verdict::UserLimit));
        println!("  denied, pool     {:>14}", tally.verdicts(Verdict::InsufficientCredits));
        println!("  duplicate        {:>14}", tally.verdicts(Verdict::Duplicate));
        println!("  rejected         {:>14}", tally.rejects());
        println!("credits debited    {credits:>14}");
        println!("published          {:>14.0}  a second ({produced:.1} s)", records / produced);
        println!("drained            {:>14.0}  a second ({seconds:.1} s)", records / seconds);
        println!("kills              {:>14}  committed at each: {:?}", drained.kills.len(), drained.kills);
        println!("told again         {repeats:>14}");
    }
}

/// What was seen on the way.
pub struct Checked {
    /// Decisions and dead letters that were told more than once.
    pub repeats: u64,
    /// The newest epoch that something was decided in.
    pub epoch: u64,
}

/// A service at work, and who looks on.
pub struct Drain<'a> {
    load: &'a Load,
    watch: Watch<'a>,
    /// The process.
    pub service: Service,
    started: Clock,
    kills: Vec<i64>,
}

/// How it went.
pub struct Drained {
    /// From the service's readiness to the last commit, kills included.
    pub elapsed: Duration,
    /// Records committed at each kill.
    pub kills: Vec<i64>,
}

impl<'a> Drain<'a> {
    /// Starts the service on the load.
    pub async fn start(load: &'a Load) -> Self {
        let watch = Watch::new(&load.installation.settings.kafka);
        let service = load.installation.serve().await;
        Self { load, watch, service, started: Clock::now(), kills: Vec::new() }
    }

    /// Waits until so many records are committed; fails when nothing moves any more.
    pub fn until(&self, records: u64) {
        let (mut last, mut moved) = (-1, Clock::now());
        loop {
            let committed = self.committed();
            if committed as u64 >= records {
                return;
            }
            if committed > last {
                (last, moved) = (committed, Clock::now());
            }
            let log = || self.load.installation.log();
            assert!(moved.elapsed() < STILL_MAX, "{committed} of {records}, and nothing moves: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9` while there is work, and a new start.
    pub async fn kill_and_restart(&mut self) {
        let killed = self.service.pid();
        self.service.kill();
        let committed = self.committed();
        assert!((committed as u64) < self.load.spec.records, "the kill came after the end");
        self.kills.push(committed);
        self.service = self.load.installation.serve().await;
        assert_ne!(self.service.pid(), killed);
    }

    /// Stops the service when all is done.
    pub fn stop(self) -> Drained {
        let elapsed = self.started.elapsed();
        assert!(self.service.stop(), "the service ended with an error: {}", self.load.installation.log());
        Drained { elapsed, kills: self.kills }
    }

    fn committed(&self) -> i64 {
        self.watch.committed().iter().sum()
    }
}
