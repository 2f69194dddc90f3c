"""Owns what one process counts of the log as it goes by: jobs by queue, actor, tenant; waits; durations.

The log says of an attempt when it started and when it ended, in two entries; its actor is in a third. So what
is between them is remembered of jobs that are not ended: of all of them up to ROOM, and beyond that of every
second, fourth and so on, each of which then counts for as many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from prometheus_client.core import Metric

from triton.api.metrics.families import MOST, Names, family, histogram
from triton.events.entries import Entry

#: Jobs that are remembered at most: about 250 bytes each.
ROOM: Final = 20_000
UNKNOWN: Final = "(unknown)"
_BOUNDS: Final = (
    0.01,
    0.025,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
)
#: Where an entry's flat list has these values.
_TYPE, _JOB, _AT, _TENANT, _QUEUE, _DATA = 1, 3, 9, 19, 21, 25
_OF_TENANTS: Final = frozenset({"submitted", "completed", "failed", "cancelled"})


class _Submitted(msgspec.Struct):
    """What is needed of `job.submitted`."""

    actor: str


class _Open(NamedTuple):
    """A job that is not ended: since when it waits or runs, in microseconds since 1970."""

    actor: str
    since: int
    runs: bool


class _Buckets:
    """Seconds by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def add(self, micros: int, weight: int) -> None:
        seconds = max(0, micros) / 1e6
        self._counts[bisect_left(_BOUNDS, seconds)] += weight
        self.total += seconds * weight

    def cumulated(self) -> list[tuple[str, float]]:
        found, count = [], 0
        for bound, more in zip((*map(str, _BOUNDS), "+Inf"), self._counts, strict=True):
            count += more
            found.append((bound, float(count)))
        return found


def _whole(
    counts: Counter[tuple[str, str]], events: Collection[str]
) -> Iterator[tuple[tuple[str, str], float]]:
    """With zeros for what did not happen yet: a series that begins above 0 has its beginning overlooked."""
    for name in dict.fromkeys(name for name, _ in counts):
        for event in events:
            yield (name, event), counts[name, event]


_decode: Final = msgspec.msgpack.Decoder(_Submitted).decode


class JobFigures:
    """`see` is called with the entries of each partition in order; what was seen before is passed over."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._open: dict[bytes, _Open] = {}
        self._share = 1
        self._seen: dict[int, tuple[str, int]] = {}
        self._events: Counter[bytes] = Counter()
        self._queues: Counter[tuple[str, str]] = Counter()
        self._actors: Counter[tuple[str, str]] = Counter()
        self._tenants: Counter[tuple[str, str]] = Counter()
        self._waits: dict[str, _Buckets] = {}
        self._durations: dict[str, _Buckets] = {}
        self._queue_names, self._actor_names, self._tenant_names = Names(), Names(), Names()
        self._on: Final[dict[bytes, tuple[str, Callable[[Sequence[bytes], str], None]]]] = {
            b"job.submitted": ("submitted", self._submitted),
            b"job.due": ("", self._due),
            b"job.started": ("started", self._started),
            b"job.retry_scheduled": ("retry_scheduled", self._again),
            b"job.snoozed": ("snoozed", self._again),
            b"job.released": ("released", self._again),
            b"job.lease_lost": ("lease_lost", self._again),
            b"job.completed": ("completed", self._ended),
            b"job.failed": ("failed", self._ended),
            b"job.cancelled": ("cancelled", self._ended),
            b"job.requeued": ("requeued", self._requeued),
        }

        self._words: Final = [event for event, _ in self._on.values() if event]

    def see(self, epoch: str, entries: Sequence[Entry]) -> None:
        """Entries of one partition in the life that it has."""
        for partition, position, fields in entries:
            known = self._seen.get(partition)
            if known is not None and known[0] == epoch and position <= known[1]:
                continue  # the feed read anew what it had read
            self._seen[partition] = epoch, position
            kind = fields[_TYPE]
            self._events[kind] += 1
            found = self._on.get(kind)
            if found is None:
                continue
            event, fold = found
            if event:
                self._queues[self._queue_names.of(fields[_QUEUE]), event] += 1
                if event in _OF_TENANTS:
                    self._tenants[self._tenant_names.of(fields[_TENANT]), event] += 1
            if self._share == 1 or not hash(fields[_JOB]) % self._share:
                fold(fields, event)

    def expect(self, queues: Collection[str]) -> None:
        """Count these from 0 on before anything happens in them, where there is room for all: what a new
        queue's first jobs do all at once would be its first figure otherwise, and no rate has that."""
        if len(queues) <= MOST:
            for queue in queues:
                self._queues[self._queue_names.of(queue.encode()), "submitted"] += 0

    def forget(self) -> None:
        """Count from here on: what was seen so far is of the time before this process. Prometheus would take
        it for what happened since the process before."""
        for counter in (self._events, self._queues, self._actors, self._tenants):
            counter.clear()
        self._waits.clear()
        self._durations.clear()

    def families(self) -> list[Metric]:
        return [
            family("triton_events_total", (((k.decode(),), n) for k, n in self._events.items())),
            family("triton_jobs_total", _whole(self._queues, self._words)),
            family("triton_actor_jobs_total", _whole(self._actors, self._words)),
            family("triton_tenant_jobs_total", _whole(self._tenants, _OF_TENANTS)),
            histogram(
                "triton_job_seconds",
                (((name,), one.cumulated(), one.total) for name, one in self._durations.items()),
            ),
            histogram(
                "triton_job_wait_seconds",
                (((name,), one.cumulated(), one.total) for name, one in self._waits.items()),
            ),
        ]

    def _submitted(self, fields: Sequence[bytes], event: str) -> None:
        at = int(fields[_AT])
        try:
            actor = self._actor_names.of(_decode(fields[_DATA]).actor.encode())
        except (msgspec.DecodeError, UnicodeEncodeError):
            actor = UNKNOWN  # whoever reads it says so
        self._actors[actor, event] += self._share
        self._keep(fields[_JOB], _Open(actor, at, runs=False))

    def _due(self, fields: Sequence[bytes], _event: str) -> None:
        job = fields[_JOB]
        if (known := self._open.get(job)) is not None:
            self._open[job] = _Open(known.actor, int(fields[_AT]), runs=False)

    def _started(self, fields: Sequence[bytes], event: str) -> None:
        job, at = fields[_JOB], int(fields[_AT])
        known = self._open.get(job)
        actor = known.actor if known is not None else UNKNOWN
        self._actors[actor, event] += self._share
        if known is not None:
            queue = self._queue_names.of(fields[_QUEUE])
            self._waits.setdefault(queue, _Buckets()).add(at - known.since, self._share)
        self._keep(job, _Open(actor, at, runs=True))

    def _again(self, fields: Sequence[bytes], event: str) -> None:
        job = fields[_JOB]
        actor = self._left(fields, self._open.get(job), event)
        self._keep(job, _Open(actor, int(fields[_AT]), runs=False))

    def _ended(self, fields: Sequence[bytes], event: str) -> None:
        self._left(fields, self._open.pop(fields[_JOB], None), event)
        if self._share > 1 and len(self._open) < self._room // 8:
            self._share //= 2

    def _requeued(self, fields: Sequence[bytes], event: str) -> None:
        self._actors[UNKNOWN, event] += self._share
        self._keep(fields[_JOB], _Open(UNKNOWN, int(fields[_AT]), runs=False))

    def _left(self, fields: Sequence[bytes], known: _Open | None, event: str) -> str:
        """An attempt is over. Its actor."""
        actor = known.actor if known is not None else UNKNOWN
        self._actors[actor, event] += self._share
        if known is not None and known.runs:
            took = int(fields[_AT]) - known.since
            self._durations.setdefault(actor, _Buckets()).add(took, self._share)
        return actor

    def _keep(self, job: bytes, state: _Open) -> None:
        self._open[job] = state
        while len(self._open) > self._room:
            self._share *= 2
            self._open = {
                job: state for job, state in self._open.items() if not hash(job) % self._share
            }
