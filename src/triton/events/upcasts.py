"""Owns the way from old schema versions to today's: pure steps, one version each, chained.

A step takes and returns the data as a plain mapping, before it becomes a Struct. Stored bytes are never
rewritten; hashes are over stored bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from triton.errors import DecodeError
from triton.events.types import SCHEMA

Step: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

#: (event type, schema version it reads) -> the step to the next version. A type without a step for a
#: version did not change in it. No schema but the first exists yet.
STEPS: Final[Mapping[tuple[str, int], Step]] = {}


def upcast(
    event_type: str,
    schema: int,
    data: dict[str, Any],
    *,
    steps: Mapping[tuple[str, int], Step] = STEPS,
    target: int = SCHEMA,
) -> dict[str, Any]:
    """Bring data of an old schema to `target`, one version at a time.

    Raises DecodeError for a schema that is newer than this program, or that never was.
    """
    if schema < 1:
        raise DecodeError(
            f"{event_type} has schema {schema}, expected 1 to {target}", schema=schema
        )
    if schema > target:
        raise DecodeError(
            f"{event_type} has schema {schema}, this program knows up to {target}: upgrade Triton",
            schema=schema,
        )
    for version in range(schema, target):
        step = steps.get((event_type, version))
        if step is not None:
            data = step(data)
    return data
