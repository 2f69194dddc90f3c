-- A new entry of a history, which never changes. The tenant is the one that the transaction is in.
INSERT INTO {table} (tenant, id, {written}, created_at, created_by)
VALUES (%(tenant)s, %(id)s, {values}, %(at)s, %(by)s)
RETURNING {columns}
