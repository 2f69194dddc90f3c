"""Owns what is added to every line of the log, and how lines of other libraries are told in Triton's words.

All of these are processors of structlog; `job_context` is for an application's own configuration too.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

from triton.current import current_proxy
from triton.observe import tracing
from triton.observe.exceptions import as_text, told
from triton.observe.secrets import cleaned

Line = MutableMapping[str, Any]

#: Loggers whose exceptions may quote a job's arguments or a request's values.
_QUIET: Final = ("triton", "dramatiq", "uvicorn", "asyncio", "psycopg", "redis", "concurrent")
_HEX_ID: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
#: What Dramatiq says, and the event and the fields that it is for us; no event where we say it better.
_DRAMATIQ: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "Failed to process message %s with unhandled exception.": ("attempt_failed", ("",)),
    "Failed to process message %s with unhandled exception. %s: [personal]": (
        "attempt_failed",
        ("", "error"),
    ),
    "Failed to process message %s with expected exception %s.": (
        "attempt_failed_as_expected",
        ("", "error"),
    ),
    "Retrying message %r in %d milliseconds.": ("", ()),
    "Retries exceeded for message %r.": ("", ()),
    "Aborting message %r.": ("", ()),
    "Message %s was skipped.": ("message_skipped", ("",)),
    "Rate limit exceeded in message %s: %s.": ("rate_limit_exceeded", ("", "")),
    "Received message %s with id %r.": ("message_received", ("", "job_id")),
    "Received message for undefined actor %r. Moving it to the DLQ.": ("", ()),
    "Message %r has exceeded its age limit.": ("too_old", ("job_id",)),
    "Consumer encountered a connection error: %s": ("consumer_waiting", ("error",)),
    "Restarting consumer in %0.2f seconds.": ("", ()),
    "Dramatiq %r is booting up.": ("booting", ("dramatiq",)),
    "Worker process is ready for action.": ("ready", ()),
    "Shutting down...": ("stopping", ()),
    "Worker has been shut down.": ("stopped", ()),
}
#: Fields with what an engine's driver says, on several lines.
_SENTENCES: Final = ("event", "error", "reason")


def job_context(_logger: Any, _method: str, line: Line) -> Line:
    """Adds `job_id`, `attempt`, `actor`, `queue`, `tenant`, `correlation` and `trace_id` to what is logged
    within an actor, where the line does not say otherwise. A job that logs nothing pays nothing."""
    if "job" in line:
        line.setdefault("job_id", line.pop("job"))
    proxy = current_proxy.get()
    trace = tracing.trace_id()
    if proxy is not None and line.get("job_id", proxy.claimed.job) == proxy.claimed.job:
        claimed = proxy.claimed
        line.setdefault("job_id", claimed.job)
        line.setdefault("attempt", claimed.attempt)
        line.setdefault("actor", proxy.actor_name)
        line.setdefault("queue", claimed.queue)
        line.setdefault("tenant", claimed.tenant)
        if claimed.correlation:
            line.setdefault("correlation", claimed.correlation)
        trace = trace or trace_of(claimed.traceparent)
    if trace:
        line.setdefault("trace_id", trace)
    return line


class JobFilter(logging.Filter):
    """The same for the standard library: put it on a handler, and records have these attributes, empty
    outside of an actor, for a formatter such as `%(message)s job=%(job_id)s`."""

    NAMES: Final = ("job_id", "attempt", "actor", "queue", "tenant", "correlation", "trace_id")

    def filter(self, record: logging.LogRecord) -> bool:
        found = job_context(None, "", {})
        for name in self.NAMES:
            if not hasattr(record, name):
                setattr(record, name, found.get(name, ""))
        return True


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str) else str(value)


def trace_of(traceparent: str) -> str:
    """The trace id of a W3C traceparent; empty where it is none."""
    found = _HEX_ID.fullmatch(traceparent)
    return found[1] if found is not None else ""


class Process:
    """Adds which process speaks."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, _logger: Any, _method: str, line: Line) -> Line:
        line["role"] = self._role
        # Asked each time: the process may be a fork of the one that was configured.
        line["pid"] = os.getpid()
        return line


class Exceptions:
    """Turns `exc_info` into the field `exception`; its words are told where `words`, and where the line is an
    application's own."""

    def __init__(self, *, words: bool, text: bool) -> None:
        self._words = words
        self._text = text

    def __call__(self, _logger: Any, _method: str, line: Line) -> Line:
        given = line.pop("exc_info", None)
        if not given:
            return line
        error = given
        if isinstance(given, tuple):
            error = given[1]
        elif not isinstance(given, BaseException):
            error = sys.exc_info()[1]
        if error is None:
            return line
        words = self._words or str(line.get("logger", "")).partition(".")[0] not in _QUIET
        exception = told(error, words=words)
        line["exception"] = as_text(exception) if self._text else exception
        return line


def no_secrets(_logger: Any, _method: str, line: Line) -> Line:
    """Takes out of every text what looks like a secret, and folds sentences into one line."""
    for name in _SENTENCES:
        said = line.get(name)
        if isinstance(said, str) and "\n" in said:
            line[name] = " ".join(said.split())
    for name, value in line.items():
        if isinstance(value, str | dict | list | tuple):
            line[name] = cleaned(value)
    return line


class Said(logging.Filter):
    """Drops the lines of Dramatiq that Triton says itself, with what it knows better."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("dramatiq"):
            return True
        told = record.args if isinstance(record.args, tuple) else ()
        if any(getattr(one, "ended_elsewhere", False) for one in told):
            # An attempt that was given up comes back: all was said of it.
            return False
        return _DRAMATIQ.get(str(record.msg), ("other",))[0] != ""


def dramatiq_line(_logger: Any, _method: str, line: Line) -> Line:
    """What Dramatiq says of a message, without the message: it would show its arguments."""
    arguments = line.pop("positional_args", None)
    record = line["_record"]
    if not record.name.startswith("dramatiq"):
        return line
    known = _DRAMATIQ.get(str(record.msg))
    if known is not None and isinstance(arguments, tuple):
        line["event"], names = known
        told = zip(names, arguments, strict=False)
        line.update((name, _plain(value)) for name, value in told if name)
        return line
    if isinstance(arguments, tuple) and any(hasattr(one, "message_id") for one in arguments):
        safe = (getattr(one, "message_id", one) for one in arguments)
        line["event"] = str(record.msg) % tuple(safe)
    return line
