//! `tollgate simulate`: realistic events for one workspace, at a pace or as fast as Kafka takes them.

use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::config::Settings;
use crate::domain::{Credits, WorkspaceId};
use crate::kafka::Producer;
use crate::pipeline::decide::now;
use crate::simulate::{Published, Spec, Verdict, produce};

/// Records a second when neither a rate nor a number of events is asked for.
const RATE_DEFAULT: u32 = 500;

/// Publish realistic usage events for a workspace.
#[derive(ClapArgs)]
pub struct Args {
    /// Whose users spend
    #[arg(long)]
    workspace: WorkspaceId,
    /// How many users; few of them spend most
    #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// Records a second [default: 500; with --events as fast as Kafka takes them]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How long, such as 90s, 5m or 1h. With --events alone: how far back the events happened
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// How many records, instead of rate x duration
    #[arg(long)]
    events: Option<u64>,
    /// Makes the events repeatable: the same seed sends the same ids again, and they are duplicates
    #[arg(long)]
    seed: Option<u64>,
    /// Of 100 records so many are resends of earlier ones
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=50))]
    resent_percent: u32,
    /// Of 100 records so many are no events
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    malformed_percent: u32,
}

/// Publishes, and says what that was.
pub async fn run(args: Args, settings: &Settings) -> anyhow::Result<()> {
    let (spec, rate) = plan(args, now().micros());
    let producer = Producer::new(&settings.kafka)?;
    let bar = progress_bar(spec.records);
    let started = Instant::now();
    let published =
        produce(&producer, &settings.kafka.topics.events, &spec, rate, |records| bar.set_position(records))
            .await?;
    bar.finish_and_clear();
    println!("{}", summary(&spec, &published, started.elapsed()));
    Ok(())
}

/// What is to be simulated, and how fast.
fn plan(args: Args, now_micros: i64) -> (Spec, Option<u32>) {
    let rate = args.rate.or(args.events.is_none().then_some(RATE_DEFAULT));
    let seconds = args.duration.as_secs();
    let records = args.events.unwrap_or(u64::from(rate.unwrap_or(RATE_DEFAULT)) * seconds);
    let seconds =
        rate.filter(|_| args.events.is_some()).map_or(seconds, |rate| records.div_ceil(u64::from(rate)));
    let duration_micros = seconds as i64 * 1_000_000;
    // Paced events happen as they are sent; what is sent at once has happened before.
    let start_micros = if rate.is_some() { now_micros } else { now_micros - duration_micros };
    let seed = args.seed.unwrap_or(now_micros as u64);
    let spec = Spec {
        start_micros,
        duration_micros,
        resends_per_10k: args.resent_percent * 100,
        malformed_per_10k: args.malformed_percent * 100,
        ..Spec::new(seed, vec![args.workspace.to_string()], args.users as usize, records)
    };
    (spec, rate)
}

/// Nothing is drawn when nobody looks: the bar hides itself when standard error is no terminal.
fn progress_bar(records: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:40} {human_pos} of {human_len} records, {per_sec:.0}, {eta} to go",
    );
    let bar = ProgressBar::new(records);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn summary(spec: &Spec, published: &Published, elapsed: Duration) -> String {
    let tally = &published.tally;
    let (resent, malformed) = (tally.verdicts(Verdict::Duplicate), tally.rejects());
    let events = published.records - resent - malformed;
    let seconds = elapsed.as_secs_f64().max(1e-3);
    format!(
        "{} records in {seconds:.1} s ({:.0} a second): {} events that ask for {} credits, \
         {} resends, {} malformed; seed {}",
        HumanCount(published.records),
        published.records as f64 / seconds,
        HumanCount(events),
        Credits::from_micro(tally.asked_micro()),
        HumanCount(resent),
        HumanCount(malformed),
        spec.seed,
    )
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        unit => return Err(format!("{unit:?} is no unit: write 90s, 5m or 1h")),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    let valid = seconds.filter(|seconds| (1..=72 * 3600).contains(seconds));
    valid.map(Duration::from_secs).ok_or_else(|| format!("{text:?} is no duration between 1s and 72h"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(words: &str) -> (Spec, Option<u32>) {
        let line = Line::try_parse_from(["simulate"].into_iter().chain(words.split(' '))).unwrap();
        plan(line.args, 1_000_000_000)
    }

    #[test]
    fn rate_and_duration_make_the_number_of_records() {
        let (spec, rate) = planned("--workspace acme --users 7 --rate 200 --duration 2m --seed 4");
        assert_eq!((spec.records, spec.seed, spec.users_per_workspace, rate), (24_000, 4, 7, Some(200)));
        assert_eq!((spec.start_micros, spec.duration_micros), (1_000_000_000, 120_000_000));
    }

    #[test]
    fn a_number_of_events_is_sent_at_once_and_has_happened_before() {
        let (spec, rate) = planned("--workspace acme --events 5000 --duration 10m");
        assert_eq!((spec.records, rate, spec.start_micros), (5_000, None, 400_000_000));
        let (spec, rate) = planned("--workspace acme --events 5000 --rate 1000");
        assert_eq!((spec.records, rate, spec.duration_micros), (5_000, Some(1_000), 5_000_000));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(
            [duration("90"), duration("90s"), duration("1h")].map(|d| d.unwrap().as_secs()),
            [90, 90, 3600]
        );
        for bad in ["", "0s", "3d", "h", "73h", "-1s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
