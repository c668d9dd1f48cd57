//! Tables, through their views, as anybody may read them.

use super::{Account, Decision, Facts, Row};
use crate::workers::NAME;

/// Rows as fields of text.
pub async fn query(port: u16, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let client =
        clickhouse::Client::default().with_url(format!("http://127.0.0.1:{port}")).with_database(NAME);
    let mut answer = client.query(sql).fetch_bytes("TSV").map_err(|fault| fault.to_string())?;
    let bytes = answer.collect().await.map_err(|fault| fault.to_string())?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn micro(name: &str) -> String {
    format!("toInt64({name} * 1000000)")
}

/// Reads all that is compared.
pub async fn read_tables(port: u16, facts: &mut Facts) -> Result<(), String> {
    let drawn = ["drawn_user", "drawn_team", "drawn_pool", "overage_credits"].map(micro).join(", ");
    let sql = format!(
        "SELECT workspace, toString(period), user, feature, toString(day), source, id, outcome, epoch, sequence, \
         topic_partition, topic_offset, {}, {drawn} FROM usage_events",
        micro("credits")
    );
    facts.rows = query(port, &sql).await?.iter().map(|fields| row(fields)).collect();
    let sums = ["credits", "overage_credits"].map(micro).join(", ");
    let sql = format!(
        "SELECT workspace, toString(period), user, feature, toString(day), {sums}, events, denied_events, {} \
         FROM usage_rollups",
        micro("denied_credits")
    );
    for fields in query(port, &sql).await? {
        let [workspace, period, user, feature, day] = [0, 1, 2, 3, 4].map(|at| fields[at].clone());
        let sums = [5, 6, 7, 8, 9].map(|at| number(&fields, at));
        facts.rollups.insert((workspace, period, user, feature, day), sums);
    }
    let sums =
        ["credited - transferred_out", "used", "held"].map(|sum| micro(&format!("({sum})"))).join(", ");
    let sql = format!("SELECT workspace, toString(period), account, {sums} FROM account_balances_raw FINAL");
    for fields in query(port, &sql).await? {
        let [entered, used, held] = [3, 4, 5].map(|at| number(&fields, at));
        let [workspace, period, account] = [0, 1, 2].map(|at| fields[at].clone());
        facts.balances.insert((workspace, period, account), Account { entered, used, held });
    }
    for fields in query(port, "SELECT workspace, epoch, sequence FROM credit_ledger").await? {
        facts.ledger_rows.push((fields[0].clone(), number(&fields, 1) as u64, number(&fields, 2) as u64));
    }
    for fields in query(port, "SELECT partition, offset FROM dead_letters").await? {
        facts.letter_rows.insert((number(&fields, 0) as i32, number(&fields, 1)));
    }
    Ok(())
}

fn number(fields: &[String], at: usize) -> i64 {
    fields[at].parse().unwrap_or_else(|_| panic!("no number in {fields:?}"))
}

fn row(fields: &[String]) -> Row {
    let [workspace, period, user, feature, day, source, id, outcome] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|at| fields[at].clone());
    let decision = Decision {
        position: (number(fields, 10) as i32, number(fields, 11)),
        identity: (workspace.clone(), source, id),
        epoch: number(fields, 8) as u64,
        sequence: number(fields, 9) as u64,
        outcome,
        drawn: [13, 14, 15, 16].map(|at| number(fields, at)),
    };
    Row { cell: (workspace, period, user, feature, day), decision, asked: number(fields, 12) }
}
