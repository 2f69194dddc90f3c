"""Tries what nobody foresaw: errors of no known kind, a broker that is closed too early, and slow reads."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from own_server import OwnServer
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventually import eventually
from triton import LeaseLost, keys
from triton.broker.bells import Bell, Bells
from triton.broker.reports import Reports
from triton.broker.steps import Steps
from triton.events.client import connect, send
from triton.events.scripts import Scripts
from triton.payloads import Payloads
from triton.stack.engines import Engines


@pytest.mark.one_server
@pytest.mark.usefixtures("quick_heart")
def test_an_error_that_nobody_foresaw_ends_neither_claims_nor_heartbeats(
    make_broker: MakeBroker, run: Run, history: History, redis_client: redis.Redis, namespace: str
) -> None:
    broker = make_broker()
    scripts = Scripts()
    fails = {scripts.by_name[name].sha for name in ("claim", "heartbeat")}
    pool = broker.client.connection_pool
    kind: Any = pool.connection_class

    class Odd(kind):  # type: ignore[misc]
        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            for sha in fails:
                if sha.encode() in b"".join(command):
                    fails.remove(sha)
                    raise ValueError("odd")
            super().send_packed_command(command, check_health)

    pool.connection_class = Odd
    begun = threading.Event()

    @dramatiq.actor
    def work() -> None:
        begun.set()
        while True:
            time.sleep(0.01)

    message = work.send()
    with run(broker, threads=1):
        assert begun.wait(30), "it is claimed in spite of the first error"
        eventually(lambda: not fails)
        prefix = keys.prefix(namespace, 0)
        send(redis_client, [scripts.cancel(prefix, [message.message_id], op="op", by="user:u")])
        eventually(lambda: history.types(message.message_id)[-1] == "cancelled", timeout=60)
    history.check()


def test_a_job_that_outlives_its_broker_gives_up_on_a_server_that_refuses(
    make_broker: MakeBroker, run: Run
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        server = OwnServer(Path(folder))
        server.start()
        try:
            broker = make_broker(url=server.url, partitions=1)

            @dramatiq.actor
            def work() -> None:
                begun.set()
                go_on.wait(60)

            work.send()
            with run(broker, threads=1) as worker:
                assert begun.wait(30)
                (thread,) = worker.workers
                broker.close()
                with redis.Redis.from_url(server.url) as client:
                    client.config_set("maxmemory", 1)
                go_on.set()
                worker.stop(timeout=30_000)
                assert not thread.is_alive(), "it says what it has to say for ever"
        finally:
            server.kill()


def test_an_ear_that_loses_its_connection_has_somebody_look() -> None:
    """What rang at that moment is heard by nobody."""
    rung, stopped = threading.Event(), threading.Event()
    client = connect("unix:///nowhere", retry=Retry(NoBackoff(), 0))
    bells = Bells(client, ["{a:0}:", "{a:1}:"], lambda: ["{a:0}:bell:q", "{a:1}:bell:q"], rung.set)
    thread = threading.Thread(target=bells.listen, args=(stopped,))
    thread.start()
    bells.arm(60)
    try:
        assert rung.wait(30)
    finally:
        stopped.set()
        bells.hush()
        thread.join()


@pytest.mark.one_server
def test_a_bell_that_is_armed_again_as_soon_as_it_was_hushed_hears_of_what_is_new(
    engines: Engines, redis_client: redis.Redis, namespace: str
) -> None:
    """It took the connection that `hush` had ended for a lost one, and was deaf for 0.2 seconds."""
    first, second = f"{namespace}:first", f"{namespace}:second"
    names = [first]
    rung, stopped = threading.Event(), threading.Event()
    client = connect(engines.redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=90)
    bell = Bell(client, names.copy, rung.set)
    thread = threading.Thread(target=bell.listen, args=(stopped,))
    thread.start()
    try:
        bell.arm(20)
        eventually(lambda: redis_client.info("clients")["blocked_clients"])
        names.append(second)
        bell.hush()
        bell.arm(20)
        redis_client.lpush(second, 1)
        assert rung.wait(60)
        assert not redis_client.exists(second), "it rang of itself"
    finally:
        stopped.set()
        bell.hush()
        thread.join()


def test_a_claim_that_finds_nothing_while_its_queue_is_subscribed_is_not_the_last(
    make_broker: MakeBroker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subscriber hushed the bell after that claim had armed it, and nobody looked again."""
    broker = make_broker()
    done = threading.Event()

    @dramatiq.actor
    def work() -> None:
        done.set()

    bell = broker._working.dispatcher()._bell
    hush, deadline = bell.hush, time.monotonic() + 0.5

    def late() -> None:
        while not bell.listening and time.monotonic() < deadline:
            time.sleep(0.01)
        hush()

    monkeypatch.setattr(bell, "hush", late)
    with run(broker, threads=1):
        eventually(lambda: time.monotonic() >= deadline)
        work.send()
        assert done.wait(30)


class Lease:
    """What steps need of a job's lease; its reports are taken at once."""

    payloads: Payloads | None = None
    personal = None

    def __init__(self) -> None:
        self.over = False
        self.answers = True
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.let_go = False
        self.reports = Reports("job", 2, "worker:w", wake=lambda _: self._take())

    def recorded_steps(self) -> Mapping[bytes, bytes]:
        self.reading.set()
        self.let_go = self.go_on.wait(30)
        return {}

    def _take(self) -> None:
        for said in self.reports.take(everything=True):
            if said.receipt is not None and self.answers:
                said.receipt.set_result("ok")


async def seven() -> int:
    return 7


def test_steps_that_wait_for_what_was_recorded_let_other_coroutines_run() -> None:
    lease = Lease()
    steps = Steps(lease, attempt=2)

    async def both() -> list[int]:
        first = asyncio.ensure_future(steps.run_async("one", seven))
        assert await asyncio.to_thread(lease.reading.wait, 30)
        second = asyncio.ensure_future(steps.run_async("two", seven))
        await asyncio.sleep(0.01)
        lease.go_on.set()
        return [await first, await second]

    assert asyncio.run(both()) == [7, 7]
    assert lease.let_go, "the loop stood still until the first one had waited in vain"


def test_an_asynchronous_step_ends_where_nobody_answers_any_more() -> None:
    lease = Lease()
    lease.answers, lease.over = False, True

    async def alone() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(LeaseLost):
                await Steps(lease, attempt=1).run_async("one", seven)

    asyncio.run(alone())
