"""Owns what stands beside Triton's API, each a process of one event loop that tails the same stream.

    python -m bench.live.peers KIND PORT REDIS_URL

`floor`: a bare asyncio protocol that writes a ready chunk to every socket, and nothing else. `naive`: a
FastAPI route with sse-starlette and one blocking Redis read per client. `fastapi`: FastAPI's own SSE, a
queue per client and one reader.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import redis.asyncio
import uvloop

#: The stream that all of them follow; its entries have one field, the event's data.
STREAM: Final = "peers"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


async def tail(url: str) -> AsyncIterator[list[bytes]]:
    """What is appended from now on, as it comes."""
    client = redis.asyncio.Redis.from_url(url)
    last: Any = "$"
    while True:
        found: Any = await client.xread({STREAM: last}, block=5000, count=1000)
        for _, entries in found:
            last = entries[-1][0]
            yield [fields[b"d"] for _, fields in entries]


class Floor(asyncio.Protocol):
    transports: Final[set[asyncio.Transport]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /sub"):
            self._transport.write(_HEAD)
            self.transports.add(self._transport)
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transports.discard(self._transport)


async def floor(port: int, url: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Floor, "127.0.0.1", port, backlog=4096)
    async for page in tail(url):
        for data in page:
            chunk = b"data: %b\n\n" % data
            for transport in Floor.transports:
                transport.write(chunk)


def naive(url: str) -> Any:
    from fastapi import FastAPI
    from sse_starlette import EventSourceResponse

    app = FastAPI()

    @app.get("/sub")
    async def follow() -> EventSourceResponse:
        async def events() -> AsyncIterator[dict[str, str]]:
            async for page in tail(url):
                for data in page:
                    yield {"data": data.decode()}

        return EventSourceResponse(events())

    return app


def queues(url: str) -> Any:
    from contextlib import asynccontextmanager

    from fastapi import FastAPI
    from fastapi.sse import EventSourceResponse, ServerSentEvent

    clients: set[asyncio.Queue[str]] = set()

    async def feed() -> None:
        async for page in tail(url):
            for data in page:
                for client in clients:
                    client.put_nowait(data.decode())

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed())
        yield
        task.cancel()

    app = FastAPI(lifespan=life)

    @app.get("/sub", response_class=EventSourceResponse)
    async def follow() -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        clients.add(queue)
        try:
            while True:
                yield ServerSentEvent(raw_data=await queue.get())
        finally:
            clients.discard(queue)

    return app


def main() -> None:
    import uvicorn

    kind, port, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if kind == "floor":
        uvloop.run(floor(port, url))
        return
    app = naive(url) if kind == "naive" else queues(url)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
