-- What a reader of the log says of itself: of the archiver, the settings that decide what leaves Redis.
ALTER TABLE checkpoints ADD COLUMN about jsonb;
COMMENT ON COLUMN checkpoints.about IS 'settings of the archiver that works, or worked last: keep_events, keep_ms, hold_events';
