"""The reader of event streams: the format by the standard, and exact resume after every kind of break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton.client import AsyncClient, Client, Message
from triton.client.problems import problem_of
from triton.client.sse import Parser
from triton.errors import (
    CursorGoneError,
    ForbiddenError,
    NotFoundError,
    TritonError,
    UnavailableError,
    ValidationError,
)

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
PROBLEM = (
    b'{"code": "not_found", "message": "there is no job", "request_id": "r1",'
    b' "details": {"message": "a detail may have any name"}}'
)


def refusal(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


EVENT = b'{"subject": "j", "partition": 0, "position": %d, "version": %d}'


def event(number: int, *, cursor: str = "") -> bytes:
    return b"data: %b\nid: %b\n\n" % (EVENT % (number, number), (cursor or f"c{number}").encode())


class Peer:
    """Answers each connection with the next of the given bytes and closes it; the last one for ever."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.cursors: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in request.splitlines()[1:] if line)
        self.headers.append({k.lower(): v for k, v in headers.items()})
        self.cursors.append(self.headers[-1].get("last-event-id", ""))
        writer.write(self.answers[min(len(self.cursors), len(self.answers)) - 1])
        await writer.drain()
        writer.close()


@asynccontextmanager
async def peer_of(*answers: bytes) -> AsyncIterator[Peer]:
    peer = Peer(list(answers))
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with server:
        peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield peer


Collect = Callable[..., Awaitable[list[Message]]]


async def in_asyncio(url: str, **options: Any) -> list[Message]:
    async with AsyncClient(url) as client, client.subscribe("j", **options) as following:
        return [message async for message in following.messages()]


async def in_a_thread(url: str, **options: Any) -> list[Message]:
    def run() -> list[Message]:
        with Client(url) as client, client.subscribe("j", **options) as following:
            return list(following.messages())

    return await asyncio.to_thread(run)


@pytest.fixture(params=[in_asyncio, in_a_thread])
def collect(request: pytest.FixtureRequest) -> Collect:
    """Everything that a subscription hands on, of either client."""
    found: Collect = request.param
    return found


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages if message.event == "message"]


END = b"event: triton.end\ndata: {}\nid: end\n\n"


def test_resumes_after_the_last_whole_frame(collect: Collect) -> None:
    async def run() -> None:
        async with peer_of(
            OK + event(1) + (EVENT % (2, 2)) + b"\nid: c2\n",
            OK + b"event: triton.bye\ndata: {}\n\n",
            refusal("503 Service Unavailable", b"busy"),
            OK + event(2) + END + b"data: after\n\n",
        ) as peer:
            breaks: list[str] = []
            found = await collect(peer.url, on_break=breaks.append)
            assert [message.event for message in found] == [
                "message",
                "triton.bye",
                "message",
                "triton.end",
            ]
            assert peer.cursors == ["", "c1", "c1", "c1"]
            assert len(breaks) == 3

    asyncio.run(run())


def test_a_connection_that_ends_in_turn_is_no_break(collect: Collect) -> None:
    """Every stream is rotated after some minutes: nothing is wrong, and there is nothing to tell."""

    async def run() -> None:
        async with peer_of(
            OK + b'event: triton.bye\ndata: {"reason": "rotate"}\n\n',
            OK + b'event: triton.bye\ndata: {"reason": "draining"}\n\n',
            OK + END,
        ) as peer:
            breaks: list[str] = []
            await collect(peer.url, on_break=breaks.append)
            assert breaks == ["the server is being stopped"]

    asyncio.run(run())


def test_what_was_handed_on_is_not_handed_on_again(collect: Collect) -> None:
    """A server (or a proxy's replay) that repeats itself, and a snapshot that holds an event already."""
    snapshot = b'event: triton.snapshot\ndata: {"id": "j", "version": 2}\n\n'

    async def run() -> None:
        async with peer_of(
            OK + snapshot + event(1) + event(2) + event(3) + event(3),
            OK + event(2) + event(3) + event(4) + END,
        ) as peer:
            assert ids(await collect(peer.url)) == ["c3", "c4"]

    asyncio.run(run())


def test_a_reset_is_told_or_raised(collect: Collect) -> None:
    async def run() -> None:
        reset = b'event: triton.reset\ndata: {"reason": "epoch"}\n\n'
        async with peer_of(OK + event(7) + reset + event(1) + END) as peer:
            with pytest.raises(CursorGoneError, match="epoch"):
                await collect(peer.url, from_="abc")
            reasons: list[str] = []
            found = await collect(peer.url, from_="abc", on_reset=reasons.append)
            assert ids(found) == ["c7", "c1"], "positions of another life are lower"
            assert reasons == ["epoch"]
            assert peer.cursors == ["abc", "abc"]

    asyncio.run(run())


def test_the_whole_history_begins_at_the_first_cursor(collect: Collect) -> None:
    async def run() -> None:
        hello = b'event: triton.hello\ndata: {"epoch": "e"}\nid: zero\n\n'
        async with peer_of(OK + hello + event(9), OK + hello + event(1) + END) as peer:
            found = await collect(peer.url, from_="earliest")
            assert ids(found) == ["c1"]
            assert [message.event for message in found].count("triton.hello") == 1
            assert peer.cursors == ["", "zero"]

    asyncio.run(run())


def test_204_is_the_end(collect: Collect) -> None:
    async def run() -> None:
        async with peer_of(OK + event(1), GONE) as peer:
            assert ids(await collect(peer.url)) == ["c1"]
            assert peer.cursors == ["", "c1"]

    asyncio.run(run())


def test_what_can_not_come_back_is_raised(collect: Collect) -> None:
    async def run() -> None:
        async with peer_of(refusal("404 Not Found", PROBLEM)) as peer:
            with pytest.raises(NotFoundError, match="there is no job") as raised:
                await collect(peer.url)
            assert raised.value.request_id == "r1"
            assert raised.value.details == {"message": "a detail may have any name"}
        async with peer_of(refusal("200 OK", b"<html>")) as peer:
            with pytest.raises(UnavailableError, match="event stream"):
                await collect(peer.url)
        # Nobody listens there any more.
        with pytest.raises(UnavailableError, match="triton up"):
            await collect(peer.url)

    asyncio.run(run())


def test_the_server_says_how_long_to_wait(collect: Collect) -> None:
    """Retry-After counts also before anything was heard; a date in the past is at once."""
    busy = b"HTTP/1.1 429 Busy\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n"

    async def run() -> None:
        async with peer_of(
            busy % b"0", busy % b"Wed, 21 Oct 2015 07:28:00 GMT", OK + event(1) + END
        ) as peer:
            assert ids(await collect(peer.url)) == ["c1"]
            assert len(peer.cursors) == 3

    asyncio.run(run())


def test_states_are_told(collect: Collect) -> None:
    async def run() -> None:
        hello = b'event: triton.hello\ndata: {"epoch": "e"}\nid: zero\n\n'
        caught = b"event: triton.caught-up\ndata: {}\n\n"
        async with peer_of(OK + hello + caught, OK + hello + END) as peer:
            told: list[str] = []
            await collect(peer.url, on_state=told.append)
            assert told == ["replaying", "live", "waiting", "connecting", "replaying", "ended"]

    asyncio.run(run())


def test_patience_has_an_end(collect: Collect) -> None:
    async def run() -> None:
        async with peer_of(OK + event(1), b"") as peer:
            with pytest.raises(UnavailableError):
                await collect(peer.url, patience=1.0)
            assert len(peer.cursors) > 1

    asyncio.run(run())


def test_a_new_token_is_asked_for_after_a_401() -> None:
    async def run() -> None:
        denied = refusal("401 Unauthorized", b"{}")
        farewell = b'event: triton.bye\ndata: {"reason": "expired"}\n\n'
        async with peer_of(denied, OK + event(1), OK + farewell, OK + END) as peer:

            async def token(fresh: bool) -> str:
                return "new" if fresh else "old"

            async with AsyncClient(peer.url, token=token) as client, client.subscribe("j") as sub:
                assert ids([message async for message in sub.messages()]) == ["c1"]
            said = [headers["authorization"] for headers in peer.headers]
            assert said == ["Bearer old", "Bearer new", "Bearer old", "Bearer new"]
        async with peer_of(denied) as peer:
            async with AsyncClient(peer.url, token="t") as client:
                with pytest.raises(TritonError):
                    await client.get("/jobs")
                with pytest.raises(TritonError):
                    async for _ in client.subscribe("j"):
                        pass
            assert len(peer.headers) == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "forbidden", ForbiddenError),
        (422, "a code of tomorrow", ValidationError),
        (413, "too_large", ValidationError),
        (410, "cursor_gone", CursorGoneError),
        (418, "teapot", TritonError),
    ],
)
def test_errors_are_classes_with_what_the_api_said(
    status: int, code: str, kind: type[TritonError]
) -> None:
    error = problem_of("http://x", status, b'{"code": "%b", "message": "m"}' % code.encode())
    assert type(error) is kind
    assert (error.code, error.message, error.details) == (code, "m", {})


def test_a_client_that_is_closed_ends_what_a_loop_left_open() -> None:
    """At the loop's own end Python would end the parts in any order, and complain."""
    complaints: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + event(1))
        await reader.read()
        writer.close()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with AsyncClient(url) as client:
                following = client.subscribe("j")
                async for _ in following.messages():
                    break
            assert following.state == "closed"

    asyncio.run(run())
    assert complaints == []
