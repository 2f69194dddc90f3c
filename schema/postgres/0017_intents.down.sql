-- Intents that stand open have no token that an older version could know.
ALTER TABLE insert_intents ADD COLUMN token text NOT NULL DEFAULT '';
ALTER TABLE insert_intents ALTER COLUMN token DROP DEFAULT;
