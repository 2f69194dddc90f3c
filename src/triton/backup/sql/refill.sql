-- ClickHouse begins empty: its projector begins anew.
WITH batches AS (DELETE FROM insert_intents)
DELETE FROM checkpoints WHERE projector = 'clickhouse'
