"""Owns what a broker has of its own in each process that works: one dispatcher, and its keeper."""

from __future__ import annotations

import multiprocessing
import os
import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from triton.broker.bells import IDLE_BLOCK
from triton.broker.dispatcher import Dispatcher
from triton.broker.intake import Intake
from triton.broker.pulse import beat_interval
from triton.events.client import connect
from triton.events.scripts import Scripts
from triton.keeper.holds import Holds
from triton.keeper.parent import Charge, Keeper
from triton.observe.signs import signs
from triton.payloads import Payloads
from triton.settings import Settings


class Working:
    """Of one broker. The dispatcher is made at the first use, and anew in a process that was forked."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        client: redis.Redis,
        scripts: Scripts,
        intake: Intake,
        payloads: Payloads,
    ) -> None:
        self._settings = settings
        self._url = url
        self._client = client
        self._scripts = scripts
        self._intake = intake
        self._payloads = payloads
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        #: What the worker that booted here has; None where none did.
        self._threads: int | None = None
        #: Whether this is a process of the `dramatiq` command.
        self._by_command = False

    def boot_process(self) -> None:
        """Also said by who runs a worker in a process of its own making, a test say."""
        self._by_command = multiprocessing.parent_process() is not None

    def boot_worker(self, threads: int) -> None:
        self._threads = threads

    def for_consumer(self, prefetch: int) -> Dispatcher:
        """The dispatcher, told how many jobs can run at once: `prefetch` where no worker said."""
        dispatcher = self.dispatcher()
        dispatcher.threads = self._threads or prefetch
        return dispatcher

    def dispatcher(self) -> Dispatcher:
        with self._lock:
            if self._dispatcher is None or self._dispatcher.pid != os.getpid():
                self._dispatcher = self._made()
            return self._dispatcher

    def stop_claiming(self) -> None:
        """Run what is held, take nothing new."""
        if self._dispatcher is not None:
            self._dispatcher.stop_claiming()

    def stop(self) -> None:
        """Commit what is finished."""
        with self._lock:
            dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.stop()

    def _made(self) -> Dispatcher:
        return Dispatcher(
            client=self._client,
            bell_client=connect(
                self._url, retry=Retry(NoBackoff(), 0), socket_timeout=IDLE_BLOCK + 5
            ),
            scripts=self._scripts,
            prefixes=self._intake.prefixes,
            prefix_of=self._intake.prefix_of,
            lease_ms=self._settings.lease_ms,
            max_deaths=self._settings.max_deaths,
            keep=self._payloads.keep,
            keeper=self._keeper,
            by_command=self._by_command,
        )

    def _keeper(self, holds: Holds, worker: str) -> Keeper:
        settings = self._settings
        charge = Charge(
            parent=os.getpid(),
            fd=holds.fd,
            url=self._url,
            namespace=settings.namespace,
            partitions=settings.partitions,
            worker=worker,
            lease_ms=settings.lease_ms,
            completed_ttl_ms=settings.completed_ttl_ms,
            failed_ttl_ms=settings.failed_ttl_ms,
            interval=beat_interval(settings.lease_ms),
            sign=signs.path,
        )
        return Keeper(holds, charge)
