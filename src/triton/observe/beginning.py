"""Owns what each role does first, and what it says when it ends because of a bug."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from triton.errors import TritonError
from triton.observe import tracing
from triton.observe.logger import get_logger
from triton.observe.logs import configure
from triton.observe.signs import BEAT, signs
from triton.observe.slow import calls
from triton.settings import Settings

#: What these raise says that an engine is away.
_DRIVERS: Final = frozenset({"redis", "psycopg", "psycopg_pool", "clickhouse_connect", "httpx"})
_log: Final = get_logger("triton.role")


def begin(role: str, settings: Settings) -> None:
    """This process plays a role from now on: see `configure`, `signs`, `calls` and `tracing.start`.

    Raises ConfigurationError where it cannot leave a sign of life."""
    configure(role, settings)
    signs.begin(settings.health, role)
    threading.excepthook = _thread_ended
    calls.seconds = settings.slow_query_ms / 1000 or math.inf
    tracing.start(role, settings)


@contextmanager
def playing(role: str, settings: Settings) -> Iterator[None]:
    """Around all that a role does. What ends it because of a bug is told in the log; a single error of
    several tasks is raised as itself."""
    begin(role, settings)
    try:
        yield
    except Exception as error:
        found = alone(error)
        package = type(found).__module__.partition(".")[0]
        if not isinstance(found, TritonError | OSError) and package not in _DRIVERS:
            _log.critical("crashed", exc_info=found)
        if found is error:
            raise
        raise found from None
    finally:
        signs.end()


async def beating() -> None:
    """Give signs of life as long as this event loop goes on, until cancelled."""
    while signs.path:
        signs.beat()
        await asyncio.sleep(BEAT)


def alone(error: BaseException) -> BaseException:
    """The one error in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else ""
        _log.critical("thread_crashed", thread=name, exc_info=args.exc_value)
