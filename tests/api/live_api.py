"""Owns the API of a test: a real uvicorn in a thread, and hands that do what workers and projectors do."""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx
import psycopg
import redis

from eventually import eventually
from triton import keys
from triton.api.listener import listen
from triton.api.server import Server, make_server
from triton.api.services import FeedOptions, Services
from triton.checkpoints.lease import Lease
from triton.events.client import connect, connect_async, send
from triton.events.log import Log
from triton.events.registry import About, encode_about
from triton.events.replies import Claimed, answers, claimed
from triton.events.scripts import Scripts, pack_outcome, pack_report
from triton.events.types import (
    Cancelled,
    Completed,
    Error,
    Failed,
    Output,
    Progressed,
    RetryScheduled,
)
from triton.projections.postgres import PostgresProjection
from triton.projections.rows import RowReader, again
from triton.settings import Settings
from triton.submit import Caller, message_for, submission_of


class LiveApi:
    """A server on a loopback port, a free one by default; use it as a context."""

    def __init__(
        self, settings: Settings, feed: FeedOptions | None = None, *, port: int = 0
    ) -> None:
        self.settings = settings
        self.listener = listen("127.0.0.1", port, settings.client_timeout_ms)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.server: Server = make_server(settings, feed=feed)
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self.server.started or not self._thread.is_alive())
        assert self.server.started, self.server.app.state.failure
        self.http = httpx.Client(base_url=self.url, timeout=30, verify=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.stop()

    def stop(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)
        self._thread.join(timeout=120)
        assert not self._thread.is_alive(), f"the server did not end: {self._where()}"

    def _where(self) -> str:
        """What its thread and the tasks of its loop do now."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        stacks = ["".join(traceback.format_stack(frame))]
        # In another thread than the loop's a task may come or go meanwhile.
        with contextlib.suppress(RuntimeError, AttributeError):
            for task in asyncio.all_tasks(self.server._loop):
                told = io.StringIO()
                task.print_stack(file=told)
                stacks.append(told.getvalue())
        return "\n".join(stacks)

    def catch_up(self) -> None:
        """Wait until the feed has read all that is in the log now; it follows a moment later."""
        ring = self.services.hub.ring
        with connect(self.settings.redis_url) as client:
            for partition in range(self.settings.partitions):
                meta = keys.meta(keys.prefix(self.settings.namespace, partition))
                end = int(client.hget(meta, "pos") or 0)
                eventually(lambda at=partition, end=end: ring(at).last >= end)

    @property
    def services(self) -> Services:
        services = self.server.app.state.services
        assert isinstance(services, Services)
        return services


class Hand:
    """Does to the log what applications and workers do, one call at a time."""

    def __init__(self, redis_url: str, namespace: str, partitions: int = 1) -> None:
        self.client: redis.Redis = connect(redis_url)
        self.namespace = namespace
        self.partitions = partitions
        self.scripts = Scripts()
        self.attempts: dict[str, int] = {}
        self.seqs: dict[str, int] = {}
        for partition in range(partitions):
            send(
                self.client,
                [
                    self.scripts.open(
                        keys.prefix(namespace, partition), secrets.token_hex(8), partitions
                    )
                ],
            )

    def prefix(self, job: str) -> str:
        return keys.prefix(self.namespace, keys.partition_of(job, self.partitions))

    def submit(
        self,
        *args: Any,
        job: str = "",
        actor: str = "work",
        queue: str = "default",
        tenant: str = "default",
        correlation: str = "",
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> str:
        job = job or uuid.uuid4().hex
        message = message_for(
            job=job,
            at_ms=1,
            actor=actor,
            args=args,
            kwargs=kwargs,
            queue=queue,
            options=options,
        )
        submission = submission_of(
            message, Caller("user:test", tenant=tenant, correlation=correlation)
        )
        self._ok(self.scripts.submit(self.prefix(job), [submission]))
        return job

    def start(self, job: str, *, queue: str = "default") -> Claimed:
        """Take ready jobs of the queue until it is this one."""
        while True:
            call = self.scripts.claim(
                self.prefix(job),
                worker="w1",
                op=uuid.uuid4().hex,
                queues=[queue],
                limit=1,
                lease_ms=60_000,
                max_deaths=3,
            )
            for found in claimed(send(self.client, [call])[0]).jobs:
                self.attempts[found.job] = found.attempt
                self.seqs[found.job] = 0
                if found.job == job:
                    return found

    def beat(self, worker: str, queue: str, job: str = "", lease_ms: int = 60_000) -> None:
        """What a worker says of itself that listens to a queue, and holds a job."""
        held = [(job, self.attempts[job])] if job else []
        about = About(
            host="h",
            pid=7,
            since=1,
            threads=4,
            queues=[queue],
            version="1",
            jobs=held,
            ended={queue: 5},
        )
        call = self.scripts.heartbeat(
            self.prefix(""), lease_ms, held, worker=worker, about=encode_about(about)
        )
        send(self.client, [call])

    def report(self, job: str, *data: Progressed | Output) -> None:
        packed = []
        for one in data:
            self.seqs[job] += 1
            packed.append(pack_report(job, self.attempts[job], self.seqs[job], "worker:w1", one))
        for start in range(0, len(packed), 200):
            self._ok(self.scripts.report(self.prefix(job), packed[start : start + 200]))

    def progress(self, job: str, percent: float, stage: str = "") -> None:
        self.report(job, Progressed(percent=percent, stage=stage))

    def output(self, job: str, *chunks: str) -> None:
        self.report(job, *(Output(chunk=chunk) for chunk in chunks))

    def complete(self, job: str, result: Any = None) -> None:
        self._finish(job, Completed(result=result))

    def fail(self, job: str, message: str = "no", kind: str = "ValueError") -> None:
        self._finish(job, Failed(error=Error(type=kind, message=message)))

    def died(self, job: str) -> None:
        error = Error(type="WorkerDied", message="4 leases")
        self._finish(job, Failed(error=error, reason="died"))

    def retry(self, job: str, body: bytes = b"") -> None:
        self._finish(job, RetryScheduled(error=Error(type="ValueError")), body=body)

    def cancelled(self, job: str) -> None:
        self._finish(job, Cancelled(reason="asked"))

    def run(self, job: str, result: Any = None) -> str:
        """The whole life of a submitted job."""
        self.start(job)
        self.progress(job, 50, "half")
        self.complete(job, result)
        return job

    def _finish(self, job: str, data: Any, *, body: bytes = b"") -> None:
        packed = pack_outcome(job, self.attempts[job], "worker:w1", data, body=body)
        self._ok(self.scripts.finish(self.prefix(job), [packed]))

    def _ok(self, call: Any) -> None:
        found = answers(send(self.client, [call])[0])
        assert set(found) == {"ok"}, found


def _apart(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in a thread: in this one Playwright's loop may run."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def project(settings: Settings, partitions: Sequence[int] = (0,)) -> None:
    """Bring PostgreSQL up to the end of the log, as its projector does."""

    async def run() -> None:
        scripts = Scripts()
        async with (
            connect_async(settings.redis_url) as client,
            await psycopg.AsyncConnection.connect(
                settings.database_url, autocommit=True
            ) as connection,
        ):
            log = await Log.open(client, scripts, settings.namespace, settings.partitions, "x")
            for partition in partitions:
                projection = PostgresProjection()
                lease = await Lease.acquire(
                    connection,
                    projection.name,
                    partition,
                    epoch=log.epochs[partition],
                    owner="test",
                )
                assert lease is not None
                await projection.open(lease)
                reader = RowReader(projection.form)
                while page := await log.page(partition, lease.checkpoint.position):
                    batch = await projection.prepare(again(reader.read(page)))
                    await projection.apply(lease, batch)
                await lease.release()

    _apart(run())


def log_events(settings: Settings, job: str) -> list[Any]:
    """The job's events, straight from the log: what every reader must have seen in the end."""

    async def read() -> list[Any]:
        async with connect_async(settings.redis_url) as client:
            log = await Log.open(
                client, Scripts(), settings.namespace, settings.partitions, "unused"
            )
            return [event async for event in log.history(job)]

    return list(_apart(read()))
