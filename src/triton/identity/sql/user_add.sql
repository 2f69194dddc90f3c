INSERT INTO users (id, login, name, tenant, role, password_hash, created_by)
VALUES (%(id)s, %(login)s, %(name)s, nullif(%(tenant)s, ''), %(role)s, %(hash)s, %(by)s)
