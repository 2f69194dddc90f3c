-- The role that a dump grants rights to: roles belong to the server, so no dump of a database has them.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'triton_tenant') THEN
        BEGIN
            CREATE ROLE triton_tenant NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'triton_tenant', 'SET') THEN
        EXECUTE format('GRANT triton_tenant TO %I', current_user);
    END IF;
END $$
