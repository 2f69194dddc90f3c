"""Tries an upload that is to be made again: all of it, or not at all."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from triton.client import AsyncClient, Client
from triton.errors import TritonError

CONTENT = b"a document" * 200_000
DOCUMENT = {
    **dict.fromkeys(("id", "sha256", "filename", "media_type", "tenant", "uploaded_by"), ""),
    "size": 0,
    "uploaded_at": "2026-01-31T12:00:00Z",
    "links": {},
}


class Busy(ThreadingHTTPServer):
    """Refuses the first request of all with 429, and answers the next with how much came."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Busy

    def do_POST(self) -> None:
        size = 0
        while piece := int(self.rfile.readline(), 16):
            size += len(self.rfile.read(piece))
            self.rfile.readline()
        self.rfile.readline()
        self.server.sizes.append(size)
        again = len(self.server.sizes) == 1
        body = json.dumps({} if again else DOCUMENT).encode()
        self.send_response(429 if again else 201)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def busy() -> Iterator[Busy]:
    with Busy() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_sent_from_its_beginning_again(busy: Busy, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(CONTENT)
    with Client(busy.url) as client:
        client.upload(path)
    assert busy.sizes == [len(CONTENT)] * 2


def test_a_file_is_sent_from_its_beginning_again_by_asyncio(busy: Busy, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(CONTENT)

    async def upload() -> None:
        async with AsyncClient(busy.url) as client:
            await client.upload(path)

    asyncio.run(upload())
    assert busy.sizes == [len(CONTENT)] * 2


def test_what_can_be_read_once_is_sent_once(busy: Busy) -> None:
    with Client(busy.url) as client, pytest.raises(TritonError):
        client.upload(iter([CONTENT, CONTENT]))
    assert busy.sizes == [2 * len(CONTENT)]
