-- The record's end, where it is at a version that the client knows; null is any.
DELETE FROM {table}
WHERE tenant = %(tenant)s AND id = %(id)s AND (%(versions)s::integer[] IS NULL OR version = ANY(%(versions)s))
RETURNING {columns}
