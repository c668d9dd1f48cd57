-- Whom there is to choose from. A key stands for its workspace whichever version of it is the newest, so nothing is
-- merged: the list costs the reading of two key columns.

CREATE OR REPLACE VIEW {database}.workspaces{on_cluster} AS
SELECT DISTINCT workspace
FROM
(
    SELECT DISTINCT workspace FROM {database}.account_balances_raw
    UNION ALL
    SELECT DISTINCT workspace FROM {database}.usage_rollups_raw
);
