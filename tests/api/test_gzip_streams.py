"""Compressed streams: right for clients of every kind, live, and compressed once for all who get the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from chromium import Browser
from live_api import Hand, LiveApi

from eventually import eventually
from triton.api.services import FeedOptions
from triton.feed import gzipped
from triton.feed.contract import Timing
from triton.feed.gzipped import Blocks, GzipStream, wants_gzip
from triton.settings import Settings

GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
def zipping(module_settings: Settings) -> Iterator[LiveApi]:
    settings = msgspec.structs.replace(module_settings, gzip_streams=True)
    options = FeedOptions(timing=Timing(retry_min_ms=20, retry_max_ms=50))
    with LiveApi(settings, options) as live:
        yield live


class Pieces:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None: ...


def zipped(blocks: Blocks, *pieces: bytes) -> list[bytes]:
    async def read() -> list[bytes]:
        return [piece async for piece in GzipStream(Pieces(*pieces), blocks).pieces()]

    return asyncio.run(read())


def test_streams_of_shared_blocks_in_any_order_are_whole_gzip_files() -> None:
    """Each begins somewhere else and has blocks that others had compressed; a block that referred to what
    stood before it would come out as something else."""
    chance = random.Random(7)
    said = [
        json.dumps({"job": chance.randrange(9), "said": "token " * chance.randrange(60)}).encode()
        for _ in range(80)
    ]
    blocks = Blocks(kept=4096)
    for _ in range(40):
        pieces = chance.sample(said, chance.randrange(len(said)))
        assert gzip.decompress(b"".join(zipped(blocks, *pieces))) == b"".join(pieces)


def test_every_piece_can_be_read_when_it_comes() -> None:
    reader = zlib.decompressobj(31)
    pieces = (b"retry: 1\n", b"data: one\n\n", b":\n", b"data: two\n\n" * 9000)
    *sent, end = zipped(Blocks(), *pieces)
    assert [reader.decompress(piece) for piece in sent] == list(pieces)
    assert (reader.decompress(end), reader.eof) == (b"", True)


def test_a_piece_is_compressed_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, piece = Blocks(), b"data: the same\n\n" * 50
    first = blocks.of(piece)
    monkeypatch.setattr(blocks, "_deflate", None)
    assert blocks.of(bytes(bytearray(piece))) is first


def test_what_is_kept_is_bounded() -> None:
    blocks = Blocks(kept=10_000)
    for number in range(1000):
        blocks.of(b"%d" % number * 100)
    assert sum(len(a) + len(b) for a, b in blocks._blocks.items()) == blocks._size <= 10_000
    assert zlib.decompress(blocks.of(b"x" * 20_000) + gzipped._LAST, -15) == b"x" * 20_000
    assert blocks._size == 0


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.5", True),
        ("br, *;q=0.1", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("gzip;q=x", False),
        ("notgzip", False),
    ],
)
def test_only_who_takes_gzip_gets_it(accepted: str, wanted: bool) -> None:
    assert wants_gzip(accepted) is wanted


def test_httpx_reads_a_compressed_stream_live(zipping: LiveApi, hand: Hand) -> None:
    job = hand.submit()
    url = f"{zipping.url}/api/v1/jobs/{job}/subscribe"
    with httpx.stream("GET", url, headers=GZIP, timeout=60) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert "content-length" not in answer.headers
        text = ""
        begun = False
        for part in answer.iter_text():
            text += part
            if "triton.caught-up" in text and not begun:
                # Nothing more comes before this: each piece must be out at once.
                hand.run(job)
                begun = True
    plain = zipping.http.get(url, headers={"Accept-Encoding": "identity"}).text
    assert [line for line in text.splitlines() if '"job.completed"' in line]
    assert "event: triton.end" in text
    assert "event: triton.end" in plain


def test_the_bytes_are_those_of_a_plain_stream(zipping: LiveApi, hand: Hand) -> None:
    job = hand.run(hand.submit("x" * 5000))
    url = f"{zipping.url}/api/v1/events/subscribe"
    params = {"job_id": job, "from": "earliest"}

    def events(accepted: str) -> tuple[list[str], httpx.Headers]:
        answer = zipping.http.get(url, params=params, headers={"Accept-Encoding": accepted})
        assert answer.text.endswith("\n\n")
        lines = answer.text.splitlines()
        return [line for line in lines if line.startswith('data: {"spec')], answer.headers

    plain, plain_headers = events("identity")
    small, _ = events("gzip")
    assert small == plain
    assert len(plain) == 4
    assert "content-encoding" not in plain_headers
    assert "Accept-Encoding" in plain_headers["vary"]


def test_without_the_setting_nothing_is_compressed(api: LiveApi, hand: Hand) -> None:
    job = hand.run(hand.submit())
    answer = api.http.get(f"/api/v1/jobs/{job}/subscribe", headers=GZIP)
    assert "content-encoding" not in answer.headers


def test_a_browser_follows_a_compressed_stream_and_comes_back(
    browser: Browser, zipping: LiveApi, hand: Hand
) -> None:
    page: Any = browser.new_page(bypass_csp=True)
    page.goto(f"{zipping.url}/health")
    page.evaluate(
        """url => {
            window.told = [];
            const source = new EventSource(url);
            source.onopen = () => { window.opened = (window.opened ?? 0) + 1; };
            source.onmessage = (event) => window.told.push(JSON.parse(event.data).id);
        }""",
        "/api/v1/events/subscribe?from=now",
    )
    page.wait_for_function("window.opened === 1")
    expected = []
    for turn in range(1, 3):
        job = hand.run(hand.submit())
        expected += [f"{job}/{version}" for version in range(1, 5)]
        page.wait_for_function(f"window.told.length >= {4 * turn}")
        # As a rotation does: the server ends the gzip file, and the browser begins another one.
        hub, loop = zipping.services.hub, zipping.server._loop
        assert loop is not None
        loop.call_soon_threadsafe(hub._close_all, "rotate")
        page.wait_for_function(f"window.opened === {turn + 1}")
    eventually(lambda: page.evaluate("window.told") == expected)
    page.close()
