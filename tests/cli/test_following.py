"""The reader of event streams: the format by the standard, and exact resume after every kind of break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton.cli.sse import Message, Parser, follow
from triton.errors import NotFoundError, UnavailableError

STREAM = (
    "\ufeffid: 1\r\ndata: first\r\n\r\n"
    ": a comment\nevent: triton.end\rdata:a\rdata\rdata: \u2028 b\r\r"
    "data: ü€\nid: 2\nretry: 700\n\n"
    "id: 3\n\nid: bad\0id\nretry: 12x\nunknown: x\ndata: third\n\n"
    "data: never ended\n"
).encode()


def test_format() -> None:
    parser = Parser()
    assert parser.feed(STREAM) == [
        Message("message", "first", "1"),
        Message("triton.end", "a\n\n\u2028 b", "1"),
        Message("message", "ü€", "2"),
        Message("message", "third", "3"),
    ]
    assert parser.last_id == "3"
    assert parser.retry_ms == 700


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_pieces_change_nothing(cuts: list[int]) -> None:
    """However the network cuts the bytes: inside a character, between CR and LF, inside the BOM."""
    parser, found = Parser(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        found += parser.feed(STREAM[start:end])
    whole = Parser()
    assert found == whole.feed(STREAM)
    assert (parser.last_id, parser.retry_ms) == (whole.last_id, whole.retry_ms)


def test_id_counts_only_with_its_whole_frame() -> None:
    """A cut after the id line must not move the cursor: the event would be lost."""
    parser = Parser("7")
    assert parser.feed(b"data: x\nid: 8\n") == []
    assert parser.last_id == "7"


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 1\n"
GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
PROBLEM = b'{"code": "not_found", "message": "there is no job", "details": {}, "request_id": ""}'


def refusal(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


class Peer:
    """Answers each connection with the next of the given bytes and closes it; the last one for ever."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.cursors: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in request.splitlines()[1:] if line)
        self.cursors.append({k.lower(): v for k, v in headers.items()}.get("last-event-id", ""))
        writer.write(self.answers[min(len(self.cursors), len(self.answers)) - 1])
        await writer.drain()
        writer.close()


@asynccontextmanager
async def peer_of(*answers: bytes) -> AsyncIterator[Peer]:
    peer = Peer(list(answers))
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with server:
        peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        yield peer


async def collect(
    url: str, patience: float = 5.0, on_break: Callable[[str], None] | None = None
) -> list[Message]:
    async with httpx.AsyncClient(trust_env=False) as client:
        stream = follow(client, url, patience=patience, on_break=on_break)
        async with aclosing(stream) as messages:
            return [message async for message in messages]


def test_resumes_after_the_last_whole_frame() -> None:
    async def run() -> None:
        async with peer_of(
            OK + b"data: 1\nid: a\n\ndata: cut\nid: b\n",
            OK + b"event: triton.bye\ndata: {}\n\n",
            refusal("503 Service Unavailable", b"busy"),
            OK + b"data: 2\nid: b\n\nevent: triton.end\ndata: {}\nid: c\n\ndata: after\n\n",
        ) as peer:
            breaks: list[str] = []
            found = await collect(peer.url, on_break=breaks.append)
            assert [message.data for message in found] == ["1", "{}", "2", "{}"]
            assert peer.cursors == ["", "a", "a", "a"]
            assert len(breaks) == 3

    asyncio.run(run())


def test_a_connection_that_ends_in_turn_is_no_break() -> None:
    """Every stream is rotated after some minutes: nothing is wrong, and there is nothing to tell."""

    async def run() -> None:
        async with peer_of(
            OK + b'event: triton.bye\ndata: {"reason": "rotate"}\n\n',
            OK + b'event: triton.bye\ndata: {"reason": "draining"}\n\n',
            OK + b"event: triton.end\ndata: {}\n\n",
        ) as peer:
            breaks: list[str] = []
            await collect(peer.url, on_break=breaks.append)
            assert breaks == ["the server is being stopped"]

    asyncio.run(run())


def test_204_is_the_end() -> None:
    async def run() -> None:
        async with peer_of(OK + b"data: 1\nid: a\n\n", GONE) as peer:
            assert [message.data for message in await collect(peer.url)] == ["1"]
            assert peer.cursors == ["", "a"]

    asyncio.run(run())


def test_what_can_not_come_back_is_raised() -> None:
    async def run() -> None:
        async with peer_of(refusal("404 Not Found", PROBLEM)) as peer:
            with pytest.raises(NotFoundError, match="there is no job"):
                await collect(peer.url)
        async with peer_of(refusal("200 OK", b"<html>")) as peer:
            with pytest.raises(UnavailableError, match="event stream"):
                await collect(peer.url)
        # Nobody listens there any more.
        with pytest.raises(UnavailableError, match="triton up"):
            await collect(peer.url)

    asyncio.run(run())


def test_patience_has_an_end() -> None:
    async def run() -> None:
        async with peer_of(OK + b"data: 1\nid: a\n\n", b"") as peer:
            with pytest.raises(UnavailableError):
                await collect(peer.url, patience=0.1)
            assert len(peer.cursors) > 2

    asyncio.run(run())
