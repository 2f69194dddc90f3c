"""Owns what a job's message was after attempts that changed it: the log has it as it was submitted. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from triton.events.types import RetryScheduled

#: Options that attempts leave in a message.
_TRACES: Final = ("retries", "traceback", "requeue_timestamp", "eta")


def retried(body: bytes, data: RetryScheduled) -> bytes:
    """The message of the attempt that follows: its retry policy goes on from there."""
    if not data.retries:
        return body
    return _with_options(body, {"retries": data.retries, "traceback": data.error.traceback})


def fresh(body: bytes) -> bytes:
    """The message of a job that is sent round again."""
    return _with_options(body, {})


def _with_options(body: bytes, more: dict[str, Any]) -> bytes:
    """A message that is no JSON stays as it is."""
    try:
        message = json.loads(body)
        options = {k: v for k, v in message["options"].items() if k not in _TRACES}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return body
    if options | more == message["options"]:
        return body
    return json.dumps({**message, "options": options | more}, separators=(",", ":")).encode()
