SELECT id, tenant, filename, media_type, sha256, size, archive_key, uploaded_at, uploaded_by
FROM documents
WHERE id = %(id)s AND tenant = %(tenant)s
