"""Owns the SQL of `triton.backup`: `sql(name)` is the statement in `sql/<name>.sql`."""

from triton.statements import statements_of

sql = statements_of("triton.backup")
