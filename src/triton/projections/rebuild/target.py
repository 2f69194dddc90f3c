"""Owns what a rebuild asks of a store: its shadow tables made, completed, compared, switched and dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from triton.postgres import Connection
from triton.projections.projector import Projection
from triton.projections.rebuild.shadow import Shadow

#: Differences that a comparison lists; the rest is only counted.
LISTED: Final = 100


#: A range -> how many rows it has, and a hash of them.
Hashes: TypeAlias = Mapping[int, Sequence[Any]]
Row: TypeAlias = Mapping[str, Any]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that differs: `live` and `shadow` hold the columns that do; None for a row that is not
    there."""

    table: str
    key: str
    live: Mapping[str, Any] | None
    shadow: Mapping[str, Any] | None


class Comparison(msgspec.Struct, kw_only=True):
    """What was compared: rows of each table in the live one and in the shadow, and what differs."""

    rows: dict[str, tuple[int, int]] = {}
    differences: list[Difference] = []
    #: Rows that differ, listed or not.
    total: int = 0
    #: Jobs left out, because only one of the two has seen their last events.
    moving: int = 0

    @property
    def ok(self) -> bool:
        return self.total == 0

    def ranges(self, table: str, live: Hashes, shadow: Hashes) -> list[int]:
        """Count the rows of a table's ranges. Answers the ranges that differ."""
        before = self.rows.get(table, (0, 0))
        counts = [sum(count for count, _ in found.values()) for found in (live, shadow)]
        self.rows[table] = (before[0] + counts[0], before[1] + counts[1])
        both = live.keys() | shadow.keys()
        return sorted(number for number in both if live.get(number) != shadow.get(number))

    def differ(self, table: str, key: str, live: Row | None, shadow: Row | None) -> None:
        """A row differs."""
        self.total += 1
        if len(self.differences) < LISTED:
            own, other = _only(live, shadow), _only(shadow, live)
            self.differences.append(Difference(table=table, key=key, live=own, shadow=other))


def _only(row: Row | None, other: Row | None) -> Row | None:
    """The columns that are not the other's; all where there is no other."""
    if row is None or other is None:
        return row
    return {name: value for name, value in row.items() if value != other.get(name)}


class Target(Protocol):
    """The tables of one projection, live and shadow. `connection` is to PostgreSQL and in autocommit mode."""

    #: The projection's name, as in `checkpoints`.
    name: str
    #: Whether `switch` is taken back with PostgreSQL's transaction.
    transactional: bool

    def projection(self) -> Projection:
        """What fills the shadow."""

    async def obstacles(self, connection: Connection) -> list[str]:
        """What stands in the way of a switch, as sentences without their full stop."""

    async def make(self, connection: Connection, shadow: Shadow) -> None:
        """Make the shadow's tables, empty; in the transaction that makes its schema, and again after a
        crash."""

    async def complete(self, connection: Connection, shadow: Shadow) -> None:
        """What is cheaper after the rows than before them. May be repeated."""

    async def fits(self, connection: Connection, shadow: Shadow) -> bool:
        """Whether both have the same shape, so that a switch changes rows only."""

    async def compare(self, connection: Connection, shadow: Shadow) -> Comparison:
        """Compare what both have seen, in one snapshot."""

    async def switch(self, connection: Connection, shadow: Shadow, *, forth: bool) -> None:
        """Put what was rebuilt in the live one's place, or back, in the transaction that moves the
        checkpoints. One that is not transactional may have done so before, and then does nothing."""

    async def drop(self, connection: Connection, shadow: Shadow) -> None:
        """Drop the shadow's tables. May be repeated. Raises ConflictError where something depends on them."""

    async def sizes(self, connection: Connection) -> dict[str, int]:
        """Bytes of each live table."""

    def close(self) -> None:
        """Give back what was opened."""
