"""Owns the SQL of the domain: one statement per file in `sql`, filled in for a kind of record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, LiteralString, cast

from psycopg import sql as text

from triton.domain.kinds import Kind

#: Amounts leave as texts, with all their digits.
_EXACT: Final = frozenset(
    {"investment", "annual_benefit", "roi_percent", "input_price", "output_price", "cost"}
)


@cache
def sql(name: str) -> LiteralString:
    """The statement in `sql/<name>.sql`."""
    found: Any = resources.files("triton.domain").joinpath(f"sql/{name}.sql").read_text()
    return cast("LiteralString", found)


@cache
def statement(name: str, kind: Kind, filters: tuple[str, ...] = ()) -> text.Composed:
    """The statement of that name for one kind; of a page, with these fields to filter by."""
    return text.SQL(sql(name)).format(
        table=text.Identifier(kind.table),
        columns=_listed(kind.columns),
        written=text.SQL(", ").join(map(text.Identifier, kind.written)),
        values=text.SQL(", ").join(map(text.Placeholder, kind.written)),
        filters=text.SQL("").join(
            text.SQL(" AND {} = {}").format(text.Identifier(one), text.Placeholder(one))
            for one in filters
        ),
    )


def _listed(columns: Sequence[str]) -> text.Composed:
    return text.SQL(", ").join(
        text.SQL("{0}::text AS {0}").format(text.Identifier(one))
        if one in _EXACT
        else text.Identifier(one)
        for one in columns
    )
