"""Owns the calls of the Lua scripts, with typed arguments.

A call is plain data (script, key, arguments), built here without I/O; `triton.events.client` sends it, and
`triton.events.replies` reads what came back.
Every script answers the same to a resend, so a client may repeat a call whose reply it lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

import msgspec

from triton import keys
from triton.events.codec import encode_data
from triton.events.sources import NAMES, Script, compose
from triton.events.submission import Submission
from triton.events.types import (
    AdministrativeData,
    Cancelled,
    Completed,
    Failed,
    Output,
    Progressed,
    QueueDrained,
    QueuePaused,
    QueueResumed,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    type_of,
)
from triton.settings import Settings

#: Jobs in one call at most: bounds how long one script holds the server.
CHUNK: Final = 200
#: Milliseconds for which the operation id of an administrative event is known: a day.
NOTE_MS: Final = 24 * 3600 * 1000
#: Entries that leave the log in one call at most: likewise.
TRIM: Final = 200

Hold: TypeAlias = Literal["paused", "draining", "open"]

#: The arguments of one report or outcome.
Packed: TypeAlias = tuple[bytes, ...]

_HOLDS: Final[dict[Hold, type[QueuePaused | QueueDrained | QueueResumed]]] = {
    "paused": QueuePaused,
    "draining": QueueDrained,
    "open": QueueResumed,
}
_pack: Final = msgspec.msgpack.Encoder().encode
_NO_HEADS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})


class Call(NamedTuple):
    """One EVALSHA: the script, its one declared key, its arguments."""

    script: Script
    key: str
    args: tuple[bytes | str | int, ...]
    #: All scripts that are loaded together with this one, where the server forgot it.
    family: tuple[Script, ...]


class Scripts:
    """All scripts of one log, and how to call them.

    completed_ttl_ms and failed_ttl_ms say how long the head of an ended job stays in Redis.
    """

    def __init__(
        self,
        *,
        completed_ttl_ms: int = 24 * 3600 * 1000,
        failed_ttl_ms: int = 7 * 24 * 3600 * 1000,
        clock: str | None = None,
    ) -> None:
        self.by_name = {name: compose(name, clock) for name in NAMES}
        self._family = tuple(self.by_name.values())
        self._completed_ttl = completed_ttl_ms
        self._failed_ttl = failed_ttl_ms

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """For a log whose ended jobs stay for as long as the settings say."""
        return cls(completed_ttl_ms=settings.completed_ttl_ms, failed_ttl_ms=settings.failed_ttl_ms)

    def _call(self, name: str, prefix: str, *args: bytes | str | int) -> Call:
        return Call(self.by_name[name], keys.log(prefix), (prefix, *args), self._family)

    def open(self, prefix: str, epoch: str, partitions: int) -> Call:
        """Create the partition's log if there is none. Answers (epoch, partitions, position, layout)."""
        args = (epoch, partitions, keys.LAYOUT)
        return Call(self.by_name["open"], keys.meta(prefix), args, self._family)

    def adopt(self, prefix: str, epoch: str, new: str) -> Call:
        """Begin a new epoch where the partition has this one. Answers `ok`, `already` or `other`."""
        return Call(self.by_name["adopt"], keys.meta(prefix), (epoch, new), self._family)

    def submit(self, prefix: str, submissions: Sequence[Submission]) -> Call:
        """Answers a word for each, some with a job's id behind it (see `answers`, then
        `triton.verdict`). At most CHUNK at a time.
        """
        args = [arg for s in submissions for arg in s.args()]
        return self._call("submit", prefix, self._failed_ttl, *args)

    def claim(
        self,
        prefix: str,
        *,
        worker: str,
        op: str,
        queues: Sequence[str],
        limit: int,
        lease_ms: int,
        max_deaths: int,
    ) -> Call:
        """Take up to `limit` ready jobs of the queues, the first queue first (see `claimed`).

        `op` names this claim: the same op again gets the same jobs, never more.
        """
        started = encode_data(Started(worker=worker))
        request = (worker, op, lease_ms, limit, max_deaths, self._failed_ttl, queues)
        return self._call("claim", prefix, _pack(request), started)

    def heartbeat(
        self,
        prefix: str,
        lease_ms: int,
        held: Sequence[tuple[str, int]],
        *,
        worker: str = "",
        about: bytes = b"",
    ) -> Call:
        """Extend the leases of (job, attempt). Answers `ok`, `cancel` or `stale` for each.

        `worker` is kept for one lease as one that lives, with `about` it or what it said of itself before.
        """
        flat = [part for job, attempt in held for part in (job, attempt)]
        header = _pack((lease_ms, self._failed_ttl, worker))
        return self._call("heartbeat", prefix, header, about, *flat)

    def report(self, prefix: str, reports: Sequence[Packed]) -> Call:
        """Answers an `Answer` for each of the packed reports (see `pack_report`)."""
        return self._call("report", prefix, *(arg for packed in reports for arg in packed))

    def finish(self, prefix: str, outcomes: Sequence[Packed]) -> Call:
        """Answers an `Answer` for each of the packed outcomes (see `pack_outcome`)."""
        args = (arg for packed in outcomes for arg in packed)
        return self._call("finish", prefix, self._completed_ttl, self._failed_ttl, *args)

    def release(
        self, prefix: str, held: Sequence[tuple[str, int]], *, by: str, reason: str = ""
    ) -> Call:
        """Give (job, attempt) back to their queues. Answers an `Answer` for each."""
        data = encode_data(Released(reason=reason))
        packed = (_pack((job, attempt, by)) for job, attempt in held)
        return self._call("release", prefix, self._failed_ttl, data, *packed)

    def cancel(
        self,
        prefix: str,
        jobs: Sequence[str],
        *,
        op: str,
        by: str,
        reason: str = "",
        cause: str = "",
    ) -> Call:
        """`cause` is what the events came of, such as `request:ID`; without one, what the job came of.
        Answers a `CancelAnswer` for each."""
        packed = (_pack((job, op, by, reason, cause)) for job in jobs)
        return self._call("cancel", prefix, self._failed_ttl, *packed)

    def requeue(
        self,
        prefix: str,
        jobs: Sequence[tuple[str, bytes]],
        *,
        op: str,
        by: str,
        reason: str = "",
        cause: str = "",
        read: tuple[str, int] | None = None,
        heads: Mapping[str, Mapping[str, Any]] = _NO_HEADS,
    ) -> Call:
        """Send (job, new body or b"") round again; `cause` as for `cancel`. Answers a `RequeueAnswer` for
        each.

        `heads` are the fields of heads that have left Redis, by job, made of all that happened up to the
        epoch and position `read`. Where more happened to a job since, or that cannot be told, the answer
        is `changed`.
        """
        data = encode_data(Requeued(reason=reason))
        args: list[Any] = []
        for job, body in jobs:
            fields = [part for pair in heads.get(job, {}).items() for part in pair]
            args += (_pack((job, op, by, len(fields), cause)), body, *fields)
        return self._call("requeue", prefix, data, _pack(read) if read else b"", *args)

    def hold(
        self,
        prefix: str,
        queue: str,
        state: Hold,
        *,
        by: str,
        reason: str = "",
        correlation: str = "",
    ) -> Call:
        """Pause, drain or open a queue in one partition. Answers `ok` or `already`."""
        data = encode_data(_HOLDS[state](queue=queue, reason=reason))
        return self._call("hold", prefix, _pack((queue, state, by, reason, correlation)), data)

    def note(
        self,
        prefix: str,
        data: AdministrativeData,
        *,
        op: str,
        by: str,
        tenant: str = "",
        correlation: str = "",
        known_ms: int = NOTE_MS,
    ) -> Call:
        """Append an administrative event. Answers its position (int). `correlation` is what it came of: the
        id of a request.

        `op` names it: within `known_ms` the same op again appends nothing and gets the same position.
        """
        header = _pack((op, type_of(data), by, tenant, known_ms, correlation))
        return self._call("note", prefix, header, encode_data(data))

    def reserve(self, prefix: str, epoch: str, partitions: int) -> Call:
        """Reserve an empty partition for a restore. Answers a pair: `ok` or `again` and the epoch, or `taken`
        and the position of the log that is there."""
        script = self.by_name["reserve"]
        args = (epoch, partitions, keys.log(prefix))
        return Call(script, keys.meta(prefix), args, self._family)

    def restored(self, prefix: str, epoch: str, fields: Sequence[tuple[str, str | int]]) -> Call:
        """End a restore, with these fields of meta. Answers `ok`, `already` or `other`."""
        script = self.by_name["restored"]
        args = (epoch, keys.LAYOUT, *(part for field in fields for part in field))
        return Call(script, keys.meta(prefix), args, self._family)

    def trim(
        self,
        prefix: str,
        upto: int,
        *,
        most: int = TRIM,
        epoch: str = "",
        values: Sequence[bytes] = (),
        grace_ms: int = -1,
    ) -> Call:
        """Let entries up to a position leave the log, the oldest `most` of them in one call.

        Answers the last position that is gone (int): less than `upto`, call again. Messages that jobs
        still need are kept in the same step. What may leave is the caller's to know. With `epoch` and the
        `values` of the entry at `upto`, the server compares both first, and answers -1 where they differ.
        With `grace_ms`, heads of jobs that completed in what leaves stay for so long after their end, or as
        long as their idempotency key asks for, and no longer.
        """
        digest = ""
        if epoch:
            text = b"".join(b"%d:%b" % (len(value), value) for value in values)
            digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return self._call("trim", prefix, upto, most, epoch, digest, grace_ms)


def pack_report(
    job: str, attempt: int, seq: int, by: str, data: Progressed | Output | StepCompleted
) -> Packed:
    """One report of a running job; `seq` counts the attempt's reports from 1."""
    percent, stage, step = 0.0, "", ""
    match data:
        case Progressed():
            percent, stage = data.percent, data.stage
        case StepCompleted():
            step = data.name
        case Output():
            pass
    header = (job, attempt, seq, by, type_of(data), percent, stage, step)
    return _pack(header), encode_data(data)


def pack_outcome(
    job: str,
    attempt: int,
    by: str,
    data: Completed | Failed | Cancelled | RetryScheduled | Snoozed,
    *,
    delay: int = 0,
    body: bytes = b"",
    outbox: Sequence[Submission] = (),
) -> Packed:
    """How an attempt ended. For RetryScheduled and Snoozed, without `due`: the server sets it to its
    time + `delay` microseconds; `body` is the next attempt's message where it changed.
    """
    return pack_ending(
        job, attempt, by, type_of(data), encode_data(data), delay=delay, body=body, outbox=outbox
    )


def pack_ending(
    job: str,
    attempt: int,
    by: str,
    kind: str,
    data: bytes,
    *,
    delay: int = 0,
    body: bytes = b"",
    outbox: Sequence[Submission] = (),
) -> Packed:
    """The same for an event type and data that is encoded already."""
    header = _pack((job, attempt, by, kind, delay, len(outbox)))
    if not outbox:
        return header, data, body
    return (header, data, body, *(arg for s in outbox for arg in s.args()))
