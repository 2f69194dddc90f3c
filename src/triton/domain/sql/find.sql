-- One record.
SELECT {columns} FROM {table} WHERE tenant = %(tenant)s AND id = %(id)s
