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
    return Born(
        position=0,
        own_body=1,
        at=_number(fields, b"submitted"),
        queue=_text(fields, b"queue"),
        tenant=_text(fields, b"tenant"),
        actor=_text(fields, b"actor"),
        by=_text(fields, b"by"),
        causation=_text(fields, b"causation"),
        correlation=_text(fields, b"correlation"),
        traceparent=_text(fields, b"traceparent"),
        priority=_number(fields, b"priority"),
        terms=int(b"terms" in fields),
    )


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode()


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    return int(fields.get(name, 0))


def head_of(job: str, partition: int, fields: Mapping[bytes, bytes]) -> Head:
    """The Head that a hash holds."""
    born = born_of(fields)
    state = cast("State", _text(fields, b"state") or "pending")
    result: Any = None
    error = None
    reason = _text(fields, b"reason")
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
        position=_number(fields, b"pos") or born.position,
        version=_number(fields, b"version") or 1,
        state=state,
        attempt=_number(fields, b"attempt"),
        actor=born.actor,
        queue=born.queue,
        tenant=born.tenant,
        priority=born.priority,
        by=born.by,
        causation=born.causation,
        correlation=born.correlation,
        traceparent=born.traceparent,
        submitted=born.at,
        due=_number(fields, b"due"),
        started=_number(fields, b"started"),
        finished=_number(fields, b"finished"),
        at=_number(fields, b"at") or born.at,
        worker=_text(fields, b"worker"),
        deaths=_number(fields, b"deaths"),
        percent=percent,
        stage=_text(fields, b"stage"),
        cancel_requested=b"cancel" in fields,
        cancel_by=_text(fields, b"cancel_by"),
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
