"""Owns loading SQL: each statement is a file in the folder `sql` of the package that runs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources


def statements_of(package: str) -> Callable[[str], bytes]:
    """What answers a package's statement by its name, the text of `sql/<name>.sql`; each is read once.

    A file's head comment says what it does and names its parameters. Bytes, because psycopg takes no text
    that is not a literal.
    """

    @cache
    def sql(name: str) -> bytes:
        return resources.files(package).joinpath(f"sql/{name}.sql").read_bytes()

    return sql
