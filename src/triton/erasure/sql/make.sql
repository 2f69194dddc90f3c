INSERT INTO subject_keys (id, blob) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING
