"""Owns how many streams one address, one user and one tenant may have open in this process. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["address", "user", "tenant"]
#: The kinds, from the one that is told first where several are full.
_KINDS: Final[tuple[Kind, ...]] = ("user", "address", "tenant")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Open streams at most, of each."""

    address: int
    user: int
    tenant: int


class Full(msgspec.Struct, frozen=True):
    """No stream now: who has too many, and how many are allowed."""

    kind: Kind
    limit: int


class Place:
    """What an open stream holds; `leave` in the end."""

    __slots__ = ("_admission", "_held")

    def __init__(self, admission: Admission, held: tuple[tuple[Kind, str], ...]) -> None:
        self._admission = admission
        self._held = held

    def leave(self) -> None:
        """Safe to call again."""
        held, self._held = self._held, ()
        self._admission.give_back(held)


class Admission:
    """The counts. Not for several threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: Counter[tuple[Kind, str]] = Counter()

    def enter(
        self, *, address: str = "", user: str = "", tenant: str = "", quota: int | None = None
    ) -> Place | Full:
        """A place for one stream more. What is empty is not counted; `quota` is the tenant's own limit."""
        names: dict[Kind, str] = {"address": address, "user": user, "tenant": tenant}
        held = tuple((kind, names[kind]) for kind in _KINDS if names[kind])
        for kind, name in held:
            limit: int = getattr(self.limits, kind)
            if kind == "tenant" and quota is not None:
                limit = min(limit, quota)
            if self._open[kind, name] >= limit:
                return Full(kind, limit)
        self._open.update(held)
        return Place(self, held)

    def give_back(self, held: tuple[tuple[Kind, str], ...]) -> None:
        for each in held:
            self._open[each] -= 1
            if not self._open[each]:
                del self._open[each]

    def count(self, kind: Kind, name: str) -> int:
        """How many it has open."""
        return self._open.get((kind, name), 0)
