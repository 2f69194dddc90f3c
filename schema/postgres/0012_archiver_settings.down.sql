ALTER TABLE checkpoints DROP COLUMN about;
