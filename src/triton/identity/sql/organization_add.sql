INSERT INTO organizations (id, name, created_by) VALUES (%(id)s, %(name)s, %(by)s)
ON CONFLICT (id) DO NOTHING RETURNING id
