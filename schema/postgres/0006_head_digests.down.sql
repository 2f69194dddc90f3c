ALTER TABLE tree_heads DROP COLUMN digest;
