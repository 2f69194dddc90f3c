"""Owns running an application's actors in a test's own process, and what the log says of their jobs."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dramatiq
from dramatiq import Actor, Message, Worker
from dramatiq.broker import Broker
from dramatiq.middleware import AsyncIO, Middleware, Retries

from triton import keys
from triton.broker import TritonBroker
from triton.events.codec import decode_entry
from triton.events.envelope import Event
from triton.events.types import TERMINAL, Completed, Failed

#: Milliseconds between attempts of actors that say nothing about their backoff.
_BACKOFF = (10, 20)


class Jobs:
    """Made by `jobs_in_process`. The worker starts with the first `run` or `run_all`."""

    def __init__(self, broker: TritonBroker, threads: int) -> None:
        self.broker = broker
        self._threads = threads
        self._worker: Worker | None = None

    def run(self, message: Message[Any], *, timeout: float = 10.0) -> list[Event]:
        """Submit a message (`actor.message(...)`), wait until its job ended, answer its events.

        Raises AssertionError with its events after `timeout` seconds.
        """
        self._start()
        return self.ended(self.broker.enqueue(message).message_id, timeout=timeout)

    def ended(self, job: Message[Any] | str, *, timeout: float = 10.0) -> list[Event]:
        """Wait for a job that was sent already, and answer its events. Errors as `run`."""
        self._start()
        deadline = time.monotonic() + timeout
        pause = 0.002
        while True:
            found = self.events(job)
            if found and found[-1].type in TERMINAL:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{_id(job)} did not end within {timeout} s: {_story(found)}")
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)

    def run_all(self, *, timeout: float = 10.0) -> None:
        """Run all that was sent, and what follows from it, until every queue is empty.

        Raises dramatiq's QueueJoinTimeout after `timeout` seconds for a queue.
        """
        self._start()
        busy = True
        while busy:
            for queue in sorted(self.broker.get_declared_queues()):
                self.broker.join(queue, timeout=int(timeout * 1000))
            counts = [self.broker.count(queue) for queue in self.broker.get_declared_queues()]
            busy = any(any(count.values()) for count in counts)

    def events(self, job: Message[Any] | str) -> list[Event]:
        """All events of a job so far, in order; none for a job that was never sent."""
        key = keys.log(keys.prefix(self.broker.namespace, 0))
        entries: Any = self.broker.client.xrange(key)
        decoded = (decode_entry(0, entry, cast("list[bytes]", fields)) for entry, fields in entries)
        return [event for event in decoded if event.job == _id(job)]

    def types(self, job: Message[Any] | str) -> list[str]:
        """The types of a job's events in order, `job.submitted` first."""
        return [event.type for event in self.events(job)]

    def assert_completed(self, job: Message[Any] | str, *, timeout: float = 10.0) -> Any:
        """Wait for the job's end, and answer its result. Raises AssertionError if it did not complete."""
        found = self.ended(job, timeout=timeout)
        data = found[-1].data
        assert isinstance(data, Completed), f"{_id(job)} did not complete: {_story(found)}"
        return data.result

    def assert_failed(
        self, job: Message[Any] | str, *, error: str | None = None, timeout: float = 10.0
    ) -> Failed:
        """Wait for the job's end, and answer its last event's data. `error` is the class name of what its
        last attempt raised. Raises AssertionError if it did not fail, or of something else.
        """
        found = self.ended(job, timeout=timeout)
        data = found[-1].data
        assert isinstance(data, Failed), f"{_id(job)} did not fail: {_story(found)}"
        kind = data.error.type if data.error else ""
        assert error in (None, kind), f"{_id(job)} failed of {kind or data.reason}, not of {error}"
        return data

    def stop(self) -> None:
        """End the worker; what runs may end first."""
        if self._worker is not None:
            self._worker.stop(timeout=10_000)
            self._worker = None

    def _start(self) -> None:
        if self._worker is None:
            self._worker = Worker(self.broker, worker_timeout=50, worker_threads=self._threads)
            self._worker.start()


@contextmanager
def jobs_in_process(
    url: str,
    *,
    app: Broker | None = None,
    middleware: list[Middleware] | None = None,
    threads: int = 4,
) -> Iterator[Jobs]:
    """Meanwhile the actors of `app` (default: of the global broker, if there is one) run on Triton.

    `url` is a Redis or Valkey; every call uses a namespace of its own there, and deletes it at the end.
    `send` of these actors goes to it too, and new actors are declared on it. Triton's default middleware
    with asyncio runs; `middleware` takes its place. Actors that name no backoff retry after 10 ms. Keys of
    data subjects are in a temporary folder.
    """
    before = dramatiq.broker.global_broker
    app = app if app is not None else before
    name = "t" + secrets.token_hex(6)
    # Made with the first key, if there is ever one.
    keys_folder = Path(tempfile.gettempdir(), f"triton-keys-{name}")
    broker = TritonBroker(
        url=url,
        namespace=name,
        partitions=1,
        middleware=middleware,
        subject_keys=keys_folder.as_uri(),
    )
    if middleware is None:
        broker.add_middleware(AsyncIO())
        for each in broker.middleware:
            if isinstance(each, Retries):
                each.min_backoff, each.max_backoff = _BACKOFF
    jobs = Jobs(broker, threads)
    borrowed: list[tuple[Actor[Any, Any], Broker]] = []
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    try:
        for actor in app.actors.values() if app is not None else ():
            borrowed.append((actor, actor.broker))
            actor.broker = broker
            broker.declare_actor(actor)
        yield jobs
    finally:
        jobs.stop()
        for actor, own in borrowed:
            actor.broker = own
        dramatiq.broker.global_broker = before
        _forget(broker)
        broker.close()
        shutil.rmtree(keys_folder, ignore_errors=True)


def _forget(broker: TritonBroker) -> None:
    for pattern in (f"{broker.namespace}*", f"{{{broker.namespace}*"):
        if found := list(broker.client.scan_iter(pattern, count=1000)):
            broker.client.delete(*found)


def _id(job: Message[Any] | str) -> str:
    return job if isinstance(job, str) else job.message_id


def _story(events: list[Event]) -> str:
    if not events:
        return "it was never sent"
    last = events[-1].data
    error = (
        f" ({last.error.type}: {last.error.message})"
        if isinstance(last, Failed) and last.error
        else ""
    )
    return ", ".join(event.type for event in events) + error
