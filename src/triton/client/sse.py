"""Owns the format of Server-Sent Events: bytes in, events out, as the standard says. No I/O.

The standard is https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: What the server says of the stream itself.
HELLO: Final = "triton.hello"
SNAPSHOT: Final = "triton.snapshot"
RESET: Final = "triton.reset"
CAUGHT_UP: Final = "triton.caught-up"
END: Final = "triton.end"
BYE: Final = "triton.bye"
#: The name of events without one: those of the log.
UNNAMED: Final = "message"

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """One dispatched event. `id` is the cursor of who has seen it."""

    event: str
    data: str
    id: str


class Parser:
    """Bytes of one connection in, events out. `last_id` is where a reader is that took all of them."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        #: What the server said last of how long to wait before the next connection.
        self.retry_ms: int | None = None
        self._id = last_id
        self._event = ""
        self._data: list[str] = []
        self._rest = b""
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[Message]:
        """The events that these bytes complete."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        text = self._rest + chunk
        *lines, self._rest = _LINE_END.split(text)
        # A LF that follows in the next chunk belongs to this CR.
        self._after_cr = text.endswith(b"\r")
        messages = []
        for line in lines:
            if self._first:
                line = line.removeprefix(_BOM)
                self._first = False
            if not line:
                message = self._dispatch()
                if message is not None:
                    messages.append(message)
            elif not line.startswith(b":"):
                self._field(line.decode(errors="replace"))
        return messages

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        event, data = self._event, self._data
        self._event, self._data = "", []
        if not data:
            return None
        return Message(event or UNNAMED, "\n".join(data), self.last_id)
