"""Owns turning job events into deliveries: a reader of the log with its own checkpoint, which submits jobs.

A delivery's id follows from target and event, so what is read again after a crash makes no second job.
Nothing is read while no tenant has a target.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import redis.asyncio
from psycopg.rows import tuple_row

from triton import keys
from triton.checkpoints.keeping import Keeping, pause, released
from triton.checkpoints.lease import Lease
from triton.domain.connection import entered
from triton.domain.statements import sql
from triton.errors import QueueClosedError, TritonError, UnavailableError, ValidationError
from triton.events import envelope
from triton.events.client import send_async
from triton.events.entries import Entry, Page
from triton.events.envelope import to_microseconds
from triton.events.heads import read_many
from triton.events.log import Log
from triton.events.render import show_entry
from triton.events.replies import answers
from triton.events.scripts import Scripts
from triton.events.submission import Submission
from triton.settings import Settings
from triton.submit import Caller, message_for, submission_of
from triton.verdict import verdict_of
from triton.webhooks import ACTOR, QUEUE

#: The checkpoint's name.
NAME: Final = "webhooks"
#: Seconds between two looks whether anybody has a target.
IDLE: Final = 5.0
_PAGE: Final = 500
_BLOCK_MS: Final = 1000
_IDS: Final = uuid.UUID("6f0f1f3e-6a51-5d0c-9a6e-2d7c7f6b1a10")


class Target(NamedTuple):
    """What one target wants."""

    id: UUID
    events: Sequence[str]
    actor: str | None
    queue: str | None
    since: datetime


class WebhookKeeper(Keeping):
    """Keeps the deliveries of one partition's events coming."""

    word: ClassVar[str] = "webhooks"

    def __init__(
        self,
        log: Log,
        client: redis.asyncio.Redis,
        settings: Settings,
        partition: int,
        *,
        idle: float = IDLE,
    ) -> None:
        super().__init__(log, settings.database_url, partition)
        self._client = client
        self._settings = settings
        self._scripts = Scripts.of(settings)
        self._idle = idle

    async def once(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        while not stop.is_set() and not await _tenants(connection):
            await pause(stop, self._idle)
        lease = None if stop.is_set() else await self.lease(connection, NAME, stop)
        if lease is None:
            return
        self.say.info("webhooks.started", position=lease.checkpoint.position)
        async with released(lease):
            await self._follow(connection, lease, stop)

    async def _follow(
        self, connection: psycopg.AsyncConnection[Any], lease: Lease, stop: asyncio.Event
    ) -> None:
        renewed = time.monotonic()
        while not stop.is_set():
            page = await self.log.wait_page(
                self._partition, lease.checkpoint.position, block_ms=_BLOCK_MS, count=_PAGE
            )
            await self.log.validate(self._partition, lease.checkpoint)
            if page is not None:
                await self._send(await self._deliveries(connection, page))
                async with connection.transaction():
                    to = await lease.move(page.entry(-1))
                lease.checkpoint = to
            elif time.monotonic() - renewed > lease.seconds / 3:
                await lease.renew()
            else:
                continue
            renewed = time.monotonic()

    async def _deliveries(
        self, connection: psycopg.AsyncConnection[Any], page: Page
    ) -> list[Submission]:
        """What the page's events are worth to targets as they are now."""
        tenants = await _tenants(connection)
        chosen = [
            index
            for index, (kind, tenant, queue) in enumerate(
                zip(
                    page.columns[envelope.TYPE],
                    page.columns[envelope.TENANT],
                    page.columns[envelope.QUEUE],
                    strict=True,
                )
            )
            if kind.startswith(b"job.") and queue != QUEUE.encode() and tenant in tenants
        ]
        if not chosen:
            return []
        whose = {page.columns[envelope.TENANT][index].decode() for index in chosen}
        targets = {tenant: await _targets(connection, tenant) for tenant in whose}
        pairs = [
            (entry, target)
            for entry in map(page.entry, chosen)
            for target in targets[_text(entry, envelope.TENANT)]
            if _wants(target, entry)
        ]
        actors = await self._actors([entry for entry, target in pairs if target.actor is not None])
        return [
            self._submission(entry, target)
            for entry, target in pairs
            if target.actor is None or actors.get(_text(entry, envelope.JOB)) == target.actor
        ]

    async def _actors(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        """The actors of the entries' jobs, as far as their heads are there."""
        jobs = list(dict.fromkeys(_text(entry, envelope.JOB) for entry in entries))
        place = (self._client, self._settings.namespace, self._settings.partitions)
        heads = await read_many(*place, jobs) if jobs else []
        return {
            job: head.actor for job, (head, _) in zip(jobs, heads, strict=True) if head is not None
        }

    def _submission(self, entry: Entry, target: Target) -> Submission:
        namespace = self._settings.namespace
        epoch = self.log.epochs[entry.partition]
        shown = show_entry(entry, f"/triton/{namespace}")
        data: dict[str, Any] = msgspec.json.decode(shown.json)
        name = f"{target.id}/{namespace}/{epoch}/{entry.partition}/{entry.position}"
        job = str(uuid.uuid5(_IDS, name))
        try:
            return self._made(job, entry, target, data)
        except ValidationError:
            # Its data leaves no room for the message around it.
            return self._made(job, entry, target, {**data, "data": None, "cut": True})

    def _made(self, job: str, entry: Entry, target: Target, data: dict[str, Any]) -> Submission:
        payload = {"type": data["type"], "timestamp": data["time"], "data": data}
        message = message_for(
            job=job,
            at_ms=time.time_ns() // 1_000_000,
            actor=ACTOR,
            kwargs={"target": str(target.id), "event": data["id"], "payload": payload},
            queue=QUEUE,
        )
        return submission_of(
            message,
            Caller(
                "system:webhooks",
                tenant=_text(entry, envelope.TENANT),
                correlation=str(target.id),
            ),
            partitions=self._settings.partitions,
            keep_ms=self._settings.idempotency_ms,
        )

    async def _send(self, submissions: Sequence[Submission]) -> None:
        """Raises UnavailableError where they are not taken now: then the page is read again."""
        if not submissions:
            return
        calls = [
            self._scripts.submit(
                keys.prefix(
                    self._settings.namespace,
                    keys.partition_of(one.job, self._settings.partitions),
                ),
                [one],
            )
            for one in submissions
        ]
        replies = await send_async(self._client, calls)
        for one, reply in zip(submissions, replies, strict=True):
            (answer,) = answers(reply)
            try:
                verdict_of(one, answer)
            except QueueClosedError as error:
                raise UnavailableError(f"deliveries wait: {error.message}") from error
            except TritonError as error:
                self.say.warning("webhooks.refused", job=one.job, reason=error.message)


def _wants(target: Target, entry: Entry) -> bool:
    return (
        _text(entry, envelope.TYPE) in target.events
        and target.queue in (None, _text(entry, envelope.QUEUE))
        # Not decoded: whose data cannot be read is told too, with the reason.
        and int(_text(entry, envelope.AT)) >= to_microseconds(target.since)
    )


def _text(entry: Entry, field: int) -> str:
    return entry.value(field).decode()


async def _tenants(connection: psycopg.AsyncConnection[Any]) -> set[bytes]:
    """Who has a target, or had one."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SELECT tenant FROM webhook_tenants")
        return {tenant.encode() for (tenant,) in await cursor.fetchall()}


async def _targets(connection: psycopg.AsyncConnection[Any], tenant: str) -> list[Target]:
    async with (
        entered(connection, tenant),
        connection.cursor(row_factory=tuple_row) as cursor,
    ):
        await cursor.execute(sql("webhook_targets"), {"tenant": tenant})
        return [Target(*row) for row in await cursor.fetchall()]
