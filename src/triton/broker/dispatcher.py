"""Owns one worker process's talk with the log: what it holds, what it must say, what it may claim.

The pump thread does all claims and commits: while one round trip is under way, whatever the worker's
threads finish gathers and goes with the next (group commit), and the same trip claims the next jobs. A
lone job never waits: an idle pump sends at once. The bell's thread blocks only while there is nothing to
claim (`triton.broker.bells`); the heart's extends the leases of what is held (`triton.broker.pulse`).
"""

from __future__ import annotations

import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final

import redis
from dramatiq import Message
from dramatiq.errors import DecodeError
from redis.exceptions import RedisError

import triton
from triton import keys
from triton.broker.bells import IDLE_BLOCK, bell_of
from triton.broker.due_reports import DueReports
from triton.broker.endings import Endings
from triton.broker.gather import LONGEST, Gather
from triton.broker.held import Held
from triton.broker.outcomes import Keep
from triton.broker.proxy import JobProxy, message_of
from triton.broker.pulse import Heart
from triton.broker.shares import Shares
from triton.broker.trip import Claim, Finished, Report
from triton.broker.worker_calls import WorkerCalls
from triton.events.registry import About, encode_about
from triton.events.replies import Claimed, ClaimReply
from triton.events.scripts import CHUNK, Scripts
from triton.keeper.holds import Holds
from triton.keeper.parent import Keeper
from triton.observe.logger import get_logger

#: Seconds at shutdown within which outcomes must be committed; then they are left to the leases.
DRAIN: Final = 10.0
#: Seconds after its start in which a process of the `dramatiq` command claims nothing. Before its jobs
#: can do harm it must have told the command that it is up: the command waits for that without an end, deaf
#: to signals, if a process dies just then. And its keeper is up by then, mostly.
SETTLE: Final = 0.25


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
        keep: Keep,
        keeper: Callable[[Holds, str], Keeper],
        by_command: bool = False,
    ) -> None:
        self.pid = os.getpid()
        self.worker = f"{socket.gethostname()}-{self.pid}-{secrets.token_hex(3)}"
        self.by = f"worker:{self.worker}"
        #: Threads that can run a job: no more jobs are held than these.
        self.threads = 1
        self._prefixes = tuple(prefixes)
        self._calls = WorkerCalls(
            client,
            scripts,
            prefix_of,
            worker=self.worker,
            lease_ms=lease_ms,
            max_deaths=max_deaths,
        )
        self._bell = bell_of(bell_client, self._prefixes, self._bells, self._rung)
        self._heart = Heart(
            client,
            scripts,
            prefix_of,
            lease_ms,
            self._holding,
            self._beating,
            worker=self.worker,
            prefixes=self._prefixes,
            about=self._about,
        )
        self._shares = Shares(self._prefixes)
        self._since = time.time_ns() // 1000
        self._by_command = by_command
        self._log = get_logger("triton.worker").bind(worker=self.worker)
        self._endings = Endings(self.by, keep, self._log)

        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._run: _Run | None = None
        self._inboxes: dict[str, SimpleQueue[JobProxy]] = {}
        self._prefetch: dict[str, int] = {}
        self._held = Held()
        self._keeper = keeper(self._held.holds, self.worker)
        self._finished: list[Finished] = []
        self._reports = DueReports()
        self._claiming = True
        self._claim_wanted = False
        #: The last claim got all that it asked for: there is more.
        self._backlog = False
        self._gather_policy = Gather()
        #: Outcomes that the pump waits for before it wants to be woken.
        self._wanted = 0

    # -- what consumers call ---------------------------------------------------------------------

    def subscribe(self, queue: str, prefetch: int) -> SimpleQueue[JobProxy]:
        """Begin to claim from a queue; its jobs come into the inbox.

        All queues together hold no more jobs than their `prefetch` adds up to.
        """
        inbox: SimpleQueue[JobProxy] = SimpleQueue()
        with self._lock:
            self._inboxes[queue] = inbox
            self._prefetch[queue] = prefetch
        # It may listen already, to the queues that there were before. Not after the claim, which arms it.
        self._bell.hush()
        with self._lock:
            self._claiming = True
            self._claim_wanted = True
            if self._run is None:
                self._run = self._start()
            self._work.notify()
        return inbox

    def unsubscribe(self, queue: str, inbox: SimpleQueue[JobProxy]) -> None:
        """Claim no more from a queue and give back what nobody began.

        The last one ends the threads, unless jobs still run: they need their leases.
        """
        with self._lock:
            if self._inboxes.get(queue) is not inbox:
                return
            del self._inboxes[queue]
        waiting = []
        while not inbox.empty():
            waiting.append(inbox.get_nowait())
        self.release(waiting)
        with self._lock:
            last = not self._inboxes and all(proxy.packed for proxy in self._held.values())
        if last:
            self.stop()

    def stop_claiming(self) -> None:
        """The worker shuts down: run what is held, take nothing new."""
        with self._lock:
            self._claiming = False
        self._bell.hush()

    def finish(self, proxy: JobProxy, *, failed: bool) -> None:
        """Hand over how an attempt ended. Returns at once; the pump commits it."""
        outcome = self._endings.packed(proxy, failed=failed)
        reports: tuple[Report, ...] = ()
        if proxy.said_something:
            spoken = proxy.reports.take(everything=True)
            reports = tuple(Report(proxy.claimed.job, *said) for said in spoken)
        proxy.forget()
        with self._lock:
            if reports:
                self._reports.drop(proxy)
            self._finished.append(Finished(proxy, outcome, reports))
            if len(self._finished) >= self._wanted:
                self._work.notify()
            orphaned = self._run is None
        if orphaned:
            # The threads have ended already: the broker was closed before the last ack.
            over = threading.Event()
            over.set()
            self._commit(*self._take(), (), over)

    def release(self, proxies: Sequence[JobProxy]) -> None:
        """Give jobs that were not begun back to their queues, at once."""
        try:
            self._calls.release(proxies, "the worker stopped before it began")
        except RedisError as error:
            self._log.warning("release_failed", jobs=len(proxies), error=str(error))
        with self._lock:
            for proxy in proxies:
                self._held.drop(proxy)

    def report_at(self, proxy: JobProxy, at: float) -> None:
        """A job has said something that is due at a time (monotonic seconds)."""
        with self._lock:
            if proxy.lease in self._held and self._reports.add(proxy, at):
                self._work.notify()

    def say_deadline(self, proxy: JobProxy, at: float) -> None:
        """An attempt must be over at a time (monotonic seconds)."""
        self._held.holds.limit(proxy.slot, at)

    def recorded_steps(self, proxy: JobProxy) -> dict[bytes, bytes]:
        """What earlier attempts of a job recorded, in one round trip."""
        return self._calls.recorded_steps(proxy)

    @property
    def silent(self) -> bool:
        """Whether nothing is sent any more."""
        return self._run is None

    def stop(self) -> None:
        """Commit what is finished, then end the threads. Safe to call twice."""
        with self._lock:
            run, self._run = self._run, None
            self._claiming = False
            if run is None:
                return
            run.stopped.set()
            self._work.notify_all()
        self._bell.hush()
        deadline = time.monotonic() + DRAIN
        for thread in run.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        # What still runs goes on until the process ends; only then may it begin elsewhere.
        if not (self._held and self._keeper.stay_behind()):
            self._keeper.stop()
        if self._finished:
            self._log.warning("outcomes_left_to_leases", outcomes=len(self._finished))

    # -- the pump: one round trip after the other -------------------------------------------------

    def _start(self) -> _Run:
        run = _Run()
        if self._by_command:
            self._keeper.start()
        bodies = (("pump", self._pump), ("bell", self._bell.listen), ("heart", self._heart.beat))
        for name, body in bodies:
            thread = threading.Thread(target=body, args=(run.stopped,), name=f"triton-{name}")
            thread.daemon = True
            run.threads.append(thread)
            thread.start()
        return run

    def _pump(self, stopped: threading.Event) -> None:
        if self._by_command:
            stopped.wait(SETTLE)
        while True:
            with self._lock:
                while not (self._finished or self._claim_wanted or stopped.is_set()):
                    wait = self._reports.next - time.monotonic()
                    if wait <= 0:
                        break
                    self._work.wait(None if wait == math.inf else wait)
                if stopped.is_set() and not self._finished:
                    return
                self._gather(stopped)
            try:
                finished, reports = self._take()
                self._commit(finished, reports, self._claims(finished), stopped)
            except Exception:
                # A worker that goes on without a pump would keep its jobs for ever, and one whose claim went
                # astray would wait for ever: nothing was armed that wakes it.
                self._log.exception("trip_failed")
                stopped.wait(1.0)
                self._rung()

    def _gather(self, stopped: threading.Event) -> None:
        """While there is a backlog, let more jobs end before the trip. Called with the lock, and waits
        without it."""
        if not (self._backlog and self._finished):
            return
        wanted = self._gather_policy.wanted(min(len(self._held), self.threads))
        self._wanted = wanted
        deadline = time.monotonic() + LONGEST
        while len(self._finished) < wanted and not stopped.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._work.wait(left)
        self._wanted = 0
        self._gather_policy.came(len(self._finished), wanted)

    def _take(self) -> tuple[list[Finished], list[Report]]:
        with self._lock:
            reports = self._reports.take()
            finished = self._finished[:CHUNK]
            del self._finished[:CHUNK]
        return finished, reports

    def _claims(self, finishing: Sequence[Finished]) -> list[Claim]:
        """The claims of this trip."""
        with self._lock:
            wanted, self._claim_wanted = self._claim_wanted, False
            if self._bell.listening and not wanted and not any(f.proxy.outbox for f in finishing):
                # Nothing was ready a moment ago, and the bell tells of what is ready since.
                return []
            free = max(0, self._free() + len(finishing))
            if not self._claiming or not self._inboxes or not (free or wanted):
                return []
            queues = list(self._inboxes)
        return self._shares.claims(queues, free, wanted=wanted)

    def _commit(
        self,
        finished: list[Finished],
        reports: list[Report],
        claims: Sequence[Claim],
        stopped: threading.Event,
    ) -> None:
        trip = self._calls.trip(reports, finished, claims)
        if not trip.calls:
            return
        replies: list[Any] | None = None
        try:
            replies = self._calls.send(trip, finished, stopped)
        finally:
            with self._lock:
                for each in finished:
                    self._held.drop(each.proxy)
            trip.give_receipts(replies)
        if replies is None:
            self._log.error("outcomes_left_to_leases", outcomes=len(finished))
            return
        for each, answer in trip.refused(replies):
            self._log.warning("outcome_refused", job=each.proxy.claimed.job, answer=answer)
        if claims:
            self._receive(claims, trip.claimed(replies))

    def _free(self) -> int:
        allowed = sum(self._prefetch[queue] for queue in self._inboxes)
        return min(self.threads, allowed) - len(self._held)

    def _receive(self, claims: Sequence[Claim], replies: Sequence[ClaimReply]) -> None:
        proxies = [self._proxy(job) for reply in replies for job in reply.jobs]
        more = any(
            len(reply.jobs) >= claim.limit > 0 for claim, reply in zip(claims, replies, strict=True)
        )
        due = [reply.due_in_ms / 1000 for reply in replies if reply.due_in_ms is not None]
        unwanted = []
        with self._lock:
            for proxy in proxies:
                self._held.add(proxy)
                inbox = self._inboxes.get(proxy.queue_name)
                if proxy.packed:
                    continue
                if inbox is None:
                    unwanted.append(proxy)
                else:
                    inbox.put(proxy)
            self._backlog = more
            free = self._free() > 0
            # One partition gave all that was asked of it while another had less than its share.
            self._claim_wanted = self._claim_wanted or (free and more)
            idle = free and self._claiming and not self._claim_wanted
        if unwanted:
            self.release(unwanted)
        if idle:
            self._bell.arm(min([IDLE_BLOCK, *due]))

    def _proxy(self, job: Claimed) -> JobProxy:
        try:
            return JobProxy(message_of(job), job, self)
        except DecodeError as error:
            proxy = JobProxy(Message(job.queue, "", (), {}, {}, job.job), job, self)
            outcome = self._endings.unreadable(proxy, error)
            proxy.forget()
            with self._lock:
                self._finished.append(Finished(proxy, outcome))
            return proxy

    # -- what the bell and the heart ask -----------------------------------------------------------

    def _bells(self) -> list[str]:
        with self._lock:
            return [
                keys.bell(prefix, queue) for prefix in self._prefixes for queue in self._inboxes
            ]

    def _rung(self) -> None:
        with self._lock:
            self._claim_wanted = self._claiming
            self._work.notify()

    def _holding(self) -> list[JobProxy]:
        with self._lock:
            return list(self._held.values())

    def _beating(self, held: int) -> None:
        """The interpreter runs. A process that never held a job for a while needs no keeper."""
        if held or self._keeper.started:
            self._keeper.beat()

    def _about(self) -> bytes:
        with self._lock:
            queues = sorted(self._inboxes)
            held = [proxy.lease for proxy in self._held.values()]
        about = About(
            host=socket.gethostname(),
            pid=self.pid,
            since=self._since,
            threads=self.threads,
            queues=queues,
            version=triton.__version__,
            jobs=held,
            ended=self._endings.pace.last_minute(),
        )
        return encode_about(about)
