-- The statements that make tables like the live ones in another schema: names of indexes and constraints, storage
-- options, triggers, owner and grants are the same. Phase `make` is before the rows, phase `index` after.
-- %(live)s, %(schema)s  schemas; %(tables)s  names
WITH live AS (
    SELECT c.oid, c.relname, c.reloptions, c.relacl, c.relowner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(live)s::text AND c.relname = ANY(%(tables)s)
), made (phase, step, name, statement) AS (
    SELECT 'make', 1, relname::text,
           format('CREATE TABLE %%I.%%I (LIKE %%I.%%I INCLUDING ALL EXCLUDING INDEXES)', %(schema)s::text, relname,
                  %(live)s::text, relname)
           || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')
    FROM live
    UNION ALL
    SELECT 'make', 2, c.conname,
           format('ALTER TABLE %%I.%%I ADD CONSTRAINT %%I %%s', %(schema)s::text, relname, c.conname,
                  pg_get_constraintdef(c.oid))
    FROM live JOIN pg_constraint c ON c.conrelid = live.oid
    WHERE c.contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT 'make', 3, t.tgname,
           replace(pg_get_triggerdef(t.oid), format(' ON %%I.%%I ', %(live)s::text, relname),
                   format(' ON %%I.%%I ', %(schema)s::text, relname))
    FROM live JOIN pg_trigger t ON t.tgrelid = live.oid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'make', 4, a.privilege_type || a.grantee,
           format('GRANT %%s ON %%I.%%I TO %%s%%s', a.privilege_type, %(schema)s::text, relname,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM live CROSS JOIN aclexplode(relacl) a
    WHERE a.grantee <> relowner
    UNION ALL
    SELECT 'make', 5, relname,
           format('ALTER TABLE %%I.%%I OWNER TO %%I', %(schema)s::text, relname, pg_get_userbyid(relowner))
    FROM live WHERE pg_get_userbyid(relowner) <> current_user
    UNION ALL
    SELECT 'index', 6, i.relname,
           regexp_replace(
               replace(pg_get_indexdef(i.oid), format(' ON %%I.%%I ', %(live)s::text, live.relname),
                       format(' ON %%I.%%I ', %(schema)s::text, live.relname)),
               '^CREATE (UNIQUE )?INDEX', 'CREATE \1INDEX IF NOT EXISTS')
    FROM live
    JOIN pg_index x ON x.indrelid = live.oid
    JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid)
)
SELECT statement FROM made WHERE phase = %(phase)s::text ORDER BY step, name
