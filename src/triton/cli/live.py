"""Owns what a job's stream tells: its state after each message, and each event in a person's words. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from triton.client.sse import END, RESET, SNAPSHOT, UNNAMED, Message

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
_STATES: Final = {
    "job.due": "pending",
    "job.started": "processing",
    "job.retry_scheduled": "scheduled",
    "job.snoozed": "scheduled",
    "job.released": "pending",
    "job.lease_lost": "pending",
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
    "job.requeued": "pending",
}


class Event(msgspec.Struct, frozen=True):
    """One event of a job, of the stream or of its history: what is shown of it."""

    type: str
    subject: str
    #: RFC 3339.
    time: str
    partition: int
    position: int
    version: int
    attempt: int
    by: str
    data: dict[str, Any]


class LiveJob(msgspec.Struct):
    """What is known of a job by its stream alone."""

    id: str
    state: str = "pending"
    percent: float = 0.0
    stage: str = ""
    attempt: int = 0
    version: int = 0
    partition: int = 0
    position: int = 0
    #: Of a failed job, or of an attempt after which another follows: `Type: message`.
    error: str = ""
    #: Of a cancelled job.
    reason: str = ""
    result: Any = None
    ended: bool = False

    def take(self, message: Message) -> Event | None:
        """Go on to the state after a message; answers the event that it carries, if it does."""
        if message.event == UNNAMED:
            event = msgspec.json.decode(message.data, type=Event)
            self._apply(event)
            return event
        if message.event == SNAPSHOT:
            self._restart(msgspec.json.decode(message.data))
        elif message.event == RESET:
            self.version = 0
        elif message.event == END:
            self.state = str(msgspec.json.decode(message.data)["state"])
            self.ended = True
        return None

    def _restart(self, view: dict[str, Any]) -> None:
        for name in ("state", "percent", "stage", "attempt", "version", "partition", "position"):
            setattr(self, name, view[name])
        self.result = view["result"]
        self.error = error_text(view["error"])
        self.reason = view["reason"] if view["state"] == "cancelled" else ""

    def _apply(self, event: Event) -> None:
        self.version, self.attempt = event.version, event.attempt
        self.partition, self.position = event.partition, event.position
        data = event.data
        self.state = _STATES.get(event.type, self.state)
        if event.type == "job.submitted":
            self.state = "scheduled" if data.get("due") else "pending"
        elif event.type == "job.started":
            self.percent, self.stage = 0.0, ""
        elif event.type == "job.progressed":
            self.percent, self.stage = data["percent"], data.get("stage", "")
        elif event.type == "job.completed":
            self.percent, self.result, self.error = 100.0, data.get("result"), ""
        elif event.type in ("job.failed", "job.retry_scheduled"):
            self.error = error_text(data.get("error"))
        elif event.type == "job.cancelled":
            self.reason = data.get("reason", "")
        elif event.type == "job.requeued":
            self.error, self.reason, self.result = "", "", None


def error_text(error: dict[str, Any] | None) -> str:
    """`Type: message` of an error as views and events hold it; empty for none."""
    if not error:
        return ""
    return ": ".join(part for part in (error.get("type"), error.get("message")) if part)


def words(event: Event) -> str:
    """What is special to the event, on one line."""
    say = _WORDS.get(event.type)
    said = say(event.data) if say else str(event.data.get("reason", ""))
    return _cut(" ".join(said.split()), 200)


def clock(time: str) -> str:
    """`12:00:00.123` in local time of an RFC 3339 time; empty for none."""
    if not time:
        return ""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _at(what: str, time: str | None) -> str:
    return f"{what} {clock(time)}" if time else ""


def _short(value: Any, limit: int = 100) -> str:
    return _cut(msgspec.json.encode(value).decode(), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _submitted(data: dict[str, Any]) -> str:
    args = [_short(value) for value in data.get("args") or ()]
    args += [f"{name}={_short(value)}" for name, value in (data.get("kwargs") or {}).items()]
    return f"{data.get('actor')}({', '.join(args)}){_at(' due', data.get('due'))}"


_WORDS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "job.submitted": _submitted,
    "job.started": lambda data: f"by {data.get('worker')}",
    "job.progressed": lambda data: f"{data['percent']:.0f} % {data.get('stage', '')}",
    "job.output": lambda data: str(data.get("chunk", "")),
    "job.step_completed": lambda data: str(data.get("name", "")),
    "job.retry_scheduled": lambda data: (
        f"{error_text(data.get('error'))}{_at('; next attempt at', data.get('due'))}"
    ),
    "job.snoozed": lambda data: f"{data.get('reason', '')}{_at(' until', data.get('due'))}",
    "job.lease_lost": lambda data: f"worker {data.get('worker')} is gone",
    "job.completed": lambda data: data.get("omitted") or _short(data.get("result")),
    "job.failed": lambda data: error_text(data.get("error")),
}
