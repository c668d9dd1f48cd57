-- What the API's lists read: alerts, and a way to an event by its id.

-- Without partitions: few, and read newest first.
CREATE TABLE IF NOT EXISTS {database}.credit_alerts_raw{on_cluster} (
    workspace String,
    epoch UInt64,
    sequence UInt64 COMMENT 'decisions and entries in the epoch when it was raised',
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    scope LowCardinality(String) COMMENT 'pool, team or user',
    id String COMMENT 'the workspace, team or user',
    threshold UInt8 COMMENT 'percent',
    state LowCardinality(String) COMMENT 'crossed, recovered or shortfall',
    at DateTime64(6, 'UTC'),
    used Decimal(18, 6) COMMENT 'used and held; of a shortfall: what was got',
    total Decimal(18, 6) COMMENT 'of how much'
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (workspace, epoch, sequence, period, scope, id, threshold, state);

CREATE OR REPLACE VIEW {database}.credit_alerts{on_cluster} AS
SELECT
    workspace, period, scope, id, threshold, state, epoch, sequence, at, used, total,
    if(total > 0, toFloat64(used) / toFloat64(total), 0) AS ratio
FROM {database}.credit_alerts_raw FINAL;

-- A reversal names an event by source and id; the key would need its time.
ALTER TABLE {database}.usage_events_raw{on_cluster}
    ADD INDEX IF NOT EXISTS id_index id TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE {database}.usage_events_raw{on_cluster} MATERIALIZE INDEX id_index;
