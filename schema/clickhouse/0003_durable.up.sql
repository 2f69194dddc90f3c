-- What ClickHouse acknowledges is on its disk, because the checkpoint that follows is on PostgreSQL's. And it
-- keeps no log of the inserts that it knows: it writes that log before the rows are in the table.
ALTER TABLE job_events MODIFY SETTING
    non_replicated_deduplication_window = 0, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE job_times MODIFY SETTING
    non_replicated_deduplication_window = 0, fsync_after_insert = 1, fsync_part_directory = 1;
