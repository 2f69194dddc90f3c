DROP TABLE expiries;
ALTER TABLE segments DROP COLUMN expired_at;
