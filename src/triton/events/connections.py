"""Owns the connection that a client keeps at hand for its next script calls.

A pool's way out and back costs more than a small call: it locks, counts for observers, makes events. What it
makes sure of holds here too: nobody gets a connection that the server has closed, or one with an answer in it
that was another's.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Final

from redis.exceptions import RedisError

#: A pool that may have fewer connections than redis-py's own bound is somebody's to count on: none is kept.
_ROOMY: Final = 100


class Kept:
    """One connection of a pool, between two trips; what else comes back goes to the pool. For any thread."""

    def __init__(self, pool: Any, *, most: int = 1) -> None:
        self._pool = pool
        self._most = most if pool.max_connections >= _ROOMY else 0
        self._idle: deque[Any] = deque()

    def take(self) -> Any:
        """A connection to send on. Raises what the pool raises where there is no server."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._pool.get_connection()
        # A forked process must leave its parent's alone; the pool knows that too, and forgets it.
        if connection.pid == os.getpid() and _is_quiet(connection):
            return connection
        self._pool.release(connection)
        return self._pool.get_connection()

    def end(self, connection: Any) -> None:
        """It failed, or an answer is on its way that nobody waits for any more."""
        connection.disconnect()
        self._pool.release(connection)

    def give_back(self, connection: Any) -> None:
        """It has answered everything."""
        if len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            self._pool.release(connection)


def _is_quiet(connection: Any) -> bool:
    try:
        return not connection.can_read()
    except (RedisError, OSError):
        return False
