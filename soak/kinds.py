"""Owns the words that load, actors and checker share: queues, and the kinds of job with how they may end."""

from __future__ import annotations

from typing import Final

import msgspec

#: The environment variable that says where actors note what ran.
NOTES: Final = "SOAK_NOTES"
#: The queue of most jobs, and the one of those that take their time.
QUEUE: Final = "work"
SLOW: Final = "slow"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    #: How often, compared with the others.
    weight: int
    #: The states in which it may end when nobody cancels it and its workers live.
    ends: tuple[str, ...] = ("completed",)
    #: The `reason` of a failed one.
    reason: str = ""


KINDS: Final = {
    "quick": Kind(weight=40),
    "long": Kind(weight=10),
    "busy": Kind(weight=2),
    "failing": Kind(weight=6, ends=("failed",), reason="error"),
    "flaky": Kind(weight=8),
    "snoozing": Kind(weight=4),
    "delayed": Kind(weight=8),
    "patient": Kind(weight=3),
    "stepping": Kind(weight=5),
    "large": Kind(weight=1),
    "expiring": Kind(weight=4, ends=("completed", "failed"), reason="expired"),
    "called_back": Kind(weight=6),
    "unknown_actor": Kind(weight=1, ends=("failed",), reason="rejected"),
    "http": Kind(weight=8),
    "document": Kind(weight=2),
    # Below: not drawn one by one.
    "bulk": Kind(weight=0),
    "chain": Kind(weight=0),
    "group": Kind(weight=0),
    "outbox": Kind(weight=0),
    "unique_return": Kind(weight=0),
    "unique_reject": Kind(weight=0),
    # Another job of its key may take its place.
    "unique_replace": Kind(weight=0, ends=("completed", "cancelled")),
    "killer": Kind(weight=0),
    "poison": Kind(weight=0, ends=("failed",), reason="died"),
}

#: Actors that write no notes.
SILENT_ACTORS: Final = frozenset(("documents.extract", "nobody"))
