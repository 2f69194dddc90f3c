"""Owns the promise that one script touches one slot: all scripts on three partitions of a cluster node.

In cluster mode the server itself refuses a script that touches a key of another slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from log_steps import Steps
from partition_model import Sent
from redis.exceptions import ResponseError

from eventually import eventually
from ports import free_port
from redis_server import BOTH, RedisServer, redis7_binary, valkey_binary
from triton import keys
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.replies import answers, claimed
from triton.events.scripts import Call, Scripts, pack_report
from triton.events.sources import NAMES
from triton.events.types import (
    AuditRead,
    Error,
    Output,
    Progressed,
    RetryScheduled,
    StepCompleted,
)

PARTITIONS = 3


@pytest.fixture(params=BOTH)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A cluster of one node that holds every slot."""
    binary = valkey_binary() if request.param == "valkey" else redis7_binary()
    options = ["--port", str(free_port()), "--cluster-port", str(free_port())]
    options += ["--bind", "127.0.0.1", "--cluster-enabled", "yes"]
    server = RedisServer(binary, tmp_path_factory.mktemp("cluster"), *options)
    try:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield server
    finally:
        server.stop()


def test_every_script_keeps_to_its_partition(cluster: RedisServer, namespace: str) -> None:
    used: set[str] = set()
    jobs = [f"job-{n}" for n in range(60)]
    with cluster.client() as client:
        with pytest.raises(ResponseError, match="slot"):
            client.eval(
                "#!lua\nreturn redis.call('GET', '{b}') or redis.call('GET', '{a}')", 1, "{a}"
            )
        for partition in range(PARTITIONS):
            mine = [job for job in jobs if keys.partition_of(job, PARTITIONS) == partition]
            assert len(mine) > 8
            used |= drive(Steps(client, namespace, partition), mine)
        found = client.keys("*")
        tags = {keys.prefix(namespace, partition).encode() for partition in range(PARTITIONS)}
        assert all(key[: len(min(tags))] in tags for key in found)
        slots = {client.execute_command("CLUSTER", "KEYSLOT", key) for key in found}
        assert len(slots) == PARTITIONS
    assert used | {"trim"} == set(NAMES)

    async def read() -> None:
        async with connect_async(cluster.url) as connected:
            log = await Log.open(connected, Scripts(), namespace, PARTITIONS, "another")
            assert log.epochs == ("e0", "e1", "e2")
            for job in jobs:
                versions = [event.version async for event in log.history(job)]
                assert versions == list(range(1, len(versions) + 1))
                assert versions

    asyncio.run(read())
    with cluster.client() as client:
        for steps in (Steps(client, namespace, partition) for partition in range(PARTITIONS)):
            assert steps.run(steps.scripts.trim(steps.prefix, 9)) == [9]
            assert client.keys(keys.body(steps.prefix, "*"))


def drive(steps: Steps, jobs: list[str]) -> set[str]:
    """Every script and every branch of it that writes; the names of the scripts."""
    partition = int(steps.prefix.rstrip("}:").rpartition(":")[2])
    first, again, back, stop, dead, other, *_ = jobs
    named = {"open"}

    def ok(call: Call, *expected: str) -> None:
        named.add(call.script.name)
        assert answers(steps.run(call)[0]) == list(expected)

    steps.open(PARTITIONS, f"e{partition}")
    ok(steps.submit(*jobs), *["ok"] * len(jobs))
    named.add("claim")
    given = claimed(steps.run(steps.claim("w", limit=5, lease_ms=1))[0])
    assert [job.job for job in given.jobs] == jobs[:5]
    ok(steps.heartbeat(*((job, 1) for job in jobs[:4])), *["ok"] * 4)
    said = (Progressed(percent=50), Output(chunk="x"), StepCompleted(name="s"))
    reports = [pack_report(first, 1, n + 1, "worker:w", data) for n, data in enumerate(said)]
    ok(steps.scripts.report(steps.prefix, reports), "ok", "ok", "ok")
    ok(steps.finish(first, outbox=(f"next-{partition}",)), "ok")
    ok(steps.finish(again, data=RetryScheduled(error=Error(type="E"))), "ok")
    ok(steps.release((back, 1)), "ok")
    ok(steps.cancel(stop, other), "requested", "cancelled")
    ok(steps.finish(stop, data=RetryScheduled(error=Error(type="E"))), "ok")
    ok(steps.requeue(stop), "ok")
    steps.client.zadd(keys.leases(steps.prefix, "q"), {dead: 1})  # its worker died long ago
    given = claimed(steps.run(steps.claim("w2", limit=100))[0])
    assert {again, back, stop, dead} <= {job.job for job in given.jobs}
    terms = {"ttl": 60_000_000, "unique": f"u{partition}", "conflict": "replace", "payload": "p"}
    one, two = (
        Sent(job, "q", b"body", **terms) for job in (f"one-{partition}", f"two-{partition}")
    )
    ok(steps.submit(one, two), "ok", "ok")
    about = steps.scripts.heartbeat(steps.prefix, 60_000, [], worker="w", about=b"x")
    ok(about)
    steps.client.zadd(keys.expires(steps.prefix), {two.job: 1})
    for state in ("paused", "open"):
        named.add("hold")
        call = steps.scripts.hold(steps.prefix, "q", state, by="user:ann")
        assert steps.run(call) == [b"ok"]
    named.add("note")
    note = AuditRead(what="at")
    written = [steps.run(steps.scripts.note(steps.prefix, note, op="1", by="s")) for _ in "ab"]
    assert written[0] == written[1]
    raw = steps.client.xrange(keys.log(steps.prefix))
    named.add("adopt")
    epoch = f"e{partition}"
    assert steps.run(steps.scripts.adopt(steps.prefix, epoch, epoch)) == [b"already"]
    named.add("trim")
    assert steps.run(steps.scripts.trim(steps.prefix, 0, epoch=epoch)) == [0]
    named |= {"reserve", "restored"}
    taken = steps.run(steps.scripts.reserve(steps.prefix, "other", PARTITIONS))[0]
    assert taken[0] == b"taken"
    assert steps.run(steps.scripts.restored(steps.prefix, epoch, [])) == [b"already"]
    types = {fields[1].decode() for _, fields in raw}
    assert {"job.lease_lost", "job.due", "job.cancel_requested", "job.requeued"} <= types
    return named
