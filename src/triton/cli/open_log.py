"""Owns opening the log for a command: as it is, with its past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triton.history import History
    from triton.settings import Settings


async def open_log(client: Any, settings: Settings) -> History:
    """The log as it is, with its past; unlike `Log.open` it makes none. Raises NotFoundError."""
    from triton import keys
    from triton.errors import NotFoundError
    from triton.events.log import Log
    from triton.history import History, open_past

    namespace = settings.namespace
    found = await client.hmget(keys.meta(keys.prefix(namespace, 0)), "partitions", "epoch")
    if found[0] is None:
        raise NotFoundError(
            f"There is no log {namespace!r} in this Redis: check TRITON_REDIS_URL and TRITON_NAMESPACE."
        )
    epochs = [
        (await client.hget(keys.meta(keys.prefix(namespace, number)), "epoch") or b"").decode()
        for number in range(int(found[0]))
    ]
    return History.over(Log(client, namespace, epochs), open_past(settings, rows=False))
