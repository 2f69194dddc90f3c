"""Owns ending tasks of this process: cancelled until they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

#: Seconds that a task has to end after it was cancelled.
AGAIN: Final = 2.0


async def ended(tasks: Iterable[asyncio.Future[Any]], *, again: float = AGAIN) -> None:
    """Cancel tasks, and wait until they are over, whatever they raise.

    Once is not enough: `asyncio.wait_for` of Python 3.11, through which redis-py sends each command, goes on
    where a cancel comes together with what it waits for. A loop around it would be waited for without end.
    """
    found = list(tasks)
    waiting = {task for task in found if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=again)
    for task in found:
        if not task.cancelled():
            task.exception()
