"""Owns the way from a head's Redis hash to a `Head`. Pure, besides the two functions that read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import redis.asyncio

from triton import keys
from triton.events.codec import decode_data
from triton.events.types import SCHEMA, Completed, Failed, RetryScheduled
from triton.job import Head, State


def head_of(job: str, partition: int, fields: Mapping[bytes, bytes]) -> Head:
    """The Head that a hash holds."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    def number(name: bytes) -> int:
        return int(fields.get(name, 0))

    state = cast("State", text(b"state"))
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
        position=number(b"pos"),
        version=number(b"version"),
        state=state,
        attempt=number(b"attempt"),
        actor=text(b"actor"),
        queue=text(b"queue"),
        tenant=text(b"tenant"),
        priority=number(b"priority"),
        by=text(b"by"),
        causation=text(b"causation"),
        correlation=text(b"correlation"),
        traceparent=text(b"traceparent"),
        submitted=number(b"submitted"),
        due=number(b"due"),
        started=number(b"started"),
        finished=number(b"finished"),
        at=number(b"at"),
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


async def read_head(
    client: redis.asyncio.Redis, namespace: str, partitions: int, job: str
) -> Head | None:
    """The job's head as Redis has it now, or None where it never was or is gone."""
    partition = keys.partition_of(job, partitions)
    fields = await client.hgetall(keys.job(keys.prefix(namespace, partition), job))
    return head_of(job, partition, cast("Mapping[bytes, bytes]", fields)) if fields else None


async def read_body(
    client: redis.asyncio.Redis, namespace: str, partitions: int, job: str
) -> bytes | None:
    """The job's encoded Dramatiq message, or None once it completed."""
    partition = keys.partition_of(job, partitions)
    return cast("bytes | None", await client.get(keys.body(keys.prefix(namespace, partition), job)))


async def read_many(
    client: redis.asyncio.Redis, namespace: str, partitions: int, jobs: Sequence[str]
) -> list[tuple[Head | None, bytes | None]]:
    """The head and the encoded message of each job, in one round trip."""
    places = [keys.partition_of(job, partitions) for job in jobs]
    async with client.pipeline(transaction=False) as pipe:
        for job, partition in zip(jobs, places, strict=True):
            prefix = keys.prefix(namespace, partition)
            pipe.hgetall(keys.job(prefix, job))
            pipe.get(keys.body(prefix, job))
        replies = await pipe.execute()
    return [
        (head_of(job, partition, fields) if fields else None, body)
        for job, partition, fields, body in zip(
            jobs, places, replies[::2], replies[1::2], strict=True
        )
    ]
