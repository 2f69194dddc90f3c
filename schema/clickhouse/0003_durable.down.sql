ALTER TABLE job_times RESET SETTING fsync_after_insert, fsync_part_directory;
ALTER TABLE job_times MODIFY SETTING non_replicated_deduplication_window = 1000;
ALTER TABLE job_events RESET SETTING fsync_after_insert, fsync_part_directory;
ALTER TABLE job_events MODIFY SETTING non_replicated_deduplication_window = 1000;
