-- What stands in the way of switching tables: it would stay with the old ones.
-- %(live)s  schema; %(tables)s  names
WITH live AS (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(live)s::text AND c.relname = ANY(%(tables)s)
)
SELECT format('the foreign key %%s of %%s refers to %%s', f.conname, f.conrelid::regclass, live.relname)
FROM live JOIN pg_constraint f ON f.confrelid = live.oid AND f.contype = 'f'
UNION ALL
SELECT format('%%s has the foreign key %%s', live.relname, f.conname)
FROM live JOIN pg_constraint f ON f.conrelid = live.oid AND f.contype = 'f'
UNION ALL
SELECT DISTINCT format('the materialized view %%s reads %%s', v.oid::regclass, live.relname)
FROM live
JOIN pg_depend d ON d.refobjid = live.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite r ON r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
UNION ALL
SELECT format('the publication %%s names %%s', p.pubname, live.relname)
FROM live JOIN pg_publication_rel pr ON pr.prrelid = live.oid JOIN pg_publication p ON p.oid = pr.prpubid
UNION ALL
SELECT format('%%s is partitioned', relname) FROM live WHERE relkind = 'p'
ORDER BY 1
