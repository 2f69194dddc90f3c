"""Owns one worker process's talk with the log: what it holds, what it must say, what it may claim.

The pump thread does all claims and commits: while one round trip is under way, whatever the worker's
threads finish gathers and goes with the next (group commit), and the same trip claims the next jobs. A
lone job never waits: an idle pump sends at once. The bell thread blocks only while there is nothing to
claim; the heart thread extends the leases of what is held and brings back requests to cancel.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final

import redis
import structlog
from dramatiq import Message
from dramatiq.errors import DecodeError
from redis.exceptions import RedisError

from triton import keys
from triton.broker.context import CancelRequested, LeaseLost
from triton.broker.outcomes import Outcome, error_of, outcome_of, pack
from triton.broker.proxy import JobProxy
from triton.broker.reports import Reports
from triton.broker.sender import send_until_answered
from triton.broker.trip import Claim, Finished, Report, Trip, grouped
from triton.events.client import send
from triton.events.scripts import CHUNK, Call, Claimed, ClaimReply, Scripts, answers
from triton.events.types import Failed

#: Seconds that an idle process blocks at most before it looks for due jobs and dead workers.
IDLE_BLOCK: Final = 1.0
#: Seconds within which a job that should be cancelled hears of it at the latest.
MAX_HEARTBEAT: Final = 2.0
#: Seconds at shutdown within which outcomes must be committed; then they are left to the leases.
DRAIN: Final = 10.0
_NEVER: Final = float("inf")


class _Run:
    """One life of the three threads, from the first queue to the last."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []


class Dispatcher:
    """Everything that one process claims and reports. Starts with its first queue, ends with its last."""

    def __init__(
        self,
        *,
        client: redis.Redis,
        bell_client: redis.Redis,
        scripts: Scripts,
        prefixes: Sequence[str],
        prefix_of: Callable[[str], str],
        lease_ms: int,
        max_deaths: int,
    ) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.by = f"worker:{self.worker}"
        #: Jobs held at most: the number of threads that can run one.
        self.capacity = 1
        self._client = client
        self._bell_client = bell_client
        self._scripts = scripts
        self._prefixes = tuple(prefixes)
        self._prefix_of = prefix_of
        self._lease_ms = lease_ms
        self._max_deaths = max_deaths
        self._log = structlog.get_logger("triton.worker").bind(worker=self.worker)

        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._run: _Run | None = None
        self._inboxes: dict[str, SimpleQueue[JobProxy]] = {}
        self._held: dict[str, JobProxy] = {}
        self._finished: list[Finished] = []
        self._reporting: dict[str, JobProxy] = {}
        self._reports_due = _NEVER
        self._claiming = True
        self._claim_wanted = False
        self._armed = False
        self._wake_in = IDLE_BLOCK
        self._ops = itertools.count(1)
        self._turn = 0

    # -- what consumers call ---------------------------------------------------------------------

    def subscribe(self, queue: str) -> SimpleQueue[JobProxy]:
        """Begin to claim from a queue; its jobs come into the inbox."""
        inbox: SimpleQueue[JobProxy] = SimpleQueue()
        with self._lock:
            self._inboxes[queue] = inbox
            self._claiming = True
            self._claim_wanted = True
            if self._run is None:
                self._run = self._start()
            self._work.notify()
        return inbox

    def unsubscribe(self, queue: str, inbox: SimpleQueue[JobProxy]) -> None:
        """Claim no more from a queue and give back what nobody began; the last one ends the threads."""
        with self._lock:
            if self._inboxes.get(queue) is not inbox:
                return
            del self._inboxes[queue]
            last = not self._inboxes
        if last:
            self.stop()
        waiting = []
        while not inbox.empty():
            waiting.append(inbox.get_nowait())
        self.release(waiting)

    def stop_claiming(self) -> None:
        """The worker shuts down: run what is held, take nothing new."""
        with self._lock:
            self._claiming = False

    def finish(self, proxy: JobProxy, *, failed: bool) -> None:
        """Hand over how an attempt ended. Returns at once; the pump commits it."""
        job = proxy.claimed.job
        finished = Finished(
            proxy,
            pack(proxy, self.by, outcome_of(proxy, failed=failed)),
            tuple(Report(job, packed) for packed in proxy.reports.take(everything=True)),
        )
        proxy.forget()
        with self._lock:
            self._reporting.pop(job, None)
            self._finished.append(finished)
            self._work.notify()
            orphaned = self._run is None
        if orphaned:
            # The threads have ended already (a consumer was closed before its last ack).
            self._commit(*self._take(), (), threading.Event())

    def release(self, proxies: Sequence[JobProxy]) -> None:
        """Give jobs that were not begun back to their queues, at once."""
        calls = [
            self._scripts.release(
                prefix,
                [(proxy.claimed.job, proxy.claimed.attempt) for proxy in group],
                by=self.by,
                reason="the worker stopped before it began",
            )
            for prefix, group in self._by_prefix(proxies)
        ]
        if calls:
            try:
                send(self._client, calls)
            except RedisError as error:
                self._log.warning("release_failed", jobs=len(proxies), error=str(error))
        with self._lock:
            for proxy in proxies:
                self._held.pop(proxy.claimed.job, None)

    def stop(self) -> None:
        """Commit what is finished, then end the threads. Safe to call twice."""
        with self._lock:
            run, self._run = self._run, None
            self._claiming = False
            if run is None:
                return
            run.stopped.set()
            self._work.notify_all()
            self._idle.notify_all()
        # Wakes the bell thread out of its blocking read.
        self._bell_client.connection_pool.disconnect()
        deadline = time.monotonic() + DRAIN
        for thread in run.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        if self._finished:
            self._log.warning("outcomes_left_to_leases", outcomes=len(self._finished))

    # -- the pump: one round trip after the other -------------------------------------------------

    def _start(self) -> _Run:
        run = _Run()
        for name, target in (("pump", self._pump), ("bell", self._listen), ("heart", self._beat)):
            thread = threading.Thread(target=target, args=(run.stopped,), name=f"triton-{name}")
            thread.daemon = True
            run.threads.append(thread)
            thread.start()
        return run

    def _pump(self, stopped: threading.Event) -> None:
        while True:
            with self._lock:
                while not (self._finished or self._claim_wanted or stopped.is_set()):
                    wait = self._reports_due - time.monotonic()
                    if wait <= 0:
                        break
                    self._work.wait(None if wait == _NEVER else wait)
                if stopped.is_set() and not self._finished:
                    return
            finished, reports = self._take()
            self._commit(finished, reports, self._claims(len(finished)), stopped)

    def _take(self) -> tuple[list[Finished], list[Report]]:
        with self._lock:
            finished = self._finished[:CHUNK]
            del self._finished[:CHUNK]
            reports: list[Report] = []
            if self._reports_due <= time.monotonic():
                self._reports_due = _NEVER
                for job, proxy in list(self._reporting.items()):
                    reports += (Report(job, packed) for packed in proxy.reports.take())
                    due = proxy.reports.due()
                    if due is None:
                        del self._reporting[job]
                    else:
                        self._reports_due = min(self._reports_due, due)
        return finished, reports

    def _claims(self, finishing: int) -> list[Claim]:
        """The claims of this trip: the free slots, shared out over the partitions in turn."""
        with self._lock:
            wanted, self._claim_wanted = self._claim_wanted, False
            free = max(0, self.capacity - len(self._held) + finishing)
            # A wanted claim goes also without a free slot: it passes the bell on to another worker.
            if not self._claiming or not self._inboxes or not (free or wanted):
                return []
            self._turn += 1
            first = self._turn % len(self._inboxes)
            queues = list(self._inboxes)
        queues = queues[first:] + queues[:first]
        count = len(self._prefixes)
        share, rest = divmod(free, count)
        limits = [share + ((i - self._turn) % count < rest) for i in range(count)]
        return [
            Claim(prefix, str(next(self._ops)), queues, limit)
            for prefix, limit in zip(self._prefixes, limits, strict=True)
            if limit or wanted
        ]

    def _commit(
        self,
        finished: list[Finished],
        reports: list[Report],
        claims: Sequence[Claim],
        stopped: threading.Event,
    ) -> None:
        trip = Trip(
            self._scripts,
            self._prefix_of,
            reports=reports,
            finished=finished,
            claims=[self._claim_call(claim) for claim in claims],
        )
        if not trip.calls:
            return
        replies = send_until_answered(self._client, trip.calls, stopped)
        with self._lock:
            for each in finished:
                self._held.pop(each.proxy.claimed.job, None)
        if replies is None:
            self._log.error("outcomes_left_to_leases", outcomes=len(finished))
            return
        for each, answer in trip.refused(replies):
            self._log.warning("outcome_refused", job=each.proxy.claimed.job, answer=answer)
        if claims:
            self._receive(claims, trip.claimed(replies))

    def _claim_call(self, claim: Claim) -> Call:
        return self._scripts.claim(
            claim.prefix,
            worker=self.worker,
            op=claim.op,
            queues=claim.queues,
            limit=claim.limit,
            lease_ms=self._lease_ms,
            max_deaths=self._max_deaths,
        )

    def _receive(self, claims: Sequence[Claim], replies: Sequence[ClaimReply]) -> None:
        for reply in replies:
            for job in reply.jobs:
                self._deliver(job)
        more = any(
            len(reply.jobs) >= claim.limit > 0 for claim, reply in zip(claims, replies, strict=True)
        )
        due = [reply.due_in_ms / 1000 for reply in replies if reply.due_in_ms is not None]
        with self._lock:
            free = self.capacity > len(self._held)
            # One partition gave all that was asked of it while another had less than its share.
            self._claim_wanted = self._claim_wanted or (free and more)
            self._armed = free and not self._claim_wanted
            self._wake_in = min([IDLE_BLOCK, *due])
            if self._armed:
                self._idle.notify()

    def _deliver(self, job: Claimed) -> None:
        reports = Reports(job.job, job.attempt, self.by, time.monotonic, self._reports_at(job.job))
        try:
            proxy = JobProxy(Message.decode(job.body), job, reports)
        except DecodeError as error:
            proxy = JobProxy(Message(job.queue, "", (), {}, {}, job.job), job, reports)
            self._log.error("message_rejected", job=job.job, error=str(error))
            outcome = Outcome(Failed(error=error_of(error), reason="rejected"))
            with self._lock:
                self._finished.append(Finished(proxy, pack(proxy, self.by, outcome)))
            return
        with self._lock:
            self._held[job.job] = proxy
            inbox = self._inboxes.get(job.queue)
        if inbox is None:
            self.release([proxy])
        else:
            inbox.put(proxy)

    def _reports_at(self, job: str) -> Callable[[float], None]:
        def wake(at: float) -> None:
            with self._lock:
                proxy = self._held.get(job)
                if proxy is None:
                    return
                self._reporting[job] = proxy
                if at < self._reports_due:
                    self._reports_due = at
                    self._work.notify()

        return wake

    # -- the bell and the heart --------------------------------------------------------------------

    def _listen(self, stopped: threading.Event) -> None:
        """Wait for work while there is none: blocks on the queues' bells, until the next due time."""
        while True:
            with self._lock:
                while not (self._armed or stopped.is_set()):
                    self._idle.wait()
                if stopped.is_set():
                    return
                queues = list(self._inboxes)
                wait = self._wake_in
            bells = [keys.bell(prefix, queue) for prefix in self._prefixes for queue in queues]
            try:
                if wait > 0 and bells:
                    self._bell_client.blpop(bells, timeout=max(0.001, wait))
            except RedisError as error:
                if not stopped.is_set():
                    self._log.warning("bell_lost", error=str(error))
                    stopped.wait(0.2)
            with self._lock:
                self._armed = False
                self._claim_wanted = self._claiming
                self._work.notify()

    def _beat(self, stopped: threading.Event) -> None:
        """Extend the leases of what is held; interrupt what was cancelled or lost."""
        while not stopped.wait(min(self._lease_ms / 3000, MAX_HEARTBEAT)):
            with self._lock:
                held = list(self._held.values())
            groups = list(self._by_prefix(held))
            calls = [
                self._scripts.heartbeat(
                    prefix,
                    self._lease_ms,
                    [(proxy.claimed.job, proxy.claimed.attempt) for proxy in group],
                )
                for prefix, group in groups
            ]
            if not calls:
                continue
            try:
                replies = send(self._client, calls)
            except RedisError as error:
                self._log.warning("heartbeat_failed", error=str(error))
                continue
            for (_, group), reply in zip(groups, replies, strict=True):
                for proxy, answer in zip(group, answers(reply), strict=True):
                    self._heard(proxy, answer)

    def _heard(self, proxy: JobProxy, answer: str) -> None:
        if answer == "cancel":
            proxy.interrupt(CancelRequested)
        elif answer == "stale" and self._held.get(proxy.claimed.job) is proxy:
            proxy.interrupt(LeaseLost)

    def _by_prefix(self, proxies: Sequence[JobProxy]) -> list[tuple[str, list[JobProxy]]]:
        return list(grouped(proxies, lambda proxy: self._prefix_of(proxy.claimed.job)))
