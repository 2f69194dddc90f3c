-- The next version of a record, where it is at a version that the client knows; null is any.
UPDATE {table}
SET ({written}) = ROW({values}), version = version + 1, updated_at = %(at)s, updated_by = %(by)s
WHERE tenant = %(tenant)s AND id = %(id)s AND (%(versions)s::integer[] IS NULL OR version = ANY(%(versions)s))
RETURNING {columns}
