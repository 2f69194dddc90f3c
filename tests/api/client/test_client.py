"""The Python clients against the real API: every call, and every event once whatever is cut or killed."""

from __future__ import annotations

import asyncio
import inspect
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api_process import process
from live_api import Hand, LiveApi, log_events, project
from tcp_cutter import Cutter

from eventually import eventually
from ports import free_port
from triton.api.routes.documents import DocumentView
from triton.api.routes.events import EventPage
from triton.api.routes.jobs import JobPage
from triton.api.services import FeedOptions
from triton.api.submission import SubmitReply, SubmitRequest
from triton.bulk import Receipt, Refusal
from triton.client import AsyncClient, Call, Client, Filters, views
from triton.errors import (
    ConflictError,
    IdempotencyError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from triton.events.render import EventView
from triton.feed.contract import Timing
from triton.job_view import JobView
from triton.settings import Settings

#: Clients come back at once, so that a test of many cuts is quick.
QUICK = FeedOptions(timing=Timing(retry_min_ms=1, retry_max_ms=5))


@pytest.fixture(scope="module")
def client(api: LiveApi) -> Iterator[Client]:
    with Client(api.url) as found:
        yield found


def versions(events: list[views.Event]) -> list[int]:
    return [event.version for event in events]


def followed(url: str, job: str, **options: Any) -> list[views.Event]:
    with Client(url) as client, client.subscribe(job, **options) as following:
        return list(following)


async def followed_async(url: str, job: str, **options: Any) -> list[views.Event]:
    async with AsyncClient(url) as client, client.subscribe(job, **options) as following:
        return [event async for event in following]


def test_it_loads_no_framework_and_no_driver() -> None:
    wanted = "fastapi starlette dramatiq psycopg clickhouse_connect redis boto3 pydantic typer"
    told = subprocess.run(
        [sys.executable, "-c", "import sys, triton.client; print(*sys.modules)"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    assert set(told) & set(wanted.split()) == set()


def test_its_values_are_those_of_the_api() -> None:
    """A field that the API gets is one that the client gets."""
    pairs = [
        (views.Job, JobView),
        (views.Event, EventView),
        (views.Submitted, SubmitReply),
        (views.JobPage, JobPage),
        (views.EventPage, EventPage),
        (views.Document, DocumentView),
        (views.Receipt, Receipt),
        (views.Refusal, Refusal),
    ]
    for ours, theirs in pairs:
        assert set(ours.__struct_fields__) == set(theirs.__struct_fields__), ours
    known = {*SubmitRequest.__struct_fields__, "idempotency_key"}
    assert set(views.Call.__struct_fields__) == known


def test_both_clients_have_the_same_surface() -> None:
    def surface(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(found).parameters)
            for name, found in vars(kind).items()
            if not name.startswith("_")
        }

    assert surface(Client) == surface(AsyncClient)


def test_the_calls(client: Client, api: LiveApi, hand: Hand, tmp_path: Path) -> None:
    made = client.submit("work", args=[1], kwargs={"b": 2}, idempotency_key="k1", priority=-5)
    assert not made.existing
    assert client.submit("work", args=[1], kwargs={"b": 2}, idempotency_key="k1").existing
    with pytest.raises(IdempotencyError) as raised:
        client.submit("other", idempotency_key="k1")
    assert raised.value.code == "idempotency_mismatch"
    assert raised.value.request_id
    job = client.job(made.id)
    assert (job.args, job.kwargs, job.priority, job.state) == ([1], {"b": 2}, -5, "pending")
    assert datetime.now(UTC) - job.submitted_at < timedelta(minutes=1)
    with pytest.raises(ConflictError):
        client.result(made.id)
    hand.run(made.id, {"n": 3})
    ended = client.wait_for(made.id, timeout=60)
    assert ended.ended
    assert client.result(made.id) == {"n": 3}
    types = [event.type for event in client.events(made.id)]
    assert types == ["job.submitted", "job.started", "job.progressed", "job.completed"]
    with pytest.raises(NotFoundError):
        client.job("nobody knows it")
    with pytest.raises(ValidationError) as refused:
        client.submit("work", delay_ms=-1)
    assert refused.value.details["fields"][0]["field"] == "options.delay_ms"

    other = client.submit("work", run_at=datetime.now(UTC) + timedelta(hours=1))
    assert client.cancel(other.id, "a test").state == "cancelled"
    assert client.requeue(other.id, "again").state == "pending"
    assert client.job(other.id).reason == ""
    bulk = client.submit_many(
        [Call(actor="work", idempotency_key="b1"), {"actor": "work", "args": [2]}, {"args": []}],
        mode="partial",
    )
    assert [one.status for one in bulk.jobs] == ["accepted", "accepted", "rejected"]
    assert bulk.jobs[2].error is not None

    path = tmp_path / "a b.txt"
    path.write_bytes(b"x" * 3_000)
    document = client.upload(path)
    assert (document.filename, document.media_type, document.size) == (
        "a b.txt",
        "text/plain",
        3000,
    )
    assert client.upload(b"y", filename="y.bin").size == 1
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "none")


def test_pages_of_jobs(client: Client, hand: Hand, module_settings: Settings) -> None:
    made = [hand.submit(queue="paged") for _ in range(230)]
    project(module_settings)
    assert [job.id for job in client.jobs(queue="paged")] == made[::-1]
    assert [job.id for job in client.jobs(queue="paged", limit=3)] == made[:-4:-1]
    assert list(client.jobs(queue="paged", status=["completed", "failed"])) == []

    async def run() -> list[str]:
        async with AsyncClient(client.url) as found:
            return [job.id async for job in found.jobs(queue="paged", status="pending", limit=220)]

    assert asyncio.run(run()) == made[:-221:-1]


def test_the_calls_of_the_asynchronous_client(api: LiveApi, hand: Hand, tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"z" * 10)

    async def run() -> None:
        async with AsyncClient(api.url) as client:
            made = await client.submit("work", kwargs={"b": 2})
            with pytest.raises(TimeoutError, match="within"):
                await client.wait_for(made.id, timeout=0.05)
            waiting = asyncio.create_task(client.wait_for(made.id))
            await asyncio.to_thread(hand.run, made.id, 7)
            assert (await waiting).result == 7
            assert await client.result(made.id) == 7
            assert [event.version async for event in client.events(made.id)] == [1, 2, 3, 4]
            other = await client.submit("work")
            assert (await client.cancel(other.id, "a test")).state == "cancelled"
            assert (await client.requeue(other.id, "again")).state == "pending"
            receipts = await client.submit_many([Call(actor="work")])
            assert receipts.accepted == 1
            assert (await client.upload(path)).size == 10
            assert (await client.get("/queues"))["queues"]

    asyncio.run(run())


def test_waiting_ends_in_time_and_closing_in_a_moment(client: Client, hand: Hand) -> None:
    job = hand.submit()
    with pytest.raises(TimeoutError, match="has not ended"):
        client.wait_for(job, timeout=0.1)
    with pytest.raises(NotFoundError):
        client.wait_for("nobody knows it")
    states: list[str] = []
    following = client.subscribe(job, on_state=states.append)
    reading = threading.Thread(target=lambda: list(following))
    reading.start()
    eventually(lambda: following.state == "live")
    following.close()
    reading.join(timeout=30)
    assert not reading.is_alive(), "the reader was waiting for a byte that never came"
    assert states == ["replaying", "live", "closed"]


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_connections_cut_at_any_byte_lose_and_double_nothing(
    module_settings: Settings, hand: Hand, gzip: bool, asynchronous: bool
) -> None:
    seed = 2 * gzip + asynchronous
    job, chance = hand.submit(), random.Random(seed)
    settings = msgspec.structs.replace(module_settings, gzip_streams=gzip)
    with LiveApi(settings, QUICK) as api, ThreadPoolExecutor() as pool:
        hand.start(job)
        hand.output(job, *("x" * chance.randint(1, 400) for _ in range(100)))
        port = int(api.url.rpartition(":")[2])
        with Cutter(port, seed=seed, most=3000 if gzip else 6000, cuts=12) as proxy:
            if asynchronous:
                coming = pool.submit(asyncio.run, followed_async(proxy.url, job, from_="earliest"))
            else:
                coming = pool.submit(followed, proxy.url, job, from_="earliest")
            hand.output(job, *("x" * chance.randint(1, 400) for _ in range(100)))
            hand.complete(job)
            found = coming.result(timeout=60)
        assert proxy.cuts > 5
        log = log_events(api.settings, job)
    assert versions(found) == list(range(1, len(log) + 1))


def test_an_api_that_is_killed_and_comes_back(module_settings: Settings, hand: Hand) -> None:
    """The process dies without a word while one waits and others follow; another takes its port."""
    jobs = [hand.submit() for _ in range(3)]
    settings = msgspec.structs.replace(module_settings, port=free_port())
    breaks: list[str] = []
    with ThreadPoolExecutor() as pool, process(settings) as (child, url), Client(url) as client:
        one = client.subscribe(jobs[0], on_break=breaks.append)
        coming = pool.submit(list, one)
        many = pool.submit(
            asyncio.run,
            followed_async(url, jobs, from_="earliest"),  # type: ignore[arg-type]
        )
        waiting = pool.submit(Client(url).wait_for, jobs[1], 60)
        eventually(
            lambda: (
                httpx.get(f"{url}/health/ready", timeout=30, verify=False).json()["streams"] == 3
            )
        )
        for job in jobs:
            hand.start(job)
        child.kill()
        for job in jobs:
            hand.complete(job, job)
        eventually(lambda: one.state == "waiting")
        with process(settings):
            assert versions(coming.result(timeout=60)) == [2, 3]
            told = [event.id for event in many.result(timeout=60)]
            assert sorted(told) == sorted(f"{job}/{n}" for job in jobs for n in (1, 2, 3))
            assert waiting.result(timeout=60).result == jobs[1]
    assert breaks


def test_a_target_is_a_job_jobs_filters_or_all(client: Client, hand: Hand) -> None:
    before = datetime.now(UTC) - timedelta(minutes=5)
    jobs = [hand.run(hand.submit(actor=f"a{n % 2}"), n) for n in range(4)]
    assert {event.subject for event in client.subscribe(jobs[:2], from_="earliest")} == set(
        jobs[:2]
    )
    assert versions(list(client.subscribe(jobs[0], from_="earliest"))) == [1, 2, 3, 4]
    assert versions(list(client.subscribe(jobs[0], from_=before))) == [1, 2, 3, 4]
    assert list(client.subscribe(jobs[0])) == []

    def first(number: int, *target: Any, **options: Any) -> list[str]:
        with client.subscribe(*target, **options) as following:
            return [next(following).subject for _ in range(number)]

    only = Filters(queue="default", actor=["a1"], type="job.completed")
    assert first(2, only, from_="earliest") == jobs[1::2]
    assert len(first(16, from_="earliest")) == 16
    with client.subscribe(jobs[0], from_="earliest") as following:
        next(following)
        cursor = following.cursor
    assert versions(list(client.subscribe(jobs[0], from_=cursor))) == [2, 3, 4]
    for number in (1001, 10_000):
        with pytest.raises(ValidationError):
            next(client.subscribe([f"{n:036}" for n in range(number)]))
    with pytest.raises(ValueError, match="no job"):
        client.subscribe([])
    with pytest.raises(ValueError, match="time zone"):
        client.subscribe(from_=datetime(2026, 1, 1))  # noqa: DTZ001


def test_an_address_that_is_none(hand: Hand) -> None:
    for wrong in ("ftp://x", "http://", "nothing", "http://[::1"):
        with pytest.raises(ValidationError, match="URL"):
            Client(wrong)
    with Client("http://127.0.0.1:1", repeats=0) as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            client.job("x")
        with pytest.raises(UnavailableError, match="does not answer"):
            client.wait_for("x", timeout=60)
