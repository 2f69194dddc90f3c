-- A tenant's documents, the newest first, after the last of the page before. A filter that is null does not filter.
SELECT id, tenant, filename, media_type, sha256, size, archive_key, uploaded_at, uploaded_by
FROM documents
WHERE tenant = %(tenant)s
  AND (%(filename)s::text IS NULL OR filename = %(filename)s)
  AND (%(sha256)s::text IS NULL OR sha256 = %(sha256)s)
  AND (%(last_at)s::timestamptz IS NULL OR (uploaded_at, id) < (%(last_at)s, %(last_id)s))
ORDER BY uploaded_at DESC, id DESC
LIMIT %(limit)s
