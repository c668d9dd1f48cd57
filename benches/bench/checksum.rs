//! One number for all that was decided: over each workspace, user and feature the CRC-32 of its name
//! times (events + 31 x microcredits + 131 x denied events), summed up modulo 2^64. It is linear, so a
//! table may hold a cell in one row or in many. And what was taken of each pool, name by name.

use std::collections::BTreeMap;

use clickhouse::Client;
use tollgate::simulate::{Spec, Tally};

/// What was taken of each pool, in microcredits; pools of which nothing was taken are left out.
pub type Used = BTreeMap<String, i64>;

/// By the generator's own count.
pub fn expected(spec: &Spec, tally: &Tally) -> u64 {
    let mut sum = 0_u64;
    for (name, workspace) in spec.workspaces.iter().zip(&tally.workspaces) {
        for ((user, feature), cell) in &workspace.cells {
            let key = format!("{name}/{}/{}", Spec::user_name(*user), spec.features[*feature].name);
            let micro = 31_u64.wrapping_mul(cell.micro as u64);
            let amount = cell.events.wrapping_add(micro).wrapping_add(131 * cell.denied_events);
            sum = sum.wrapping_add(u64::from(crc32(key.as_bytes())).wrapping_mul(amount));
        }
    }
    sum
}

/// The same of the pools.
pub fn expected_used(spec: &Spec, tally: &Tally) -> Used {
    let named = spec.workspaces.iter().zip(&tally.workspaces);
    named.filter(|(_, w)| w.used_micro != 0).map(|(name, w)| (name.clone(), w.used_micro)).collect()
}

/// By a table: `rows` selects workspace, user, feature, events, micro and denied.
pub async fn of_rows(client: &Client, rows: &str) -> anyhow::Result<u64> {
    let sql = format!(
        "SELECT sum(CRC32(concat(workspace, '/', user, '/', feature))
            * toUInt64(events + 31 * micro + 131 * denied)) FROM ({rows})"
    );
    Ok(client.query(&sql).fetch_one().await?)
}

/// What `rows`, which selects workspace and micro, says of the pools.
pub async fn used_of_rows(client: &Client, rows: &str) -> anyhow::Result<Used> {
    let rows = client.query(rows).fetch_all::<(String, i64)>().await?;
    Ok(rows.into_iter().filter(|(_, micro)| *micro != 0).collect())
}

/// The sum is the one that ClickHouse counts, and one microcredit in the wrong cell changes it.
pub fn prove(spec: &Spec, tally: &Tally) {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let mut wrong = tally.clone();
    let mut cells = wrong.workspaces.iter_mut().flat_map(|workspace| workspace.cells.values_mut());
    let (one, other) = (cells.next().unwrap(), cells.next().unwrap());
    (one.micro, other.micro) = (one.micro - 1, other.micro + 1);
    assert_ne!(expected(spec, &wrong), expected(spec, tally));
}

/// As zlib and ClickHouse count it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}
