"""Owns what streams and those who open them agree on: the job's state, times and sizes, refusals."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from triton.feed import frames
from triton.feed.hub import Closing

#: A tail that is behind a state that was shown is waited for, so many seconds at most and so many times,
#: before a stream says that it has caught up.
SOON: Final = 0.05
PATIENCE: Final = 20


class Snapshot(NamedTuple):
    """A job's state as its subscriber is shown it."""

    json: bytes
    tenant: str
    state: str
    version: int
    #: Of the last event that it reflects.
    position: int
    #: Whether it was read where every event is visible at once (Redis), not where a projector has come.
    live: bool
    #: The batch it belongs to; empty for none but itself.
    correlation: str = ""


#: Whether who asks may see a job of this tenant and this batch (empty for none but itself).
Sees: TypeAlias = Callable[[str, str], bool]


def everybody(tenant: str, correlation: str) -> bool:  # noqa: ARG001
    """The `Sees` of who sees all there is."""
    return True


#: Reads a job's state; None, after the same work, for one that never was and for one that is not seen. Raises
#: UnavailableError, RedisError.
LookUp: TypeAlias = Callable[[str, Sees], Awaitable[Snapshot | None]]


#: The same for many jobs, each of which `sees` is asked with too; only those that are seen.
LookUpMany: TypeAlias = Callable[
    [Collection[str], Callable[[str, str, str], bool]], Awaitable[list[tuple[str, Snapshot]]]
]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, except where the name says otherwise. Chance spreads the clients; it keeps no secret."""

    #: Silence after which a heartbeat goes out.
    heartbeat: float = 15.0
    #: Life of a connection, give or take half of it.
    rotate: float = 600.0
    #: How long a drain may spread its closes.
    drain: float = 0.5
    #: What clients are told to wait before they come back: somewhere between the two.
    retry_min_ms: int = 1000
    retry_max_ms: int = 3000
    #: Bytes of one write at most, unless one event alone has more.
    write_bytes: int = 256 * 1024

    def retry_ms(self) -> int:
        """What one client is told to wait before it comes back."""
        return random.randint(self.retry_min_ms, self.retry_max_ms)  # noqa: S311

    def life(self) -> float:
        """How long one connection lives."""
        return self.rotate * random.uniform(0.5, 1.5)  # noqa: S311

    def leave(self, streams: int) -> float:
        """How long one of so many open streams waits before it closes for a drain."""
        return random.uniform(0, min(self.drain, streams / 1000))  # noqa: S311


class CatchUp(msgspec.Struct, frozen=True):
    """Events as JSON lines, and the cursor after them. `complete`: there are no more for now."""

    events: list[bytes]
    cursor: str
    complete: bool


class Refused(NamedTuple):
    """No stream now, come back later: `body` is a complete answer to send with status 200."""

    reason: Closing
    body: bytes


def refused(reason: Closing, timing: Timing) -> Refused:
    """The refusal for a reason."""
    return Refused(reason, frames.bye(reason, timing.retry_ms()))


#: Sends bytes at once; False, and nothing is sent, where that would have to wait.
Write: TypeAlias = Callable[[bytes], bool]


class Stream(Protocol):
    """Ready bytes, each piece one write; `close` in the end, whatever happened.

    While it waits for its next piece, a stream may also send by `write`, where its response gave it one.
    """

    write: Write | None

    def pieces(self) -> AsyncIterator[bytes]: ...

    def close_for(self, reason: Closing) -> None:
        """Say why, and end."""

    def close(self) -> None: ...
