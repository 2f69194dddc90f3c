INSERT INTO subject_keys AS k (id, blob, erased_at) VALUES (%s, NULL, %s)
ON CONFLICT (id) DO UPDATE SET blob = NULL, erased_at = excluded.erased_at WHERE k.erased_at IS NULL
RETURNING id
