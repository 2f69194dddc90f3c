-- Revokes the living keys that the embedded stack made before under the same name; answers which.
UPDATE api_keys SET revoked_at = clock_timestamp(), revoked_by = %(by)s
 WHERE name = %(name)s AND created_by = %(by)s AND revoked_at IS NULL
RETURNING prefix
