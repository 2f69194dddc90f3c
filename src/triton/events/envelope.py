"""Owns the envelope of an event: what every entry of the log says besides its data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from triton.events.types import EventData

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: The names of a log entry's fields, in the order the scripts write them. They never change, so Redis
#: stores them once per stream node.
FIELDS: Final = (
    b"type",
    b"job",
    b"version",
    b"attempt",
    b"at",
    b"by",
    b"causation",
    b"correlation",
    b"traceparent",
    b"tenant",
    b"queue",
    b"schema",
    b"data",
)
#: Where each of them is among FIELDS, and so which column of a page has it.
(
    TYPE,
    JOB,
    VERSION,
    ATTEMPT,
    AT,
    BY,
    CAUSATION,
    CORRELATION,
    TRACEPARENT,
    TENANT,
    QUEUE,
    SCHEMA,
    DATA,
) = range(len(FIELDS))


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log, decoded."""

    #: Which of the log's streams holds it, from 0.
    partition: int
    #: Dense within the partition, from 1: the number in the entry's stream id `<position>-0`.
    position: int
    #: `job.` and what happened, in the past tense; other prefixes are administrative.
    type: str
    #: The job's id, which is its Dramatiq message's id; empty for an administrative event.
    job: str
    #: Dense within the job, from 1; 0 for an administrative event.
    version: int
    #: 0 until the job first starts; then the fence of its current or last lease.
    attempt: int
    #: Microseconds since 1970 by the log server's clock.
    at: int
    #: The actor of the event: `worker:ID`, `user:NAME`, `key:ID`, or `system`: Triton itself, or an
    #: application that sent by the broker and named nobody.
    by: str
    #: What caused the job: `job:ID` of the parent, or empty. Of a cancel or requeue over HTTP: `request:ID`.
    causation: str
    #: What the job belongs to; empty means the job itself.
    correlation: str
    #: W3C trace context, or empty.
    traceparent: str
    #: Whose job it is; of an administrative event whom it concerns, or empty for all.
    tenant: str
    #: The queue that the job was submitted to; empty for an administrative event.
    queue: str
    #: The schema version that `data` was written with.
    schema: int
    #: What is special to the type.
    data: EventData


def to_datetime(microseconds: int) -> datetime:
    """The UTC time of an `at`, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(when: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (when - _EPOCH) // timedelta(microseconds=1)
