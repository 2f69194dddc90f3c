"""Owns sending a worker's calls until the server has answered them. Every call is idempotent."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from triton.events.client import send
from triton.events.scripts import Call
from triton.observe.logger import get_logger

_BACKOFF: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
#: Server answers that pass: it is loading, out of memory, or a replica that will be promoted.
_PASSING: Final = (
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_log: Final = get_logger("triton.worker")


def send_until_answered(
    client: redis.Redis, calls: Sequence[Call], stopped: threading.Event
) -> list[Any] | None:
    """The replies in order, an exception in place of one that the server refuses for good.

    None when `stopped` was set and the server still did not answer after a few tries: what was to be
    said is left to the leases.
    """
    for attempt in itertools.count():
        try:
            return send(client, calls)
        except RedisError as error:
            if isinstance(error, ResponseError) and not isinstance(error, _PASSING):
                return [_alone(client, call) for call in calls]
            _log.warning("redis_unavailable", error=str(error), attempt=attempt + 1)
        pause = _BACKOFF[min(attempt, len(_BACKOFF) - 1)]
        if stopped.is_set():
            if attempt >= len(_BACKOFF):
                return None
            threading.Event().wait(pause)
        else:
            stopped.wait(pause)
    raise AssertionError("the loop above ends by returning")


def _alone(client: redis.Redis, call: Call) -> Any:
    try:
        return send(client, [call])[0]
    except RedisError as error:
        _log.critical("call_refused", script=call.script.name, error=str(error))
        return error
