"""Owns what the Lua scripts answer, and how a reply is read. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, cast

#: Of a report, an outcome or a release.
Answer: TypeAlias = Literal["ok", "already", "stale", "missing"]
CancelAnswer: TypeAlias = Literal["cancelled", "requested", "already", "ended", "missing"]
RequeueAnswer: TypeAlias = Literal["ok", "already", "ended", "held", "missing", "changed"]


class Claimed(NamedTuple):
    """A job under this worker's lease."""

    job: str
    attempt: int
    body: bytes
    queue: str
    tenant: str
    causation: str
    correlation: str
    traceparent: str
    #: Microseconds of the server's clock for which it was ready before; -1 where that is not known.
    waited: int = -1


class ClaimReply(NamedTuple):
    """What a claim got."""

    #: Milliseconds until the next scheduled job of these queues is due; None: none is.
    due_in_ms: int | None
    jobs: list[Claimed]


def answers(reply: object) -> list[str]:
    """The words of a reply that is a list of words."""
    return [word.decode() for word in cast("list[bytes]", reply)]


def claimed(reply: object) -> ClaimReply:
    """The reply of a claim, read."""
    due, *jobs = cast("list[object]", reply)
    due_in_ms = cast("int", due)
    return ClaimReply(
        None if due_in_ms < 0 else due_in_ms,
        [
            Claimed(
                job.decode(),
                attempt,
                body,
                queue.decode(),
                tenant.decode(),
                causation.decode(),
                correlation.decode(),
                trace.decode(),
                waited,
            )
            for job, attempt, body, queue, tenant, causation, correlation, trace, waited in cast(
                "list[tuple[bytes, int, bytes, bytes, bytes, bytes, bytes, bytes, int]]", jobs
            )
        ],
    )
