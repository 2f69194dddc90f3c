"""Owns finding an instant in every partition of the log."""

from __future__ import annotations

from triton import keys
from triton.audit.instants import Cut, Instant
from triton.errors import NotFoundError, ValidationError
from triton.history import History

#: Of an entry's fields.
_AT = 9


async def cut_of(history: History, instant: Instant, job: str | None = None) -> Cut:
    """Where an instant is. A position is of the partition that it names, else of the job's; in the others
    it is the instant at which the event there was written.

    Raises ValidationError, NotFoundError where the log has no such position, HoleError, UnavailableError.
    """
    if instant.at is not None:
        positions = [
            await history.position_at(partition, instant.at)
            for partition in range(history.partitions)
        ]
        return Cut(text=instant.text, at=instant.at, positions=tuple(positions))
    position = instant.position or 0
    named = _partition(history, instant, job)
    at = 0
    if position:
        entry = await history.entry(named, position)
        if entry is None:
            end = await history.position(named)
            raise NotFoundError(
                f"partition {named} has no position {position}: it has 1 to {end}, and what expired of "
                "these is gone",
                partition=named,
                position=position,
            )
        at = int(entry.fields[_AT])
    positions = [
        position if partition == named else await history.position_at(partition, at)
        for partition in range(history.partitions)
    ]
    return Cut(text=instant.text, at=at, positions=tuple(positions))


def _partition(history: History, instant: Instant, job: str | None) -> int:
    if instant.partition is not None:
        if instant.partition >= history.partitions:
            raise ValidationError(
                f"{instant.text!r} names partition {instant.partition}, expected 0 to "
                f"{history.partitions - 1}: the log has no other"
            )
        return instant.partition
    if job is not None:
        return keys.partition_of(job, history.partitions)
    if history.partitions > 1:
        raise ValidationError(
            f"{instant.text!r} is a position, and this log has {history.partitions} partitions: say which "
            f"one, like 0:{instant.position}"
        )
    return 0
