//! The alerts beside what they lean on: metrics that exist, a runbook that answers, tests that see
//! each of them fire and keep quiet. `promtool test rules` runs those tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tollgate::metrics::{ALL, Kind};

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What follows `key` on the lines that begin with it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(str::trim).collect()
}

/// Everything that looks like a name of ours, with the recorded series' own prefix.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.map(|word| word.trim_matches(':')).filter(|word| word.contains("tollgate_")).collect()
}

/// A metric that the service exports; of a histogram what Prometheus makes of it.
fn exists(name: &str, recorded: &[&str]) -> bool {
    let kind = |name: &str| ALL.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind);
    let part = |end| name.strip_suffix(end).is_some_and(|whole| kind(whole) == Some(Kind::Histogram));
    let whole = kind(name).is_some_and(|kind| kind != Kind::Histogram);
    whole || recorded.contains(&name) || ["_bucket", "_count", "_sum"].into_iter().any(part)
}

#[test]
fn alerts_and_dashboards_use_metrics_that_exist() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let recorded = values(&alerts, "- record:");
    let others = ["deploy/prometheus/alerts_test.yml", "deploy/grafana/dashboards/tollgate.json"].map(read);
    for text in [&alerts, &others[0], &others[1]] {
        let names = names(text);
        assert!(names.len() > 3, "{names:?}");
        for name in names {
            assert!(exists(name, &recorded), "{name}");
        }
    }
}

#[test]
fn a_name_that_does_not_exist_is_seen() {
    let found = names("sum(rate(tollgate_event_total[5m])) + x:tollgate_y / tollgate_debit_seconds");
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|name| !exists(name, &["z:tollgate_y"])), "{found:?}");
}

#[test]
fn every_alert_says_what_where_and_how_bad() {
    let alerts = read("deploy/prometheus/alerts.yml");
    for alert in alerts.split("- alert:").skip(1) {
        let name = alert.lines().next().map(str::trim).unwrap_or_default();
        for key in ["summary:", "description:"] {
            assert_eq!(values(alert, key).len(), 1, "{name}: {key}");
        }
        let severity = values(alert, "severity:");
        assert!(matches!(severity[..], ["critical" | "warning"]), "{name}: {severity:?}");
        let link = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(values(alert, "runbook_url:"), [link]);
    }
}

#[test]
fn the_runbook_has_a_section_for_every_alert_and_no_other() {
    let (alerts, runbook) = (read("deploy/prometheus/alerts.yml"), read("docs/runbook.md"));
    let alerts: BTreeSet<_> = values(&alerts, "- alert:").into_iter().collect();
    assert_eq!(alerts, values(&runbook, "## ").into_iter().collect());
    for section in runbook.split("\n## ").skip(1) {
        let name = section.lines().next();
        for part in ["**Means** (", "**First look** ", "**Do** "] {
            assert!(section.contains(part), "{name:?}: {part}");
        }
    }
}

#[test]
fn every_alert_is_seen_to_fire_and_to_keep_quiet() {
    let (alerts, tests) = (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"));
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    let expects = |alert: &str, expected: &str| {
        let alert = format!("alertname: {alert}");
        lines.windows(2).any(|pair| pair[0] == alert && pair[1] == expected)
    };
    for alert in values(&alerts, "- alert:") {
        assert!(expects(alert, "exp_alerts:"), "{alert} never fires");
        assert!(expects(alert, "exp_alerts: []"), "{alert} never keeps quiet");
    }
}
