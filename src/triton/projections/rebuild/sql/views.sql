-- The views that read the live tables, with what makes each again over the tables of these names.
-- %(live)s  schema; %(tables)s  names
SELECT DISTINCT v.oid::regclass::text, quote_ident(vn.nspname) || '.' || quote_ident(v.relname),
       format('CREATE OR REPLACE VIEW %%I.%%I%%s AS %%s', vn.nspname, v.relname,
              coalesce(' WITH (' || array_to_string(v.reloptions, ', ') || ')', ''), pg_get_viewdef(v.oid))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite r ON r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
JOIN pg_namespace vn ON vn.oid = v.relnamespace
WHERE n.nspname = %(live)s::text AND c.relname = ANY(%(tables)s)
ORDER BY 2
