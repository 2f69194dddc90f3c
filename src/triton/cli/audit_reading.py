"""Owns how a command asks the audit: the log with its whole past, and a note of the read in it."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from triton.history import History
    from triton.settings import Settings

_T = TypeVar("_T")


def person() -> str:
    """Who runs this command, as events name them."""
    return f"user:{getpass.getuser()}"


async def audited(
    settings: Settings,
    what: str,
    asked: Mapping[str, str],
    reason: str,
    question: Callable[[History], Awaitable[_T]],
) -> _T:
    """The answer to a question. That it was asked is an event: written before the answer is shown, and
    after it was found, so that no answer is of its own read."""
    from triton.audit.noting import note
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.events.types import AuditRead
    from triton.history import History, open_past

    client = connect_async(settings.redis_url)
    try:
        history = History.over(await open_log(client, settings), open_past(settings))
        answer = await question(history)
        read = AuditRead(what=what, filter=dict(asked), reason=reason)
        await note(
            client, Scripts(), settings.namespace, read, op=secrets.token_hex(8), by=person()
        )
        return answer
    finally:
        await client.aclose()
