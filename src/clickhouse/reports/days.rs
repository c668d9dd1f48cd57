//! Use by the day, for forecasts, and what users did last and most.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::{Filter, read_as, stored_day};
use crate::clickhouse::reads::{day, micro};
use crate::clickhouse::{Store, WarehouseError};
use crate::domain::credits::Credits;
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::period::{Day, Instant, Period};
use crate::domain::reports::{Activity, DayTotal, UserDay};

/// A denial's credits have no largest sum; what passes the largest total shows as that.
const DAYS: &str = "SELECT day, {user} AS user,
    toDecimal64(sum(u.credits + u.overage_credits), 6) AS spent,
    toDecimal64(least(sum(u.denied_credits), toDecimal128(8000000000, 6)), 6) AS denied
FROM usage_rollups AS u
WHERE {filter}
GROUP BY day, user ORDER BY day, user";

/// Without merging: a row's versions share its user and time.
const LAST: &str = "SELECT user, max(u.time) AS last_active
FROM usage_events_raw AS u WHERE {filter}
GROUP BY user ORDER BY user";

const TOP: &str = "SELECT user, feature FROM usage_monthly AS m WHERE {filter}
ORDER BY user, m.credits + m.overage_credits DESC, feature LIMIT 1 BY user";

/// A period is stretched to two months at most; see `usage`.
const PERIOD_DAYS_MAX: i32 = 95;
/// A settle's time may lie past its period, a day at most.
const SETTLE_SLACK_MICROS: i64 = 3 * 86_400_000_000;

#[derive(Row, Deserialize)]
struct DayRecord {
    #[serde(deserialize_with = "day")]
    day: Day,
    user: String,
    #[serde(deserialize_with = "micro")]
    spent: Credits,
    #[serde(deserialize_with = "micro")]
    denied: Credits,
}

#[derive(Row, Deserialize)]
struct LastRecord {
    user: String,
    last_active: i64,
}

#[derive(Row, Deserialize)]
struct TopRecord {
    user: String,
    feature: String,
}

impl Store {
    pub(super) async fn days_by_user(
        &self,
        workspace: &WorkspaceId,
        from: Day,
        to: Day,
    ) -> Result<Vec<UserDay>, WarehouseError> {
        let rows = self.day_records("u.user", workspace, from, to).await?.into_iter();
        let user_day = |row: DayRecord| {
            let user = read_as(&row.user)?;
            Ok(UserDay { day: row.day, user, spent: row.spent, denied: row.denied })
        };
        rows.map(user_day).collect()
    }

    pub(super) async fn days(
        &self,
        workspace: &WorkspaceId,
        from: Day,
        to: Day,
    ) -> Result<Vec<DayTotal>, WarehouseError> {
        let rows = self.day_records("''", workspace, from, to).await?.into_iter();
        Ok(rows.map(|row| DayTotal { day: row.day, spent: row.spent, denied: row.denied }).collect())
    }

    async fn day_records(
        &self,
        user: &str,
        workspace: &WorkspaceId,
        from: Day,
        to: Day,
    ) -> Result<Vec<DayRecord>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add("u.day >= {from:Date}", "from", stored_day(from.number()));
        filter.add("u.day < {to:Date}", "to", stored_day(to.number()));
        let first = stored_day(from.number() - PERIOD_DAYS_MAX);
        filter.add("u.period >= {first:Date}", "first", first);
        self.fetch("use by the day", filter.query(self, &DAYS.replace("{user}", user))).await
    }

    pub(super) async fn activity_of(
        &self,
        workspace: &WorkspaceId,
        period: &Period,
        user: Option<&UserId>,
    ) -> Result<Vec<Activity>, WarehouseError> {
        let mut filter = Filter::of(workspace);
        filter.add("period = {period:Date}", "period", period.name);
        filter.add_some("user = {user:String}", "user", user);
        let top = filter.query(self, TOP);
        let slack = |micros: i64, slack: i64| Some(Instant::from_micros(micros.saturating_add(slack)));
        filter.add_instant("u.time >=", "first", slack(period.start.micros(), -SETTLE_SLACK_MICROS));
        filter.add_instant("u.time <", "last", slack(period.end.micros(), SETTLE_SLACK_MICROS));
        let last = filter.query(self, LAST);
        let (last, top) = tokio::try_join!(
            self.fetch::<LastRecord>("last use", last),
            self.fetch::<TopRecord>("top features", top),
        )?;
        let top: HashMap<String, String> = top.into_iter().map(|row| (row.user, row.feature)).collect();
        last.into_iter().map(|row| row.activity(&top)).collect()
    }
}

impl LastRecord {
    fn activity(self, top: &HashMap<String, String>) -> Result<Activity, WarehouseError> {
        let top_feature = top.get(&self.user).map(|feature| read_as(feature)).transpose()?;
        let last_active = Instant::from_micros(self.last_active);
        Ok(Activity { user: read_as(&self.user)?, last_active, top_feature })
    }
}
