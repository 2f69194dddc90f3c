-- What a tenant's documents take.
SELECT coalesce(sum(size), 0)::bigint AS bytes FROM documents WHERE tenant = %(tenant)s
