"""Owns a platform that is treated badly: its API, Valkey, projector and log; and what that log was."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
from api_process import process
from live_api import Hand, project
from own_valkey import valkey

from archived_log import ArchivedLog
from ports import free_port
from triton.api.services import FeedOptions
from triton.events.entries import Page
from triton.events.render import show_entry
from triton.feed.contract import Timing
from triton.settings import Settings

PARTITIONS = 2
QUEUES = ("mail", "reports")
#: A ring that most readers fall off, connections that end in turn, and clients that come back at once.
FEED = FeedOptions(
    ring_capacity=48, timing=Timing(retry_min_ms=1, retry_max_ms=30, rotate=2.0, heartbeat=0.5)
)


class World:
    """A context. `entries` is the log as it was written: copied before any of it is trimmed."""

    def __init__(self, settings: Settings, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self._folder = folder
        redis_port = free_port()
        self.settings = msgspec.structs.replace(
            settings,
            redis_url=f"redis://127.0.0.1:{redis_port}/0",
            namespace=f"t{secrets.token_hex(5)}",
            partitions=PARTITIONS,
            port=free_port(),
            archive_url=(folder / "archive").as_uri(),
        )
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self._redis_port = redis_port
        self._stack = contextlib.ExitStack()
        self._api = contextlib.ExitStack()
        self._valkey = contextlib.ExitStack()
        self._jobs: dict[str, str] = {}
        self.entries: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        (self._folder / "archive").mkdir()
        self._valkey.enter_context(valkey(self._redis_port, self._folder))
        self.hand = Hand(self.settings.redis_url, self.settings.namespace, PARTITIONS)
        self._logs = [
            ArchivedLog.of(
                self.settings,
                partition=partition,
                block_events=16,
                database_url=self.settings.database_url,
            )
            for partition in range(PARTITIONS)
        ]
        self._copied = [0] * PARTITIONS
        self._start_api()
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        for log in self._logs:
            log.close()
        self._valkey.close()

    # What happens to jobs

    def submit(self) -> str:
        queue = self.chance.choice(QUEUES)
        job = self.hand.submit(queue=queue)
        self._jobs[job] = queue
        return job

    def burst(self, steps: int) -> None:
        """Some of what workers do, to some of the jobs."""
        for _ in range(steps):
            alive = list(self._jobs)
            if not alive:
                return
            job = self.chance.choice(alive)
            if job not in self.hand.attempts:
                self.hand.start(job, queue=self._jobs[job])
            elif self.chance.random() < 0.04 and len(alive) > 3:
                self.complete(job)
            else:
                size = self.chance.choice((1, 20, 300))
                self.hand.output(job, "x" * size, "\u2028\n\ndata: y")

    def complete(self, job: str) -> None:
        if job not in self.hand.attempts:
            self.hand.start(job, queue=self._jobs[job])
        self.hand.complete(job, {"n": self.chance.random()})
        del self._jobs[job]

    def complete_all(self) -> None:
        for job in list(self._jobs):
            self.complete(job)

    # What happens to the platform

    def kill_the_api(self) -> None:
        self._child.kill()
        self._api.close()
        self.burst(10)
        self._start_api()

    def drain_the_api(self) -> None:
        self._child.terminate()
        assert self._child.wait(timeout=60) == 0
        self._api.close()
        self.burst(10)
        self._start_api()

    def kill_valkey(self) -> None:
        self._valkey.close()
        self._valkey.enter_context(valkey(self._redis_port, self._folder))

    def project(self) -> None:
        project(self.settings, range(PARTITIONS))

    def archive_and_trim(self) -> None:
        """As an archiver does it: what is not projected yet stays in the log."""
        self.project()
        self.copy()
        for log in self._logs:
            if log.position > log.sealed:
                log.seal()
                log.trim(max(1, log.sealed - self.chance.choice((0, 5, 60))))

    def copy(self) -> None:
        """Take over what the log has got since the last time."""
        for partition, log in enumerate(self._logs):
            last = log.position
            if last > self._copied[partition]:
                self._take(log.page(self._copied[partition] + 1, last))
                self._copied[partition] = last

    def _take(self, page: Page) -> None:
        for entry in entries_of(page):
            line = show_entry(entry, f"/triton/{self.settings.namespace}").json.decode()
            self.lines.append(line)
            self.entries.append(msgspec.json.decode(line))

    def _start_api(self) -> None:
        self._child, _ = self._api.enter_context(process(self.settings, FEED))


def entries_of(page: Page) -> Iterator[Any]:
    for index in range(page.size):
        yield page.entry(index)
