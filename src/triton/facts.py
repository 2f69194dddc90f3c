"""Owns what is known of a job that is to be explained: its state, its queue, what happened to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from triton.causes import Happened


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who paused a queue, when (microseconds since 1970, 0 for unknown) and why."""

    by: str
    at: int = 0
    reason: str = ""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The job's queue as it is now."""

    name: str
    #: Jobs that wait and that run, in all partitions.
    waiting: int = 0
    running: int = 0
    #: Jobs that will be claimed before this one; None where it does not wait there.
    ahead: int | None = None
    #: Workers that said so; a new one says it with its first heartbeat. None where nobody counts them.
    workers: int | None = None
    paused: Pause | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known. Times are microseconds since 1970 by the log server's clock, 0 for "not"."""

    now: int
    job: str
    state: str
    attempt: int
    queue: Queue
    actor: str = ""
    #: Whether a worker ever said that it has this actor.
    declared: bool = True
    due: int = 0
    started: int = 0
    finished: int = 0
    worker: str = ""
    percent: float = 0.0
    stage: str = ""
    cancel_requested: bool = False
    #: `{"type", "message", ...}` of the last failed attempt.
    error: dict[str, Any] | None = None
    reason: str = ""
    #: When the running job's worker counts as dead.
    lease_until: int = 0
    #: Whether the message is there still, so that the job can be requeued.
    has_message: bool = True
    #: Oldest first, without TALK; where it was cut, the oldest are missing.
    events: Sequence[Happened] = ()
