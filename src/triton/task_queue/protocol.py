"""Owns what every task queue can be asked, and the answers, 'I cannot tell' among them. Pure."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

import msgspec
from dramatiq import Message
from dramatiq.broker import Broker

#: `unknown`: this queue cannot tell, or knows no such task (any more).
TaskState: TypeAlias = Literal[
    "unknown", "scheduled", "pending", "processing", "completed", "failed", "cancelled"
]
#: `cancelled`: it will not run. `requested`: it runs, and was asked to stop. `ended`: too late.
#: `missing`: there is no such task. `unsupported`: this queue cannot cancel.
Cancellation: TypeAlias = Literal["cancelled", "requested", "ended", "missing", "unsupported"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was when the queue was asked. Keep it, or its parts, to ask again."""

    id: str
    state: TaskState
    actor: str = ""
    queue: str = ""
    #: What the actor returned, if it completed and the queue kept it.
    result: Any = None
    #: `Type: message` of what it failed with.
    error: str = ""


class TaskQueue(Protocol):
    """Safe to use from any thread."""

    @property
    def broker(self) -> Broker:
        """The Dramatiq broker that actors are declared on and workers run."""

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Task:
        """Submit what `actor.message(...)` made, `delay` milliseconds from now; `state` is as asked for.

        Raises dramatiq's ConnectionClosed where it does not answer, as `status` and `cancel` do.
        """

    def status(self, task: Task | str) -> Task:
        """How a task stands, by what `enqueue` answered or by its id."""

    def cancel(self, task: Task | str, *, reason: str = "") -> Cancellation:
        """End a task that waits, ask one that runs to stop."""

    def close(self) -> None:
        """End all connections."""
