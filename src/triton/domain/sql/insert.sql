-- A new record at version 1. The tenant is the one that the transaction is in.
INSERT INTO {table} (tenant, id, {written}, created_at, created_by, updated_at, updated_by)
VALUES (%(tenant)s, %(id)s, {values}, %(at)s, %(by)s, %(at)s, %(by)s)
RETURNING {columns}
