-- When a key was last used, to the minute.
UPDATE api_keys k SET last_used_at = used.at
  FROM unnest(%(prefixes)s::text[], %(times)s::timestamptz[]) AS used (prefix, at)
 WHERE k.prefix = used.prefix AND (k.last_used_at IS NULL OR k.last_used_at < used.at)
