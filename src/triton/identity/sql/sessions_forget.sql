-- Sessions that nobody can refresh any more; a copy of one of their tokens is unknown from then on.
DELETE FROM sessions s
 WHERE s.created_at < clock_timestamp() - %(session_ms)s * interval '1 millisecond' - interval '7 days'
   AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.session = s.id AND r.expires_at > clock_timestamp())
