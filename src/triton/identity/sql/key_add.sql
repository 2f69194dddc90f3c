INSERT INTO api_keys (prefix, sha256, name, tenant, role, scopes, owner, created_by, expires_at)
VALUES (%(prefix)s, %(sha256)s, %(name)s, nullif(%(tenant)s, ''), %(role)s, %(scopes)s,
        nullif(%(owner)s, ''), %(by)s, %(expires_at)s)
