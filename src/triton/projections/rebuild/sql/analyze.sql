-- The statements that let the planner know new tables: the columns that an index has. To sort samples of JSON would
-- take longer than to build the indexes. Of the other columns autovacuum sees to within minutes, for which an ANALYZE
-- of some columns does not count.
-- %(schema)s; %(tables)s  names
SELECT format('ANALYZE %%I.%%I (%%s)', %(schema)s::text, c.relname,
              string_agg(DISTINCT quote_ident(a.attname), ', '))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index x ON x.indrelid = c.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (x.indkey)
WHERE n.nspname = %(schema)s::text AND c.relname = ANY(%(tables)s)
GROUP BY c.relname
ORDER BY c.relname
