"""Owns the way from a head's Redis hash to a `Head` and to the job's message. Pure, besides what reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import redis.asyncio

from triton import keys
from triton.events.codec import decode_data, decode_entry
from triton.events.types import SCHEMA, Completed, Failed, RetryScheduled, Submitted
from triton.job import Head, State


class Born(msgspec.Struct, frozen=True, array_like=True):
    """What a submission fixes, in the order in which lua/prelude.lua writes it."""

    position: int
    #: 1 where the message is in `body:ID`, and not in the event at that position any more.
    own_body: int
    at: int
    queue: str
    tenant: str
    actor: str
    by: str
    causation: str
    correlation: str
    traceparent: str
    priority: int
    #: 1 where the head has `terms`.
    terms: int


_TEXTS: Final = (
    *(b"queue", b"tenant", b"actor", b"by"),
    *(b"causation", b"correlation", b"traceparent"),
)
_ARRAY: Final = bytes((0x90 + len(Born.__struct_fields__),))
_decode_born: Final = msgspec.msgpack.Decoder(Born).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def pack_born(born: Born) -> bytes:
    """What a head's `born` holds: one value after the other."""
    return _encode(born)[len(_ARRAY) :]


def born_of(fields: Mapping[bytes, bytes]) -> Born:
    """What the submission of a head's job fixed."""
    if (packed := fields.get(b"born")) is not None:
        # One value after the other, which is cheapest for the scripts: an array without its header.
        return _decode_born(_ARRAY + packed)
    # Layout 1 has a field for each.
    queue, tenant, actor, by, causation, correlation, traceparent = (
        fields.get(name, b"").decode() for name in _TEXTS
    )
    return Born(
        *(0, 1, int(fields.get(b"submitted", 0))),
        *(queue, tenant, actor, by, causation, correlation, traceparent),
        *(int(fields.get(b"priority", 0)), int(b"terms" in fields)),
    )


def head_of(job: str, partition: int, fields: Mapping[bytes, bytes]) -> Head:
    """The Head that a hash holds."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    def number(name: bytes) -> int:
        return int(fields.get(name, 0))

    born = born_of(fields)
    state = cast("State", text(b"state") or "pending")
    result: Any = None
    error = None
    reason = text(b"reason")
    percent = float(fields.get(b"percent", 0))
    outcome = fields.get(b"outcome")
    terms = fields.get(b"terms")
    expires, unique = msgspec.msgpack.decode(terms)[:2] if terms else (0, "")
    if state == "completed":
        percent, reason = 100.0, ""
        if outcome is not None:
            result = cast("Completed", decode_data("job.completed", SCHEMA, outcome)).result
    elif outcome is not None:
        kind = "job.failed" if state == "failed" else "job.retry_scheduled"
        data = cast("Failed | RetryScheduled", decode_data(kind, SCHEMA, outcome))
        error = data.error
        if isinstance(data, Failed):
            reason = data.reason
    return Head(
        job=job,
        partition=partition,
        position=number(b"pos") or born.position,
        version=number(b"version") or 1,
        state=state,
        attempt=number(b"attempt"),
        actor=born.actor,
        queue=born.queue,
        tenant=born.tenant,
        priority=born.priority,
        by=born.by,
        causation=born.causation,
        correlation=born.correlation,
        traceparent=born.traceparent,
        submitted=born.at,
        due=number(b"due"),
        started=number(b"started"),
        finished=number(b"finished"),
        at=number(b"at") or born.at,
        worker=text(b"worker"),
        deaths=number(b"deaths"),
        percent=percent,
        stage=text(b"stage"),
        cancel_requested=b"cancel" in fields,
        cancel_by=text(b"cancel_by"),
        expires=expires,
        unique=unique,
        result=result,
        error=error,
        reason=reason,
    )


async def read_body(
    client: redis.asyncio.Redis, namespace: str, partitions: int, job: str
) -> bytes | None:
    """The job's encoded Dramatiq message, or None where it is gone."""
    ((_, body),) = await read_many(client, namespace, partitions, [job])
    return body


async def read_many(
    client: redis.asyncio.Redis, namespace: str, partitions: int, jobs: Sequence[str]
) -> list[tuple[Head | None, bytes | None]]:
    """The head and the encoded message of each job, in two round trips."""
    places = [keys.partition_of(job, partitions) for job in jobs]
    async with client.pipeline(transaction=False) as pipe:
        for job, partition in zip(jobs, places, strict=True):
            pipe.hgetall(keys.job(keys.prefix(namespace, partition), job))
        heads = cast("list[Mapping[bytes, bytes]]", await pipe.execute())
    async with client.pipeline(transaction=False) as pipe:
        for job, partition, fields in zip(jobs, places, heads, strict=True):
            prefix = keys.prefix(namespace, partition)
            born = born_of(fields)
            at = "0-0" if born.own_body else f"{born.position}-0"  # the log has no position 0
            # Both, since the message may move from one to the other meanwhile.
            pipe.get(keys.body(prefix, job))
            pipe.execute_command("XRANGE", keys.log(prefix), at, at)
        replies = await pipe.execute() if jobs else []
    return [
        (head_of(job, partition, fields), own if own is not None else _logged(job, partition, raw))
        if fields
        else (None, own)
        for job, partition, fields, own, raw in zip(
            jobs, places, heads, replies[::2], replies[1::2], strict=True
        )
    ]


def _logged(job: str, partition: int, raw: Sequence[tuple[bytes, Sequence[bytes]]]) -> bytes | None:
    """The message in a job's first event."""
    if not raw:
        return None
    event = decode_entry(partition, *raw[0])
    return event.data.body if event.job == job and isinstance(event.data, Submitted) else None
