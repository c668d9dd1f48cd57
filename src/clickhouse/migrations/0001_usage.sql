-- Usage: the record of every decided event, and the totals that follow from it.
--
-- Two rules hold in every migration:
--   * Rows are only ever added. A row written again, or an older state written late, loses to the
--     highest version of its key, so every insert may be repeated without thought.
--   * Readers use the views without `_raw`. A view merges by itself (FINAL), so no query needs to.
-- The partition is always a function of the key; otherwise two versions of one key could lie in two
-- partitions and would never meet.
--
-- Absent texts are '' (present but empty says no more). Absent numbers and times are NULL,
-- because 0 tokens, a limit of 0 or the first second of 1970 would be values.

CREATE TABLE IF NOT EXISTS {database}.usage_events_raw{on_cluster} (
    -- The same event is the same workspace, time, source and id. The period is not part of that: it
    -- follows from the time, and a calendar that changed between two deliveries must not make two
    -- rows of one event.
    workspace String,
    time DateTime64(6, 'UTC'),
    source String,
    id String,
    user String,
    feature LowCardinality(String),
    credits Decimal(18, 6) COMMENT 'what the event asked for',
    model LowCardinality(String) COMMENT 'empty: not named',
    input_tokens Nullable(UInt64),
    output_tokens Nullable(UInt64),
    quantity Nullable(UInt64),
    hold String COMMENT 'the hold that it named; empty: none',
    hold_ignored Bool COMMENT 'the hold was unknown, ended or another user''s',
    team LowCardinality(String) COMMENT 'the user''s team when it was decided; empty: none',
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    day Date COMMENT 'in the workspace''s zone',
    outcome LowCardinality(String) COMMENT 'allowed, overage or denied',
    reason LowCardinality(String) COMMENT 'the first rule that failed; empty: none',
    blocked_level LowCardinality(String) COMMENT 'where that rule stands; empty: none. The numbers beside it are 0 then',
    blocked_limit Nullable(Decimal(18, 6)),
    blocked_used Decimal(18, 6),
    blocked_held Decimal(18, 6),
    blocked_remaining Decimal(18, 6),
    drawn_user Decimal(18, 6),
    drawn_team Decimal(18, 6),
    drawn_pool Decimal(18, 6),
    overage_credits Decimal(18, 6),
    reversed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'its credits went back; what was drawn stays as it was',
    rate_version LowCardinality(String) COMMENT 'of the rate card that priced it; empty: the producer named the credits',
    decided_at DateTime64(6, 'UTC'),
    topic_partition Int32,
    topic_offset Int64,
    epoch UInt64,
    sequence UInt64,
    version UInt64 COMMENT 'epoch and sequence of the decision, or of the reversal',
    INDEX period_index period TYPE minmax GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(time)
ORDER BY (workspace, time, source, id);

CREATE OR REPLACE VIEW {database}.usage_events{on_cluster} AS
SELECT
    id, source, time, workspace, user, feature, credits, model, input_tokens, output_tokens, quantity,
    hold, hold_ignored, team, period, day, outcome, reason,
    blocked_level, blocked_limit, blocked_used, blocked_held, blocked_remaining,
    drawn_user, drawn_team, drawn_pool, overage_credits, reversed_at, rate_version, decided_at,
    topic_partition, topic_offset, epoch, sequence, version
FROM {database}.usage_events_raw FINAL;

CREATE TABLE IF NOT EXISTS {database}.usage_rollups_raw{on_cluster} (
    workspace String,
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    user String,
    feature LowCardinality(String),
    day Date COMMENT 'in the workspace''s zone',
    credits Decimal(18, 6) COMMENT 'debited from accounts',
    overage_credits Decimal(18, 6) COMMENT 'spent beyond them',
    events UInt64 COMMENT 'allowed and overage',
    overage_events UInt64,
    denied_events UInt64,
    denied_credits Decimal(38, 6) COMMENT 'what the denied asked for',
    version UInt64
)
ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(period)
ORDER BY (workspace, period, user, feature, day);

CREATE OR REPLACE VIEW {database}.usage_rollups{on_cluster} AS
SELECT
    workspace, period, user, feature, day,
    credits, overage_credits, events, overage_events, denied_events, denied_credits, version
FROM {database}.usage_rollups_raw FINAL;

-- A sum of Decimal(18, 6) is a Decimal(38, 6); a user's total of a period fits the former again.
CREATE OR REPLACE VIEW {database}.usage_monthly{on_cluster} AS
SELECT
    workspace, period, user, feature,
    toDecimal64(sum(r.credits), 6) AS credits,
    toDecimal64(sum(r.overage_credits), 6) AS overage_credits,
    sum(r.events) AS events,
    sum(r.overage_events) AS overage_events,
    sum(r.denied_events) AS denied_events,
    sum(r.denied_credits) AS denied_credits
FROM {database}.usage_rollups_raw AS r FINAL
GROUP BY workspace, period, user, feature;
