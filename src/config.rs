//! The settings of every room, gathered: compiled-in defaults < a file < the environment.
//! Every fault is reported at once, with the key that it belongs to.

use std::collections::BTreeMap;
use std::path::Path;

use ::config::{Config, Environment, File, FileFormat, Map, Value, ValueKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The manual and the defaults.
pub const DEFAULTS: &str = include_str!("../config/default.toml");
const PREFIX: &str = "TOLLGATE";

/// The section `[events]`.
#[derive(Debug, Clone, Deserialize)]
pub struct Events {
    /// Oldest accepted age.
    pub max_age_hours: u32,
    /// Largest payload.
    pub max_event_bytes: usize,
    /// Path of the rate card; empty for none.
    pub rates_file: String,
}

/// The section `[dedupe]`.
#[derive(Debug, Clone, Deserialize)]
pub struct Dedupe {
    /// How long a resend with another time is recognised.
    pub window_minutes: u32,
    /// How long the consumer may stand still without forgetting.
    pub outage_hours_max: u32,
}

/// The section `[ops]`.
#[derive(Debug, Clone, Deserialize)]
pub struct Ops {
    /// Address of `/livez`, `/readyz` and `/metrics`.
    pub listen: std::net::SocketAddr,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// The section `[log]`.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// As in `RUST_LOG`.
    pub filter: String,
    /// How.
    pub format: LogFormat,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What records are judged by.
    pub events: Events,
    /// How long duplicates are recognised.
    pub dedupe: Dedupe,
    /// Kafka.
    pub kafka: crate::kafka::Settings,
    /// Redis.
    pub redis: crate::redis::Settings,
    /// ClickHouse.
    pub clickhouse: crate::clickhouse::Settings,
    /// Flushes and retries.
    pub pipeline: crate::pipeline::Settings,
    /// The API.
    pub http: crate::http::Settings,
    /// Who may call it.
    pub auth: crate::http::auth::Settings,
    /// Operators' page.
    pub ops: Ops,
    /// Logs.
    pub log: Log,
    effective: BTreeMap<String, String>,
}

/// Every fault that was found, a line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} fault(s):\n  {}", .0.len(), .0.join("\n  "))]
pub struct Faults(Vec<String>);

impl Settings {
    /// Gathers the settings. Errors: all [`Faults`] at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Faults> {
        let environment =
            Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").try_parsing(true);
        Self::gather(file, environment)
    }

    fn gather(file: Option<&Path>, environment: Environment) -> Result<Self, Faults> {
        let fault = |fault: ::config::ConfigError| Faults(vec![fault.to_string()]);
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
        let known = Config::builder().add_source(defaults.clone()).build().map_err(fault)?;
        let mut builder = Config::builder().add_source(defaults);
        if let Some(path) = file {
            builder = builder.add_source(File::from(path));
        }
        let merged = builder.add_source(environment).build().map_err(fault)?;

        let known = flatten(known.cache);
        let effective = flatten(merged.cache.clone());
        // What a list holds is known by its reader.
        let is_known = |key: &str| known.contains_key(key.split('[').next().unwrap_or(key));
        let unknown = effective.keys().filter(|key| !is_known(key));
        let mut faults: Vec<String> = unknown.map(|key| format!("{key}: no such setting")).collect();
        let settings = Sections { merged: &merged, faults: &mut faults }.read(effective);
        faults.extend(settings.iter().flat_map(|settings| settings.auth.faults()));
        settings.filter(|_| faults.is_empty()).ok_or(Faults(faults))
    }

    /// Every setting in force, a line each, secrets hidden.
    pub fn effective(&self) -> String {
        let line = |(key, value): (&String, &String)| format!("{key} = {}\n", hidden(key, value));
        self.effective.iter().map(line).collect()
    }

    /// What the decoder judges by. Errors: a rate card that cannot be read.
    pub fn decode_rules(&self) -> Result<crate::domain::event::DecodeRules, Faults> {
        let rates = if self.events.rates_file.is_empty() {
            crate::domain::rates::RateCard::default()
        } else {
            let path = &self.events.rates_file;
            let text =
                std::fs::read_to_string(path).map_err(|fault| Faults(vec![format!("{path}: {fault}")]))?;
            crate::domain::rates::RateCard::parse(&text)
                .map_err(|fault| Faults(vec![format!("{path}: {fault}")]))?
        };
        Ok(crate::domain::event::DecodeRules {
            age_micros_max: i64::from(self.events.max_age_hours) * 3_600_000_000,
            ahead_micros_max: 300_000_000,
            payload_bytes_max: self.events.max_event_bytes,
            rates,
        })
    }

    /// The windows in which duplicates are recognised.
    pub fn dedupe_windows(&self) -> crate::redis::Dedupe {
        crate::redis::Dedupe {
            age_seconds_max: i64::from(self.events.max_age_hours) * 3600,
            window_seconds: i64::from(self.dedupe.window_minutes) * 60,
            outage_seconds_max: i64::from(self.dedupe.outage_hours_max) * 3600,
        }
    }
}

struct Sections<'a> {
    merged: &'a Config,
    faults: &'a mut Vec<String>,
}

impl Sections<'_> {
    fn read(mut self, effective: BTreeMap<String, String>) -> Option<Settings> {
        // Every section is read before the first missing one ends it, so that all faults are found.
        let (events, dedupe, kafka) = (self.section("events"), self.section("dedupe"), self.section("kafka"));
        let (redis, clickhouse) = (self.section("redis"), self.section("clickhouse"));
        let (http, auth) = (self.section("http"), self.section("auth"));
        let (pipeline, ops, log) = (self.section("pipeline"), self.section("ops"), self.section("log"));
        Some(Settings {
            events: events?,
            dedupe: dedupe?,
            kafka: kafka?,
            redis: redis?,
            clickhouse: clickhouse?,
            pipeline: pipeline?,
            http: http?,
            auth: auth?,
            ops: ops?,
            log: log?,
            effective,
        })
    }

    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.merged.get::<Value>(name).ok()?;
        match serde_path_to_error::deserialize(value) {
            Ok(section) => Some(section),
            Err(fault) => {
                let inner = fault.inner().to_string();
                // An unknown key is reported once, by its full name; those inside a list only here.
                if !inner.contains("unknown field") || fault.path().to_string().contains('[') {
                    self.faults.push(format!("{name}.{}: {inner}", fault.path()));
                }
                None
            }
        }
    }
}

fn flatten(root: Value) -> BTreeMap<String, String> {
    fn walk(prefix: &str, table: Map<String, Value>, flat: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value.kind {
                ValueKind::Table(inner) => walk(&name, inner, flat),
                ValueKind::Array(items) if items.iter().any(is_table) => walk_list(&name, items, flat),
                ValueKind::String(text) => drop(flat.insert(name, format!("{text:?}"))),
                _ => drop(flat.insert(name, value.to_string())),
            }
        }
    }
    fn walk_list(name: &str, items: Vec<Value>, flat: &mut BTreeMap<String, String>) {
        let numbered = |(at, item): (usize, Value)| (format!("{name}[{at}]"), item);
        walk("", items.into_iter().enumerate().map(numbered).collect(), flat);
    }
    fn is_table(value: &Value) -> bool {
        matches!(value.kind, ValueKind::Table(_))
    }
    let mut flat = BTreeMap::new();
    if let ValueKind::Table(table) = root.kind {
        walk("", table, &mut flat);
    }
    flat
}

/// Passwords, also those inside addresses, are never printed.
fn hidden(key: &str, value: &str) -> String {
    let empty = value == "\"\"";
    if (key.ends_with("password") || key.ends_with("sha256")) && !empty {
        return "\"<hidden>\"".to_owned();
    }
    match (value.split_once("://"), value.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://<hidden>@{host}"),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
        let source = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let environment =
            Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").try_parsing(true);
        Settings::gather(None, environment.source(Some(source)))
    }

    #[test]
    fn the_defaults_are_complete() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.kafka.topics.events, "ai.usage.events");
        assert_eq!(settings.dedupe_windows().window_seconds, 3600);
    }

    #[test]
    fn the_environment_overrides_and_secrets_are_hidden() {
        let url = "redis://:hunter2@db:6379/1";
        let settings =
            load(&[("TOLLGATE__REDIS__URL", url), ("TOLLGATE__CLICKHOUSE__PASSWORD", "hunter2")]).unwrap();
        assert_eq!(settings.redis.url, url);
        assert!(
            settings.effective().contains("redis.url = \"redis://<hidden>@db:6379/1\""),
            "{}",
            settings.effective()
        );
        assert!(!settings.effective().contains("hunter2"));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let faults = load(&[
            ("TOLLGATE__REDIS__ULR", "x"),
            ("TOLLGATE__OPS__LISTEN", "nowhere"),
            ("TOLLGATE__KAFKA__CONSUMER__BATCH_LINGER_MS", "soon"),
        ])
        .unwrap_err()
        .to_string();
        for part in ["redis.ulr: no such setting", "ops.listen: ", "kafka.consumer.batch_linger_ms: "] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }
    fn load_file(name: &str, text: &str) -> Result<Settings, Faults> {
        let path = std::env::temp_dir().join(format!("tollgate-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let settings = Settings::load(Some(&path));
        std::fs::remove_file(&path).unwrap();
        settings
    }

    #[test]
    fn api_keys_are_tables_of_a_list_and_their_digests_are_hidden() {
        let digest = "ab".repeat(32);
        let key = format!(
            "name = \"ci\"\nsha256 = \"{digest}\"\nscopes = [\"read\", \"ingest\"]\nworkspace = \"acme\""
        );
        let settings = load_file("keys", &format!("[[auth.keys]]\n{key}\n")).unwrap();
        assert_eq!(settings.auth.keys[0].name, "ci");
        let effective = settings.effective();
        assert!(effective.contains("auth.keys[0].name = \"ci\"\n"), "{effective}");
        assert!(!effective.contains(&digest));
    }

    #[test]
    fn every_fault_of_the_api_keys_is_reported() {
        let text = "[[auth.keys]]\nname = \"a\"\nsha256 = \"x\"\nscopes = []\nworkspace = \"*\"\n\
                    [auth.oidc]\nissuer = \"https://id.example\"\n";
        let faults = load_file("faults", text).unwrap_err().to_string();
        for part in
            ["auth.keys[0].sha256: ", "auth.keys[0].scopes: ", "auth.oidc.audience: ", "auth.oidc.jwks_url: "]
        {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        let text = "[[auth.keys]]\nname = \"a\"\nsha = \"x\"\n[http]\nlisten = \"x\"\nlisten_too = 1\n";
        let faults = load_file("unknown", text).unwrap_err().to_string();
        for part in ["auth.keys[0].sha: unknown field", "http.listen_too: no such setting", "http.listen: "] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }
}
