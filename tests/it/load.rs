//! A million events through the real binary, undisturbed and with five `kill -9` in the middle: each
//! record ends in exactly one outcome, and every place where a number stands says the same as the
//! generator's own count.
//!
//! `TOLLGATE_LOAD_EVENTS` sets the number of records, `TOLLGATE_LOAD_SEED` other events and other
//! moments of killing. Figures are printed: `cargo test --test it load -- --nocapture`.

mod checks;
mod outcomes;

use std::time::{Duration, Instant as Clock};

use tollgate::clickhouse::Store;
use tollgate::config::Settings;
use tollgate::domain::ledger::{Change, Enforcement, LimitSetting, Plan};
use tollgate::domain::period::{Calendar, Instant, PeriodName};
use tollgate::domain::{Credits, UserId, WorkspaceId};
use tollgate::kafka::Producer;
use tollgate::pipeline::decide::now;
use tollgate::redis::{Author, RedisLedger};
use tollgate::simulate::{Rng, Spec, Tally, Verdict, produce};

use crate::support::{Installation, Service, Watch, drop_database, forget, remove, unique};

const EVENTS_DEFAULT: u64 = 200_000;
const WORKSPACES: usize = 200;
const USERS: usize = 50;
const KILLS: u64 = 5;
/// Longer than a day, so that for every user the day turns on the way.
const DURATION_MICROS: i64 = 30 * 3_600_000_000;
/// Nothing committed for so long is a service that stands still.
const STILL_MAX: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread")]
async fn load_every_record_ends_in_one_outcome_and_all_numbers_agree() {
    let load = Load::prepare("load").await;
    let mut drain = Drain::start(&load);
    drain.until(load.spec.records);
    drain.service.take().unwrap().stop();
    let repeats = load.check().await;
    assert_eq!(repeats, 0, "nothing is decided twice when nothing fails");
    load.print(&drain, repeats);
    load.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_survives_five_kills() {
    let load = Load::prepare("load-kill").await;
    let (mut rng, mut drain) = (Rng::new(load.spec.seed ^ 0xdead), Drain::start(&load));
    for kill in 0..KILLS {
        // One kill in each sixth, and then at any moment between two flushes.
        let percent = kill * 15 + 2 + rng.below(10);
        drain.until(load.spec.records * percent / 100);
        std::thread::sleep(Duration::from_millis(rng.below(400)));
        drain.kill_and_restart();
    }
    drain.until(load.spec.records);
    drain.service.take().unwrap().stop();
    let repeats = load.check().await;
    assert!(repeats > 0, "not one of the kills hit between a decision and its commit");
    load.print(&drain, repeats);
    load.clean_up().await;
}

/// Everything published and nothing consumed yet.
struct Load {
    installation: Installation,
    ledger: RedisLedger,
    tables: Store,
    spec: Spec,
    period: PeriodName,
    tally: Tally,
    produced_in: Duration,
}

impl Load {
    async fn prepare(what: &str) -> Self {
        let installation = Installation::new(&unique(what));
        installation.run("migrate");
        let settings = &installation.settings;
        let (spec, period) = spec();
        let ledger = RedisLedger::new(&settings.redis, settings.dedupe_windows()).unwrap();
        set_plans(&ledger, &spec).await;
        let producer = Producer::new(&settings.kafka).unwrap();
        let started = Clock::now();
        let published = produce(&producer, &settings.kafka.topics.events, &spec, None, |_| ()).await.unwrap();
        let (tables, tally) = (Store::connect(&settings.clickhouse).unwrap(), published.tally);
        Self { ledger, tables, spec, period, tally, produced_in: started.elapsed(), installation }
    }

    fn settings(&self) -> &Settings {
        &self.installation.settings
    }

    /// All checks; how many decisions and dead letters were told more than once.
    async fn check(&self) -> u64 {
        let watch = Watch::new(&self.settings().kafka);
        assert_eq!(
            watch.committed(),
            watch.ends(&self.settings().kafka.topics.events),
            "committed to the end"
        );
        let outcomes = outcomes::read(&watch, self.settings());
        outcomes.check_each_record_once(&watch, &self.settings().kafka.topics.events, self.spec.records);
        outcomes.check_against(&self.spec, &self.tally);
        checks::tables(&self.tables, &self.spec, &self.tally, self.period).await;
        checks::redis(&self.ledger, &self.spec, &self.tally, self.period).await;
        checks::rows(self.settings(), &self.ledger, &self.spec, &self.tally).await;
        outcomes.repeats
    }

    fn print(&self, drain: &Drain<'_>, repeats: u64) {
        let (records, tally) = (self.spec.records as f64, &self.tally);
        let (produced, drained) =
            (self.produced_in.as_secs_f64(), drain.started.elapsed_until_done().as_secs_f64());
        println!("records            {:>12}  in {WORKSPACES} workspaces of {USERS} users", self.spec.records);
        println!("  allowed          {:>12}", tally.verdicts(Verdict::Allowed));
        println!("  denied, limit    {:>12}", tally.verdicts(Verdict::UserLimit));
        println!("  denied, pool     {:>12}", tally.verdicts(Verdict::InsufficientCredits));
        println!("  duplicate        {:>12}", tally.verdicts(Verdict::Duplicate));
        println!("  rejected         {:>12}", tally.rejects());
        println!("credits debited    {:>19}", Credits::from_micro(tally.used_micro()).to_string());
        println!("published          {:>12.0}  a second ({produced:.1} s)", records / produced);
        println!("drained            {:>12.0}  a second ({drained:.1} s, start included)", records / drained);
        println!("kills              {:>12}  {:?} records committed at each", drain.kills.len(), drain.kills);
        println!("told again         {repeats:>12}");
    }

    async fn clean_up(self) {
        remove(&self.settings().kafka).await;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        forget(&self.settings().redis.name);
        drop_database(&self.settings().clickhouse);
    }
}

fn spec() -> (Spec, PeriodName) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let workspaces = (0..WORKSPACES).map(|n| format!("workspace-{n:03}")).collect();
    let spec = Spec::new(
        number("TOLLGATE_LOAD_SEED", 1),
        workspaces,
        USERS,
        number("TOLLGATE_LOAD_EVENTS", EVENTS_DEFAULT),
    );
    // All within one period, and not so long ago that events would be too old.
    let (calendar, end) = (Calendar::default(), now().micros());
    let running = calendar.period_of(Instant::from_micros(end));
    let end = if running.start.micros() > end - DURATION_MICROS { running.start.micros() - 1 } else { end };
    let start_micros = end - DURATION_MICROS;
    let period = calendar.period_of(Instant::from_micros(start_micros)).name;
    let spec = Spec {
        start_micros,
        duration_micros: DURATION_MICROS,
        resends_per_10k: 200,
        malformed_per_10k: 100,
        limited_user_every: 10,
        dry_pool_every: 20,
        ..spec
    };
    (spec, period)
}

/// The plans and limits that the tally counts with.
async fn set_plans(ledger: &RedisLedger, spec: &Spec) {
    let (at, author) =
        (Instant::from_micros(spec.start_micros), Author { actor: "load".into(), ..Author::default() });
    for (w, name) in spec.workspaces.iter().enumerate() {
        let workspace = WorkspaceId::parse(name).unwrap();
        let mut changes = vec![Change::Plan(Plan {
            monthly_credits: Credits::from_micro(spec.pool_micro(w)),
            timezone: "UTC".to_owned(),
            anchor_day: 1,
            enforcement: Enforcement::Hard,
            default_user_limit: None,
        })];
        changes.extend((0..spec.users_per_workspace).filter_map(|u| {
            let limit = Some(Some(LimitSetting::Credits(Credits::from_micro(spec.limit_micro(w, u)?))));
            Some(Change::User {
                user: UserId::parse(&Spec::user_name(u)).unwrap(),
                limit,
                team: None,
                suspended: None,
            })
        }));
        for change in &changes {
            ledger.change(&workspace, change, &author, at).await.unwrap().unwrap();
        }
    }
}

/// When draining began and ended.
struct Stopwatch(Clock, Option<Duration>);

impl Stopwatch {
    fn elapsed_until_done(&self) -> Duration {
        self.1.unwrap_or_else(|| self.0.elapsed())
    }
}

/// A service at work, and who looks on.
struct Drain<'a> {
    load: &'a Load,
    watch: Watch<'a>,
    service: Option<Service>,
    started: Stopwatch,
    /// Records committed at each kill.
    kills: Vec<i64>,
}

impl<'a> Drain<'a> {
    fn start(load: &'a Load) -> Self {
        let watch = Watch::new(&load.installation.settings.kafka);
        let service = Some(load.installation.serve());
        Self { load, watch, service, started: Stopwatch(Clock::now(), None), kills: Vec::new() }
    }

    /// Waits until so many records are committed; fails when nothing moves any more.
    fn until(&mut self, records: u64) {
        let (mut last, mut moved) = (-1, Clock::now());
        loop {
            let committed: i64 = self.watch.committed().iter().sum();
            if committed as u64 >= records {
                break;
            }
            if committed > last {
                (last, moved) = (committed, Clock::now());
            }
            assert!(moved.elapsed() < STILL_MAX, "{committed} of {records} records, and nothing moves");
            self.service.as_mut().unwrap().check_alive();
            std::thread::sleep(Duration::from_millis(20));
        }
        if records >= self.load.spec.records {
            self.started.1 = Some(self.started.0.elapsed());
        }
    }

    fn kill_and_restart(&mut self) {
        self.service.take().unwrap().kill();
        let committed: i64 = self.watch.committed().iter().sum();
        assert!((committed as u64) < self.load.spec.records, "the kill came after the end");
        self.kills.push(committed);
        self.service = Some(self.load.installation.serve());
    }
}
