-- Accounts: the newest balance of each, the workspace's credits by the minute, and the ledger.

CREATE TABLE IF NOT EXISTS {database}.account_balances_raw{on_cluster} (
    workspace String,
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    account String COMMENT 'pool, team:<id> or user:<id>',
    credited Decimal(18, 6) COMMENT 'everything that ever came in, gross',
    transferred_out Decimal(18, 6) COMMENT 'everything that was moved away, gross',
    used Decimal(18, 6) COMMENT 'drawn by usage',
    held Decimal(18, 6) COMMENT 'set aside by holds',
    spent Decimal(18, 6) COMMENT 'what the user spent from whichever account; 0 for pool and teams',
    `limit` Nullable(Decimal(18, 6)) COMMENT 'the user''s effective limit; NULL: none',
    version UInt64
)
ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(period)
ORDER BY (workspace, period, account);

-- A row for the pool, for every account that was ever credited, and for every user with a limit. The table holds
-- every user that was touched, so that a limit that was lifted ends here too.
CREATE OR REPLACE VIEW {database}.account_balances{on_cluster} AS
SELECT
    workspace, period, account, credited, transferred_out, used, held,
    credited - transferred_out - used - held AS remaining,
    spent, `limit`, version
FROM {database}.account_balances_raw FINAL
WHERE account = 'pool' OR credited > 0 OR `limit` IS NOT NULL;

CREATE TABLE IF NOT EXISTS {database}.pool_history_raw{on_cluster} (
    workspace String,
    minute DateTime('UTC'),
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    total Decimal(18, 6) COMMENT 'everything that entered the workspace',
    used Decimal(18, 6) COMMENT 'drawn by usage, from whichever account',
    held Decimal(18, 6) COMMENT 'set aside by holds',
    unallocated Decimal(18, 6) COMMENT 'what the pool account itself has left',
    version UInt64
)
ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (workspace, minute, period);

-- One row a minute: a late event moves the credits of a period that is over, and must not show up as
-- a jump in the history of the one that is running.
CREATE OR REPLACE VIEW {database}.pool_history{on_cluster} AS
SELECT
    workspace, minute, period, total, used, held,
    total - used - held AS remaining,
    unallocated, version
FROM (
    SELECT *, max(period) OVER (PARTITION BY workspace ORDER BY minute) AS running
    FROM {database}.pool_history_raw FINAL
)
WHERE period = running;

-- Without partitions: small, and an entry's key says nothing about its time.
CREATE TABLE IF NOT EXISTS {database}.credit_ledger_raw{on_cluster} (
    workspace String,
    epoch UInt64,
    sequence UInt64 COMMENT 'gapless in workspace and epoch, from 1',
    kind LowCardinality(String),
    actor String,
    reason String COMMENT 'in the actor''s words; empty: none given',
    idempotency_key String COMMENT 'empty: none given',
    period Date COMMENT 'start date of the period, in the workspace''s zone',
    at DateTime64(6, 'UTC'),
    postings String COMMENT 'JSON: an array of account, period and signed credits',
    change String COMMENT 'JSON: the change itself'
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (workspace, epoch, sequence);

CREATE OR REPLACE VIEW {database}.credit_ledger{on_cluster} AS
SELECT
    workspace, epoch, sequence, kind, actor, reason, idempotency_key, period, at, postings, change
FROM {database}.credit_ledger_raw FINAL;
