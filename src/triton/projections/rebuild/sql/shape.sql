-- A schema's tables as what must be equal before two of them are switched: columns, constraints, triggers, policies.
-- %(schema)s, %(tables)s
SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %(schema)s::text AND c.relname = ANY(%(tables)s)
UNION ALL
SELECT c.relname || ' ' || i.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index x ON x.indrelid = c.oid
JOIN pg_class i ON i.oid = x.indexrelid
WHERE n.nspname = %(schema)s::text AND c.relname = ANY(%(tables)s)
UNION ALL
SELECT c.relname || ' ' || t.tgname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
WHERE n.nspname = %(schema)s::text AND c.relname = ANY(%(tables)s)
UNION ALL
SELECT c.relname || coalesce(' policy ' || p.polname, '') || CASE WHEN c.relforcerowsecurity THEN ' forced' ELSE '' END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_policy p ON p.polrelid = c.oid
WHERE n.nspname = %(schema)s::text AND c.relname = ANY(%(tables)s) AND c.relkind = 'r' AND c.relrowsecurity
ORDER BY 1
