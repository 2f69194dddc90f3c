"""Owns what the checker looks at: the whole log, every key of the server, and the soak's own records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import msgspec
import redis

from soak.history import read_history
from soak.records import Asked, Injected, Note, Wish, now, read
from triton.events.client import connect
from triton.events.envelope import Event
from triton.events.types import Submitted
from triton.settings import Settings

#: A server whose checker was killed goes on after this.
_STILL_MS = 60_000


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of the server."""

    type: str
    #: Milliseconds that it has left; -1 for ever.
    ttl: int
    #: A hash's fields, a sorted set's or a set's members, a list's length, a unique key's holder; else None.
    content: Any = None


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One lease of a job: from the event that started it to the one that ended it."""

    started: Event
    #: None while it holds.
    over: Event | None


class Evidence:
    """Everything that is known after a run. Rules read it and change nothing."""

    def __init__(
        self,
        *,
        events: Sequence[Event],
        asked: Sequence[Asked] = (),
        wishes: Sequence[Wish] = (),
        notes: Sequence[Note] = (),
        keys: dict[str, Key] | None = None,
        partitions: int = 1,
        lease_ms: int = 15_000,
        result_ms: int = 600_000,
        read_at: int = 0,
        looked_ms: int = 0,
        clock_stepped: bool = False,
        namespace: str = "triton",
        dead: Mapping[int, int] | None = None,
    ) -> None:
        #: Partition by partition, in the log's order.
        self.events = events
        self.asked = asked
        self.wishes = wishes
        self.notes = notes
        #: None where the server was not looked at.
        self.keys = keys
        self.partitions = partitions
        self.lease_ms = lease_ms
        #: Milliseconds for which a head stays after its job's end, at least.
        self.result_ms = result_ms
        #: When the server was looked at, in microseconds by the machine's clock; 0: at once.
        self.read_at = read_at
        #: Milliseconds from the first look at a key to the last one.
        self.looked_ms = looked_ms
        #: Whether the server's clock was not the machine's for a while.
        self.clock_stepped = clock_stepped
        self.namespace = namespace
        #: Worker processes that were killed -> when, by the machine's clock.
        self.dead = dead or {}

    @cached_property
    def jobs(self) -> dict[str, list[Event]]:
        """The events of each job, in order. Those that belong to no job are of no interest here."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.job:
                found[event.job].append(event)
        return dict(found)

    @cached_property
    def asked_of(self) -> dict[str, list[Asked]]:
        found: dict[str, list[Asked]] = defaultdict(list)
        for asked in self.asked:
            found[asked.job].append(asked)
        return dict(found)

    @cached_property
    def leases(self) -> dict[str, list[Life]]:
        """The leases of each job, in order."""
        found: dict[str, list[Life]] = defaultdict(list)
        open_: dict[str, Event] = {}
        for event in self.events:
            if event.type == "job.started":
                if event.job in open_:
                    found[event.job].append(Life(started=open_[event.job], over=None))
                open_[event.job] = event
            elif event.type in LEASE_ENDS and event.job in open_:
                found[event.job].append(Life(started=open_.pop(event.job), over=event))
        for job, started in open_.items():
            found[job].append(Life(started=started, over=None))
        return dict(found)

    def pid_of(self, started: Event) -> int:
        """The process that began a lease: `worker:HOST-PID-RANDOM`."""
        parts = started.by.rsplit("-", 2)
        return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0

    def actor_of(self, job: str) -> str:
        """Empty for a job without a beginning."""
        first = self.jobs[job][0].data if job in self.jobs else None
        return first.actor if isinstance(first, Submitted) else ""


#: The events after which a job is under no lease.
LEASE_ENDS = frozenset(
    "job." + word
    for word in (
        *("completed", "failed", "cancelled"),
        *("retry_scheduled", "snoozed", "released", "lease_lost"),
    )
)


def collect(
    settings: Settings,
    journal: Path,
    notes: Path,
    *,
    clock_stepped: bool = False,
    injected: Sequence[Injected] = (),
) -> Evidence:
    """Reads it all, of one moment: whoever would write meanwhile waits, an archiver that trims among them.

    Looks that take longer than `_STILL_MS` are of more than one moment.
    """
    written = list(read(notes, Note, "word"))
    with connect(settings.redis_url) as client, _still(client):
        events, begun = read_history(client, settings), now()
        held, ended = _keys(client), now()
        return Evidence(
            events=events,
            asked=list(read(journal, Asked, "kind")),
            wishes=list(read(journal, Wish, "what")),
            notes=written,
            keys=held,
            partitions=settings.partitions,
            lease_ms=settings.lease_ms,
            result_ms=settings.result_ms,
            read_at=ended,
            looked_ms=(ended - begun) // 1000 + 1,
            clock_stepped=clock_stepped,
            namespace=settings.namespace,
            dead=_dead(injected, written),
        )


@contextmanager
def _still(client: redis.Redis) -> Iterator[None]:
    client.client_pause(_STILL_MS, all=False)
    try:
        yield
    finally:
        client.client_unpause()


def _dead(injected: Sequence[Injected], notes: Sequence[Note]) -> dict[int, int]:
    """Who was killed by a fault, or by an actor in it."""
    found = {note.pid: note.at for note in notes if note.word == "dies"}
    for each in injected:
        if each.kind.startswith("kill-worker"):
            found |= dict.fromkeys(each.pids, each.begun)
    return found


def _keys(client: redis.Redis) -> dict[str, Key]:
    found = {}
    for raw in client.scan_iter("*", count=1000):
        name = cast("bytes", raw).decode()
        kind = cast("bytes", client.type(raw)).decode()
        content: Any = None
        match kind:
            case "hash":
                content = client.hgetall(raw)
            case "zset":
                content = client.zrange(raw, 0, -1, withscores=True)
            case "set":
                content = client.smembers(raw)
            case "string" if ":unique:" in name:
                content = cast("bytes", client.get(raw)).decode()
            case "list":
                content = client.llen(raw)
            case "string" if "}:unique:" in name:
                content = client.get(raw)
        ttl = client.pttl(raw)
        if ttl != -2:
            found[name] = Key(type=kind, ttl=ttl, content=content)
    return found
