//! The dashboards as they lie in the repository.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One query of a dashboard.
#[derive(Clone)]
pub struct Query {
    /// The panel's title, or `variable <name>`.
    pub title: String,
    /// SQL with Grafana's macros.
    pub sql: String,
}

/// Every dashboard under `deploy/grafana/dashboards`. There is at least one.
pub fn dashboards() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards");
    let files = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let texts = files.map(|file| fs::read_to_string(file).expect("readable"));
    let dashboards: Vec<Value> = texts.map(|text| serde_json::from_str(&text).expect("JSON")).collect();
    assert!(!dashboards.is_empty());
    dashboards
}

/// The panels of a dashboard, without the headings.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().expect("panels");
    panels.iter().filter(|panel| panel["type"] != "row").collect()
}

/// The targets of a panel.
pub fn targets(panel: &Value) -> &[Value] {
    panel["targets"].as_array().expect("targets")
}

/// Every query that ClickHouse gets: of variables and of panels.
pub fn queries() -> Vec<Query> {
    dashboards().iter().flat_map(|dashboard| [variables(dashboard), asked(dashboard)].concat()).collect()
}

fn variables(dashboard: &Value) -> Vec<Query> {
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let query = |variable: &Value| Query {
        title: format!("variable {}", text(&variable["name"])),
        sql: text(&variable["query"]),
    };
    variables.map(query).collect()
}

fn asked(dashboard: &Value) -> Vec<Query> {
    let targets = panels(dashboard).into_iter().flat_map(|panel| {
        let sql = targets(panel).iter().filter(|target| target["rawSql"].is_string());
        sql.map(|target| Query { title: text(&panel["title"]), sql: text(&target["rawSql"]) })
    });
    targets.collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
