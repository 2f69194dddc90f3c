-- The newest records after those of the page before. The tenant is named for the index's sake; row-level
-- security says the same.
SELECT {columns}
FROM {table}
WHERE tenant = %(tenant)s{filters}
  AND (%(last_at)s::timestamptz IS NULL OR (created_at, id) < (%(last_at)s, %(last_id)s::uuid))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
