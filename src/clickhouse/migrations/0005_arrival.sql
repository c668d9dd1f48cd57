-- When an event arrived: by that a resend with another time is recognised, after a rebuild too.

ALTER TABLE {database}.usage_events_raw{on_cluster}
    ADD COLUMN IF NOT EXISTS arrived_at DateTime64(6, 'UTC') DEFAULT decided_at
    COMMENT 'Kafka''s timestamp of its record';

CREATE OR REPLACE VIEW {database}.usage_events{on_cluster} AS
SELECT
    id, source, time, workspace, user, feature, credits, model, input_tokens, output_tokens, quantity,
    hold, hold_ignored, team, period, day, outcome, reason,
    blocked_level, blocked_limit, blocked_used, blocked_held, blocked_remaining,
    drawn_user, drawn_team, drawn_pool, overage_credits, reversed_at, rate_version, decided_at,
    topic_partition, topic_offset, epoch, sequence, version, arrived_at
FROM {database}.usage_events_raw FINAL;
