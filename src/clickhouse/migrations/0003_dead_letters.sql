-- Records that are no events, as they came, for 30 days after they were received.

CREATE TABLE IF NOT EXISTS {database}.dead_letters_raw{on_cluster} (
    topic String,
    partition Int32,
    offset Int64,
    -- Part of the key: a topic that was made anew counts its offsets from 0 again.
    timestamp DateTime64(3, 'UTC') COMMENT 'of the Kafka record',
    reason LowCardinality(String),
    detail String COMMENT 'names the field and the value',
    key Nullable(String) COMMENT 'original bytes; NULL: the record had none',
    payload Nullable(String) COMMENT 'original bytes; NULL: the record had none',
    headers Array(Tuple(String, Nullable(String))) COMMENT 'names and original bytes, in their order',
    received_at DateTime('UTC') DEFAULT now()
)
ENGINE = {replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (topic, partition, offset, timestamp)
TTL received_at + INTERVAL 30 DAY;

CREATE OR REPLACE VIEW {database}.dead_letters{on_cluster} AS
SELECT topic, partition, offset, timestamp, reason, detail, key, payload, headers, received_at
FROM {database}.dead_letters_raw FINAL;
