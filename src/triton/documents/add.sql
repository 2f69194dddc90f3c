INSERT INTO documents
    (id, tenant, filename, media_type, sha256, size, archive_key, uploaded_at, uploaded_by)
VALUES
    (%(id)s, %(tenant)s, %(filename)s, %(media_type)s, %(sha256)s, %(size)s, %(archive_key)s,
     %(uploaded_at)s, %(uploaded_by)s)
ON CONFLICT (id) DO NOTHING
