-- Uses a refresh token: whoever comes second, in whichever process, finds it used.
UPDATE refresh_tokens SET used_at = clock_timestamp()
 WHERE sha256 = %(sha256)s AND used_at IS NULL
RETURNING session, expires_at <= clock_timestamp() AS expired
