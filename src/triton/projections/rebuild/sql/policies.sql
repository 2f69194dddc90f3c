-- The statements that put the live tables' row-level security on those of another schema. Run where no schema is in the
-- search path, so that what policies name is named with its schema.
-- %(live)s, %(schema)s  schemas; %(tables)s  names
WITH live AS (
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(live)s::text AND c.relname = ANY(%(tables)s)
), policies AS (
    SELECT live.relname, p.*,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                         ELSE 'ALL' END AS command,
           (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
            FROM unnest(p.polroles) r) AS roles,
           pg_get_expr(p.polqual, p.polrelid) AS used, pg_get_expr(p.polwithcheck, p.polrelid) AS checked,
           '\m' || %(live)s::text || '\.(' || array_to_string(%(tables)s::text[], '|') || ')\M' AS ours,
           quote_ident(%(schema)s::text) || '.\1' AS theirs
    FROM live JOIN pg_policy p ON p.polrelid = live.oid
), made (step, name, statement) AS (
    SELECT 1, relname || ' ' || polname,
           format('CREATE POLICY %%I ON %%I.%%I AS %%s FOR %%s TO %%s', polname, %(schema)s::text, relname,
                  CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, command, roles)
           || coalesce(' USING (' || regexp_replace(used, ours, theirs, 'g') || ')', '')
           || coalesce(' WITH CHECK (' || regexp_replace(checked, ours, theirs, 'g') || ')', '')
    FROM policies
    UNION ALL
    SELECT 2, relname, format('ALTER TABLE %%I.%%I ENABLE ROW LEVEL SECURITY', %(schema)s::text, relname)
    FROM live WHERE relrowsecurity
    UNION ALL
    SELECT 3, relname, format('ALTER TABLE %%I.%%I FORCE ROW LEVEL SECURITY', %(schema)s::text, relname)
    FROM live WHERE relforcerowsecurity
)
SELECT statement FROM made ORDER BY step, name
