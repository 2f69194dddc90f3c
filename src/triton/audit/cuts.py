"""Owns finding an instant in every partition of the log."""

from __future__ import annotations

from triton import keys
from triton.audit.instants import Cut, Instant
from triton.errors import ExpiredError, NotFoundError, ValidationError
from triton.events.envelope import AT
from triton.history import History


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
        gone = await _gone(history)
        return Cut(text=instant.text, at=instant.at, positions=tuple(positions), expired=gone)
    position = instant.position or 0
    named = _partition(history, instant, job)
    at = 0
    if position:
        if position <= (gone_to := await history.expired(named)):
            raise ExpiredError(
                f"position {position} of partition {named} has expired: the log begins there at "
                f"{gone_to + 1}",
                partition=named,
                position=position,
                until=gone_to,
            )
        entry = await history.entry(named, position)
        if entry is None:
            end = await history.position(named)
            raise NotFoundError(
                f"partition {named} has no position {position}: it ends at {end}",
                partition=named,
                position=position,
            )
        at = int(entry.value(AT))
    positions = [
        position if partition == named else await history.position_at(partition, at)
        for partition in range(history.partitions)
    ]
    gone = await _gone(history)
    return Cut(text=instant.text, at=at, positions=tuple(positions), expired=gone)


def check_kept(cut: Cut) -> None:
    """Raises ExpiredError where all that was up to an instant has expired: what was then cannot be told."""
    begun = [(last, gone) for last, gone in zip(cut.positions, cut.expired, strict=True) if last]
    if begun and all(last <= gone for last, gone in begun):
        raise ExpiredError(
            f"all that the log held as of {cut.text} has expired: what was then cannot be told any more. The "
            f"log begins at {', '.join(f'{p}:{gone + 1}' for p, gone in enumerate(cut.expired))}",
            until=max(gone for _, gone in begun),
        )


async def _gone(history: History) -> tuple[int, ...]:
    """The last position that expired of each partition."""
    return tuple([await history.expired(partition) for partition in range(history.partitions)])


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
