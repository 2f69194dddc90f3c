"""Owns what a follower knows between its connections: cursor, what it has seen, when to come back. No I/O.

A stream is many connections. Each goes on after the last cursor; what was handed on before is not handed on
again; how long to wait in between is what the server asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from triton.client import sse
from triton.client.problems import LATER, not_ours, problem_of, retry_after, unreachable
from triton.client.sse import Message, Parser
from triton.client.targets import Opening
from triton.errors import CursorGoneError, TritonError

#: connecting: asking; replaying: history comes; live: all caught up; waiting: until the next connection;
#: ended: everything was told; closed: by you; failed: refused, or away for too long.
State: TypeAlias = Literal[
    "connecting", "replaying", "live", "waiting", "ended", "closed", "failed"
]

#: Milliseconds before the next connection, until the server says how long; and at most by itself.
RETRY_MS: Final = 1000
_RETRY_MAX_MS: Final = 5000
#: Seconds without one byte after which a connection counts as dead: three heartbeats.
SILENCE: Final = 45.0
#: Seconds for which a server that was there before may be away.
PATIENCE: Final = 120.0

#: What the server says of the end of a connection, in words; not of one whose turn it is.
_FAREWELLS: Final[Mapping[str, str | None]] = {
    "rotate": None,
    "expired": None,
    "draining": "the server is being stopped",
    "overloaded": "the server has too many streams",
    "limited": "there are too many streams of this user, address or tenant",
    "unavailable": "the server cannot reach its log",
    "log": "the server cannot read its log",
}


class _Place(msgspec.Struct):
    """What is read of an event here."""

    subject: str
    partition: int
    position: int
    version: int


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a follower tells what no event says; each is called as it happens.

    `on_reset`: events were lost, the reason is the server's; without one, CursorGoneError is raised.
    `on_break`: a connection was lost, and why; not those that the server ends in turn.
    """

    on_state: Callable[[State], object] | None = None
    on_snapshot: Callable[[dict[str, Any]], object] | None = None
    on_reset: Callable[[str], object] | None = None
    on_break: Callable[[str], object] | None = None


class Following:
    """One followed target. `over`: the server has told everything there will be.

    `cursor` is where to go on: after the message that was handed on last.
    """

    def __init__(self, url: str, opening: Opening, tell: Tell, patience: float | None) -> None:
        self.state: State = "connecting"
        self.cursor = opening.cursor
        self.over = False
        #: Whether the next connection needs a new token; whether it is to be opened at once.
        self.fresh = False
        self.again = False
        self._url = url
        self._opening = opening
        self._tell = tell
        self._patience = patience
        self._whole = opening.whole
        self._parser = Parser(self.cursor)
        self._told: int | None = None
        self._positions: dict[int, int] = {}
        self._versions: dict[str, int] = {}
        self._epoch = ""
        self._failures = 0
        self._heard: float | None = None
        #: Whether there is a server to wait for: it took a connection, said when to come back, or gave the
        #: cursor; otherwise a wrong address is told at once.
        self._there = bool(opening.cursor) or patience is None
        self._reason: str | None = None
        self._asked: float | None = None

    @property
    def params(self) -> Mapping[str, Any]:
        return self._opening.params

    @property
    def path(self) -> str:
        return self._opening.path

    def headers(self) -> dict[str, str]:
        """Those of the next connection, which begins."""
        self._become("connecting")
        self._parser = Parser(self.cursor)
        self._reason, self._asked, self.again = "the server closed the stream", None, False
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        return headers | {"Last-Event-ID": self.cursor} if self.cursor else headers

    def refused(
        self, status: int, headers: Mapping[str, str], body: bytes, *, now: float, clock: float
    ) -> None:
        """What an answer that is no stream means. Raises what asking again would not change.

        `now` is the monotonic time, `clock` that since 1970, both in seconds.
        """
        if status == 204:
            self.over = True
            self._become("ended")
            return
        if status < 400:
            kind = headers.get("content-type", "") or "without a type"
            raise self.failed(not_ours(self._url, f"{status} {kind}, expected an event stream"))
        problem = problem_of(self._url, status, body)
        if status == 401 and not self.fresh:
            self.fresh, self._reason = True, None
            return
        self._asked = retry_after(headers.get("retry-after"), clock)
        if status not in LATER and status < 500:
            raise self.failed(problem)
        self.broke(problem, now=now)

    def opened(self, now: float) -> None:
        """A stream begins."""
        self._heard, self._failures, self.fresh, self._there = now, 0, False, True

    def read(self, chunk: bytes, now: float) -> Iterator[Message]:
        """The messages of a connection's next bytes that are new, one by one. Raises CursorGoneError."""
        self._heard = now
        for message in self._parser.feed(chunk):
            new = self._take(message)
            self.cursor = message.id
            if new:
                yield message
            if self._whole and message.event == sse.HELLO:
                # Its cursor is all that this connection was for.
                self._whole, self._reason, self.again = False, None, True
            if self.over or self.again:
                return
        self.cursor = self._parser.last_id

    def broke(self, error: Exception, *, now: float, connected: bool = False) -> None:
        """The connection ended by an error; whether there was one. Raises UnavailableError when that was so
        for too long, or from the beginning."""
        away = error if isinstance(error, TritonError) else unreachable(self._url, error)
        self._there = self._there or connected or self._asked is not None
        self._heard = now if self._heard is None else self._heard
        late = self._patience is not None and now - self._heard > self._patience
        if late or not self._there:
            raise self.failed(away) from error
        self._reason = str(error) or type(error).__name__
        self._failures += 1

    def pause(self) -> float:
        """Seconds before the next connection."""
        self._become("waiting")
        if self._reason is not None and self._tell.on_break is not None:
            self._tell.on_break(self._reason)
        if self._asked is not None:
            return self._asked
        if self.fresh or self.again:
            return 0.0
        self._told = self._told if self._parser.retry_ms is None else self._parser.retry_ms
        wait = RETRY_MS if self._told is None else self._told
        if not self._failures:
            return wait / 1000
        return (
            min(max(wait, 1) * 2.0 ** min(self._failures - 1, 30), max(wait, _RETRY_MAX_MS)) / 1000
        )

    def close(self) -> None:
        """Nothing more is wanted."""
        if self.state not in ("ended", "failed"):
            self._become("closed")

    def failed(self, error: TritonError) -> TritonError:
        """The error, after which nothing follows."""
        self._become("failed")
        return error

    def _take(self, message: Message) -> bool:
        """Notes what a message says; whether it is to be handed on."""
        name = message.event
        if name == sse.UNNAMED:
            return self._is_new(msgspec.json.decode(message.data, type=_Place))
        if name == sse.HELLO:
            self._hello(_object(message.data).get("epoch", ""))
        elif name == sse.SNAPSHOT:
            shown = _object(message.data)
            self._versions[shown["id"]] = shown["version"]
            if self._tell.on_snapshot is not None:
                self._tell.on_snapshot(shown)
        elif name == sse.CAUGHT_UP:
            self._become("live")
        elif name == sse.RESET:
            self._reset(str(_object(message.data).get("reason", "")))
        elif name == sse.BYE:
            self._bye(str(_object(message.data).get("reason", "")))
        elif name == sse.END:
            self.over = True
            self._become("ended")
        return not self._whole

    def _hello(self, epoch: str) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget()
        self._become("replaying")

    def _reset(self, reason: str) -> None:
        self._forget()
        if self._tell.on_reset is not None:
            self._tell.on_reset(reason)
            return
        raise self.failed(
            CursorGoneError(
                f"what followed the cursor cannot be told any more ({reason}): begin again, or give "
                "on_reset to go on from now",
                reason=reason,
            )
        )

    def _bye(self, reason: str) -> None:
        self._reason = _FAREWELLS.get(reason, "the server closed the stream")
        self.fresh = reason == "expired"

    def _is_new(self, event: _Place) -> bool:
        """Within a partition positions rise; a snapshot reflects its job up to a version."""
        if event.position <= self._positions.get(event.partition, 0):
            return False
        self._positions[event.partition] = event.position
        return event.version > self._versions.get(event.subject, 0)

    def _forget(self) -> None:
        self._positions.clear()
        self._versions.clear()

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            if self._tell.on_state is not None:
                self._tell.on_state(state)


def _object(data: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
