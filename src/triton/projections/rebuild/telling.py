"""Owns what a rebuild says of itself: how it stands, what it would do, how far it is."""

from __future__ import annotations

import msgspec

from triton.projections.rebuild.shadow import State


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one partition of a projection stands; `shadow` is None where there is none."""

    partition: int
    log: int
    live: int
    shadow: int | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A projection and its shadow; `state` is None where there is none."""

    name: str
    state: State | None
    partitions: list[Standing]
    #: Events that the shadow put aside.
    parked: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild would do: events to read, bytes of the live tables, and what stands in the way."""

    name: str
    events: int
    bytes: dict[str, int]
    obstacles: list[str]
    shadow: State | None


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow that was filled: the position of each partition, and how many events it put aside."""

    name: str
    state: State
    positions: dict[int, int]
    parked: int


class Progress(msgspec.Struct, frozen=True):
    """Of all partitions together: events in the shadow, and events there are."""

    done: int
    total: int
    #: What is being done after the rows: indexes.
    completing: bool = False
