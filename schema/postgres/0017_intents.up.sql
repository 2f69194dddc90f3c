-- An insert into ClickHouse has no token any more: ClickHouse notes a token before the rows are in the table, so
-- that after a kill between the two it would drop the repetition of a batch that it does not have.
ALTER TABLE insert_intents DROP COLUMN token;
