"""The JavaScript client in Node against the real API: every event once and in order, whatever is cut."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_api import Hand, LiveApi, log_events
from sse_reader import Subscriber
from tcp_cutter import Cutter

from eventually import eventually
from ports import free_port
from triton.api.routes.clients import folder
from triton.api.services import FeedOptions
from triton.events.render import EventView
from triton.events.types import TYPES
from triton.feed.contract import Timing
from triton.job_view import JobView
from triton.settings import Settings

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 18 or newer")
HERE = Path(__file__).parent / "js"
#: Clients come back at once, so that a test of many cuts is quick.
QUICK = FeedOptions(timing=Timing(retry_min_ms=1, retry_max_ms=5))


class Follower:
    """A Node process that follows a job; `lines` once it has ended."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["node", HERE / "follow.mjs", *arguments], stdout=subprocess.PIPE, text=True
        )

    def lines(self, timeout: float = 120) -> list[dict[str, Any]]:
        late = threading.Timer(timeout, self._process.kill)
        late.start()
        assert self._process.stdout is not None
        found = [json.loads(line) for line in self._process.stdout if line.endswith("\n")]
        late.cancel()
        self._process.wait()
        return found

    def wait_for(self, wanted: str) -> list[dict[str, Any]]:
        """Its lines up to the first that has this key."""
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            seen.append(json.loads(line))
            if wanted in seen[-1] or seen[-1].get("state") == wanted:
                return seen
        raise AssertionError(f"no {wanted} in {seen}")

    def kill(self) -> list[dict[str, Any]]:
        """The lines that were left."""
        self._process.kill()
        return self.lines()


def versions(lines: list[dict[str, Any]]) -> list[int]:
    return [line["event"]["version"] for line in lines if "event" in line]


def live_a_life(hand: Hand, job: str) -> None:
    """Every kind of event that a worker makes."""
    hand.start(job)
    hand.progress(job, 10, "reading \u2028 \r\n")
    hand.output(job, "one", "two\n\ndata: three")
    hand.retry(job)
    hand.start(job)
    for percent in range(20, 100, 5):
        hand.progress(job, percent, f"at {percent}")
    hand.complete(job, {"done": ["\0", "\U0001f600"]})


def like_the_server(shown: dict[str, Any]) -> dict[str, Any]:
    """What a client can know: where to go on is the server's, and a completed job's message is gone."""
    return {k: v for k, v in shown.items() if k not in ("cursor", "links", "args", "kwargs")}


def test_a_life_is_followed_and_folds_to_the_servers_view(api: LiveApi, hand: Hand) -> None:
    job = hand.submit("a", b=1)
    follower = Follower(api.url, job)
    seen = follower.wait_for("live")
    live_a_life(hand, job)
    lines = seen + follower.lines()
    log = log_events(api.settings, job)
    assert versions(lines) == [event.version for event in log[1:]], "the snapshot holds the first"
    assert [line["event"]["type"] for line in lines if "event" in line] == [e.type for e in log[1:]]
    assert lines[-1]["state"] == "ended"
    view = api.http.get(f"/api/v1/jobs/{job}").json()
    assert like_the_server(lines[-1]["done"]) == like_the_server(view)


@pytest.mark.parametrize("seed", range(3))
def test_connections_cut_at_any_byte_lose_and_double_nothing(
    module_settings: Settings, hand: Hand, tmp_path: Path, seed: int
) -> None:
    job, store = hand.submit(), tmp_path / "cursor"
    chance = random.Random(seed)
    with LiveApi(module_settings, QUICK) as api:
        with Subscriber(f"{api.url}/api/v1/jobs/{job}/subscribe") as first:
            store.write_text(next(first).id)
        hand.start(job)
        for _ in range(100):
            hand.output(job, "x" * chance.randint(1, 400))
        port = int(api.url.rpartition(":")[2])
        with Cutter(port, seed=seed, most=6000, cuts=12) as proxy:
            follower = Follower(proxy.url, job, str(store))
            seen = follower.wait_for("event")
            for _ in range(100):
                hand.output(job, "x" * chance.randint(1, 400))
            hand.complete(job)
            seen += follower.lines()
        assert proxy.cuts > 5
        log = log_events(api.settings, job)
    assert versions(seen) == list(range(1, len(log) + 1))


def test_many_jobs_on_one_connection_through_cuts(module_settings: Settings, hand: Hand) -> None:
    jobs = [hand.submit(queue="many") for _ in range(10)]
    with LiveApi(module_settings, QUICK) as api:
        port = int(api.url.rpartition(":")[2])
        with Cutter(port, seed=1, most=6000, cuts=8) as proxy:
            follower = Follower(proxy.url, json.dumps({"job_id": jobs, "from": "earliest"}))
            for job in jobs:
                hand.start(job, queue="many")
                hand.output(job, "x" * 500)
                hand.complete(job)
            seen = follower.lines()
    told = [line["event"]["id"] for line in seen if "event" in line]
    assert sorted(told) == sorted(f"{job}/{version}" for job in jobs for version in range(1, 5))
    assert seen[-1]["state"] == "ended"


def test_a_server_that_ends_and_one_that_takes_its_place(
    module_settings: Settings, hand: Hand
) -> None:
    job = hand.submit()
    port = free_port()
    first = LiveApi(module_settings, QUICK, port=port)
    with first:
        follower = Follower(first.url, job)
        seen = follower.wait_for("live")
        hand.start(job)
        hand.progress(job, 10)
        seen += follower.wait_for("event")
    hand.progress(job, 20)
    with LiveApi(module_settings, QUICK, port=port):
        hand.complete(job)
        seen += follower.lines()
    assert versions(seen) == [2, 3, 4, 5]
    assert "waiting" in {line.get("state") for line in seen}


def test_a_follower_that_is_killed_goes_on_from_its_store(
    api: LiveApi, hand: Hand, tmp_path: Path
) -> None:
    job, store = hand.submit(), tmp_path / "cursor"
    follower = Follower(api.url, job, str(store))
    follower.wait_for("live")
    hand.start(job)
    hand.progress(job, 50)
    seen = follower.wait_for("event")
    eventually(lambda: store.exists() and store.read_text())
    seen += follower.kill()
    hand.complete(job)
    rest = Follower(api.url, job, str(store)).lines()
    found = versions(seen) + versions(rest)
    assert sorted(set(found)) == [2, 3, 4], "an event that was not handled before comes again"
    assert {"removed": True} in rest, "a cursor of a job that is over is not kept"
    assert Follower(api.url, job).lines()[-1]["state"] == "ended"


def test_the_rest_of_the_surface(api: LiveApi, hand: Hand) -> None:
    done, running = hand.run(hand.submit()), hand.submit()
    told = subprocess.run(
        ["node", HERE / "use.mjs", api.url, done, running],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert json.loads(told) == {
        "waited": "completed",
        "over": True,
        "unknown": [True, 404],
        "timeout": "TimeoutError",
        "closed": [running, "closed"],
        "followed": [],
        "same": True,
        "once": [1, 2],
        "kept": ["c0"],
        "thrown": [["RangeError", "failed", 1]] * 4,
        "tokenless": [[True, "failed", tries, tries - 1] for tries in (20, 39, 1)],
    }


STREAM = (
    "\ufeffdata: bom\r\n\r\n"
    ": a comment\ndata: a\ndata: b\nid: 1\n\n"
    "event: triton.hello\rdata:{}\rid: 2\r\r"
    "id: 3\n\nretry: 12\n\nretry: bogus\ndata\n\n"
    "id: nul\0\ndata:  two spaces\n\ndata: \U0001f600\u2028\n\nid: lost\ndata: no blank line\n"
).encode()
FRAMES = [
    ("message", "bom", "", None),
    ("message", "a\nb", "1", None),
    ("triton.hello", "{}", "2", None),
    ("message", "", "3", None),
    ("message", "", "", 12),
    ("message", "", "", None),
    ("message", " two spaces", "", None),
    ("message", "\U0001f600\u2028", "", None),
]


def cuts(chance: random.Random) -> Iterator[bytes]:
    rest = STREAM
    while rest:
        size = chance.randint(1, 12)
        yield rest[:size]
        rest = rest[size:]


def test_frames_are_the_same_however_they_come() -> None:
    chance = random.Random(1)
    ways = [[STREAM], [bytes([byte]) for byte in STREAM], *([*cuts(chance)] for _ in range(50))]
    asked = [[base64.b64encode(chunk).decode() for chunk in way] for way in ways]
    told = subprocess.run(
        ["node", HERE / "frames.mjs"],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    for found in json.loads(told):
        assert [(f["event"], f["data"], f["id"], f["retry"]) for f in found] == FRAMES


def test_the_api_serves_the_client(api: LiveApi) -> None:
    answer = api.http.get("/clients/triton.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "export class Triton" in answer.text
    assert api.http.get("/clients/secret").status_code == 404
    assert api.http.get("/clients/..%2fpackage.json").status_code == 404


def test_the_types_are_those_of_the_log() -> None:
    types = (folder() / "triton.d.ts").read_text()

    def fields(name: str) -> set[str]:
        body = re.search(rf"interface {name}<.*?\{{(.*?)\n\}}", types, re.S)
        assert body
        return set(re.findall(r"^  (\w+):", body[1], re.M))

    assert fields("Job") == {field.name for field in msgspec.structs.fields(JobView)}
    assert fields("Envelope") == {field.name for field in msgspec.structs.fields(EventView)}
    named = dict(
        re.findall(r'Envelope<\s*"(job\.\w+)",\s*(\{.*?\}|Record<string, never>)\s*>', types, re.S)
    )
    assert set(named) == {name for name in TYPES if name.startswith("job.")}
    for name, shape in named.items():
        expected = {field.name for field in msgspec.structs.fields(TYPES[name])}
        if "body" in expected:
            expected = expected - {"body"} | {"args", "kwargs"}
        assert set(re.findall(r"(\w+):", shape)) == expected, name
