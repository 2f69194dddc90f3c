UPDATE api_keys SET revoked_at = clock_timestamp(), revoked_by = %(by)s
 WHERE prefix = %(prefix)s AND revoked_at IS NULL
