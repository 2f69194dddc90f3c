"""Owns what must be kept and for how long: which rule an event is under, which hold covers it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

Scope: TypeAlias = Literal["tenant", "queue", "job"]

#: Microseconds of a day.
DAY: Final = 24 * 3600 * 1_000_000


class Hold(msgspec.Struct, frozen=True):
    """A legal hold; times in microseconds since 1970, `lifted_at` 0 for one that holds."""

    hold: str
    scope: Scope
    value: str
    reason: str
    placed_by: str
    placed_at: int
    lifted_by: str = ""
    lifted_at: int = 0
    lifted_why: str = ""


class Retention(msgspec.Struct, frozen=True):
    """For how many days events are kept; an empty name is every one, 0 days are for ever."""

    tenant: str
    queue: str
    days: int
    reason: str = ""
    set_by: str = ""
    set_at: int = 0


def days_of(rules: Collection[Retention], tenant: str, queue: str) -> int:
    """For how many days events of a tenant and queue are kept; 0 is for ever, and so is what nobody said.

    The closest rule holds: of both, of the tenant, of the queue, of all.
    """
    said = {(rule.tenant, rule.queue): rule.days for rule in rules}
    for place in ((tenant, queue), (tenant, ""), ("", queue), ("", "")):
        if place in said:
            return said[place]
    return 0


def held_by(
    holds: Sequence[Hold], tenants: Collection[str], queues: Collection[str], jobs: Collection[str]
) -> Hold | None:
    """The first hold that covers anything of these."""
    covered = {"tenant": tenants, "queue": queues, "job": jobs}
    for hold in holds:
        if not hold.lifted_at and hold.value in covered[hold.scope]:
            return hold
    return None
