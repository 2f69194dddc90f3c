"""Owns reading Server-Sent Events as the standard says, and nothing of Triton."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import httpx

_LINE = re.compile(rb"\r\n|\n|\r")


class Received(NamedTuple):
    name: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Subscriber:
    """One connection. `ids` is what a browser would remember, `raw` every byte that came."""

    def __init__(
        self, url: str, *, cursor: str | None = None, query: str | None = None, timeout: float = 30
    ) -> None:
        headers = {"Accept": "text/event-stream"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        self._client = httpx.Client(timeout=timeout, verify=False)
        self._context = self._client.stream(
            "GET", url, headers=headers, params={"last_event_id": query} if query else None
        )
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self.raw = bytearray()

    def __enter__(self) -> Self:
        self.response = self._context.__enter__()
        self.status = self.response.status_code
        self._events = self._parse(self.response.iter_raw())
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)
        self._client.close()

    def __iter__(self) -> Iterator[Received]:
        return self._events

    def __next__(self) -> Received:
        return next(self._events)

    def until(self, wanted: str | Callable[[Received], bool]) -> list[Received]:
        """Everything up to the first event of this name, or for which this holds, inclusive."""
        seen = []
        for event in self._events:
            seen.append(event)
            if event.name == wanted if isinstance(wanted, str) else wanted(event):
                return seen
        raise AssertionError(f"the stream ended before {wanted}; it was {seen}")

    def _parse(self, chunks: Iterator[bytes]) -> Iterator[Received]:
        name, data, new_id = "", [], None
        for line in self._lines(chunks):
            if not line:
                if new_id is not None:
                    self.last_id = new_id
                if data:
                    yield Received(name, "\n".join(data), self.last_id)
                name, data, new_id = "", [], None
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not field:
                self.comments += 1
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                new_id = value
            elif field == "retry" and value.isdigit():
                self.retry = int(value)

    def _lines(self, chunks: Iterator[bytes]) -> Iterator[str]:
        buffer = b""
        for chunk in chunks:
            self.raw += chunk
            *lines, buffer = _LINE.split(buffer + chunk)
            for line in lines:
                yield line.decode()


def data_of(events: list[Received]) -> list[str]:
    """The data of the unnamed events: those of the log."""
    return [event.data for event in events if not event.name]
