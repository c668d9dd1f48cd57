//! The report as Markdown, which can be read as it is.

use std::fmt::Write as _;

use super::{About, Drain, Report};
use crate::checks::Checks;
use crate::contender::Contender;

/// Processes in the order of the columns, beside the contender itself.
const SERVERS: [&str; 3] = ["redis", "kafka", "clickhouse"];

/// All of it.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for set in &report.sets {
        drains(&mut text, report, set);
    }
    latencies(&mut text, report);
    if let Some(figures) = &report.checks {
        checks(&mut text, figures);
    }
    machine(&mut text, report);
    text
}

fn drains(text: &mut String, report: &Report, set: &About) {
    let About { name, events, workspaces, users_per_workspace, bytes_per_event, .. } = set;
    let percent = |part: u64| part as f64 * 100.0 / *events as f64;
    let _ = writeln!(
        text,
        "**`{name}`**: {} events of {bytes_per_event:.0} bytes, {} workspaces of {users_per_workspace} users; \
         {:.1} % denied, {:.1} % duplicates. Medians of {} rounds.\n",
        grouped(*events as f64),
        grouped(*workspaces as f64),
        percent(set.denied),
        percent(set.duplicates),
        report.rounds,
    );
    text.push_str(
        "| contender | events/s | slowest to fastest | CPU µs per event: itself | Redis | Kafka | ",
    );
    text.push_str("ClickHouse | all | peak RSS, MiB | Redis bytes per id |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    let of_set: Vec<&Drain> = report.drains.iter().filter(|drain| drain.set == *name).collect();
    for drain in &of_set {
        row(text, drain);
    }
    text.push('\n');
    ratios(text, &of_set);
}

fn row(text: &mut String, drain: &Drain) {
    let title = drain.who.title();
    if let Some(fault) = &drain.failed {
        let fault: String = fault.lines().next().unwrap_or_default().chars().take(120).collect();
        let _ = writeln!(text, "| {title} | failed: {fault} | | | | | | | | |");
        return;
    }
    let cpu = |process: &str| drain.cpu_micros_per_event.get(process).copied().unwrap_or(0.0);
    let servers: Vec<String> = SERVERS.iter().map(|server| format!("{:.2}", cpu(server))).collect();
    let _ = writeln!(
        text,
        "| {title} | {} | {} to {} | {:.2} | {} | {:.2} | {:.0} | {} |",
        grouped(drain.events_per_second),
        grouped(drain.slowest),
        grouped(drain.fastest),
        cpu("contender"),
        servers.join(" | "),
        drain.cpu_micros_per_event.values().sum::<f64>(),
        drain.rss_mib,
        drain.redis_bytes_per_id.map_or(String::new(), |bytes| format!("{bytes:.0}")),
    );
}

/// What Tollgate's rate is to the others'.
fn ratios(text: &mut String, drains: &[&Drain]) {
    let rate = |who| drains.iter().find(|d| d.who == who && d.failed.is_none()).map(|d| d.events_per_second);
    let Some(ours) = rate(Contender::Tollgate) else { return };
    let mut parts = Vec::new();
    for (who, name) in [
        (Contender::Awaited, "the usual design awaited"),
        (Contender::Pipelined, "the usual design pipelined"),
        (Contender::Streams, "Kafka Streams"),
    ] {
        parts.extend(rate(who).map(|theirs| format!("{:.1} x {name}", ours / theirs)));
    }
    parts.extend(rate(Contender::Floor).map(|floor| format!("{:.2} of the floor", ours / floor)));
    if !parts.is_empty() {
        let _ = writeln!(text, "Tollgate's rate is {}.\n", parts.join(", "));
    }
}

fn latencies(text: &mut String, report: &Report) {
    if report.latencies.is_empty() {
        return;
    }
    text.push_str("**At fixed rates**, milliseconds from the instant at which a record was to be sent:\n\n");
    text.push_str(
        "| of | events/s | to Kafka, p50 | p99 | to its decision, p50 | p99 | to its row, p50 | p99 |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for latency in &report.latencies {
        let (kafka, decided, recorded) = (latency.acknowledged_ms, latency.decided_ms, latency.recorded_ms);
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} |",
            latency.set,
            grouped(f64::from(latency.events_per_second)),
            kafka.p50,
            kafka.p99,
            decided.p50,
            decided.p99,
            recorded.p50,
            recorded.p99,
        );
    }
    text.push('\n');
}

fn checks(text: &mut String, figures: &Checks) {
    let share = |bare: f64| figures.checks / bare;
    let _ = writeln!(
        text,
        "**Checks**, {} connections, each as soon as it was answered; medians of the rounds:\n\n\
         | | a second |\n|---|--:|\n\
         | `redis-benchmark`, `EVALSHA` of three reads | {} |\n\
         | `redis-benchmark`, `EVALSHA` of the API's own script | {} |\n\
         | `POST /check` over HTTP | {} |\n\
         | holds made or voided over HTTP | {} |\n\n\
         That is {:.2} of three reads and {:.2} of the same script, with {:.2} calls to Redis for each check.\n",
        figures.connections,
        grouped(figures.bare_three_reads),
        grouped(figures.bare_same_script),
        grouped(figures.checks),
        grouped(figures.holds),
        share(figures.bare_three_reads),
        share(figures.bare_same_script),
        figures.calls_per_check,
    );
    text.push_str(
        "| checks/s, open loop | events/s meanwhile | of | p50, ms | p99, ms |\n|--:|--:|---|--:|--:|\n",
    );
    for open in &figures.open {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} |",
            grouped(f64::from(open.requests_per_second)),
            grouped(f64::from(open.events_per_second)),
            open.set,
            open.milliseconds.p50,
            open.milliseconds.p99,
        );
    }
    text.push('\n');
}

fn machine(text: &mut String, report: &Report) {
    let m = &report.machine;
    let _ = writeln!(
        text,
        "Measured on {} at commit {}: {} cores of {}, {} GiB, Linux {}; Kafka {}, Redis {}, ClickHouse {}, \
         librdkafka {}, {}.",
        m.date,
        m.commit,
        m.cores,
        m.processor,
        m.memory_gib,
        m.kernel,
        m.kafka,
        m.redis,
        m.clickhouse,
        m.librdkafka,
        m.java,
    );
}

/// Thousands with commas between.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
