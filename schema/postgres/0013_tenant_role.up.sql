-- Whoever made the role triton_tenant by CREATEROLE alone may hand it out, but from PostgreSQL 16 on not step
-- down to it: that is granted here.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'triton_tenant', 'SET') THEN
        EXECUTE format('GRANT triton_tenant TO %I WITH SET TRUE', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION '% may not work as triton_tenant: let an administrator run GRANT triton_tenant TO %', current_user, current_user;
END $$;
