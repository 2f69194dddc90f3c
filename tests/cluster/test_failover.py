"""Kills a primary of a cluster under load: its replica takes over, and no job is lost or stuck."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import ConnectionClosed
from redis.crc import key_slot

from cluster_servers import PARTITIONS, PRIMARIES, SLOTS, ClusterServers
from eventually import eventually
from triton import keys
from triton.errors import UnavailableError

JOBS = 200


@pytest.fixture(scope="session")
def own_cluster(
    cluster_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterServers]:
    """A cluster of its own, which is a primary short afterwards."""
    servers = ClusterServers(cluster_binary, tmp_path_factory.mktemp("failover"))
    yield servers
    servers.stop()


@pytest.fixture
def namespace() -> str:
    """One of whose partitions the primary that is killed has some."""
    while True:
        name = "t" + secrets.token_hex(5)
        slots = [key_slot(keys.log(keys.prefix(name, p)).encode()) for p in range(PARTITIONS)]
        if min(slots) < SLOTS // PRIMARIES:
            return name


def test_a_replica_takes_over_and_every_job_ends_once(
    make_broker: MakeBroker, run: Run, history: History, own_cluster: ClusterServers, namespace: str
) -> None:
    broker = make_broker(url=own_cluster.url, lease_ms=3000)
    ran: list[int] = []
    lock = threading.Lock()

    @dramatiq.actor
    def work(number: int) -> int:
        time.sleep(0.005)
        with lock:
            ran.append(number)
        return number

    with run(broker, threads=4):
        for number in range(JOBS):
            if number == JOBS // 4:
                eventually(lambda: len(ran) > 20)
                # Replication does not wait: what was answered a moment ago may be lost with its primary.
                written = _offset(own_cluster, 0)
                eventually(lambda written=written: _offset(own_cluster, 3) >= written)
                own_cluster.nodes[0].kill()
            message = work.message(number)
            # As a caller would: an unanswered message is sent again, under its id.
            eventually(lambda message=message: _sent(broker, message), timeout=60, interval=0.1)
        broker.join("default", timeout=60_000)
    assert own_cluster.nodes[3].client.info("replication")["role"] == "master"
    moved = [p for p in range(history.partitions) if _home(own_cluster, namespace, p) == 3]
    assert moved, "no partition lived on the primary that was killed: nothing was tried"
    history.check()
    assert history.ended() == {"completed": JOBS}
    assert set(ran) == set(range(JOBS))


def test_a_primary_that_stays_away_holds_up_no_other_partition(
    make_broker: MakeBroker, own_cluster: ClusterServers, namespace: str
) -> None:
    broker = make_broker(url=own_cluster.url)

    @dramatiq.actor
    def work() -> None:
        pass

    broker.enqueue(work.message())
    homes = [_home(own_cluster, namespace, p) for p in range(PARTITIONS)]
    # Nobody takes its slots over.
    gone = next(home for home in homes if home in (1, 2))
    alive = [
        node for node in own_cluster.nodes if node.answers() and node is not own_cluster.nodes[gone]
    ]
    for node in alive:
        node.command("CONFIG SET", "cluster-require-full-coverage", "no")
    own_cluster.nodes[gone].kill()
    for node in alive:
        node.command("SCRIPT FLUSH")
    message = work.message()
    while homes[keys.partition_of(message.message_id, PARTITIONS)] == gone:
        message = work.message()
    eventually(lambda: _sent(broker, message), interval=0.1)


def _offset(cluster: ClusterServers, node: int) -> int:
    return int(cluster.nodes[node].client.info("replication")["master_repl_offset"])


def _sent(broker: dramatiq.Broker, message: dramatiq.Message[int]) -> bool:
    try:
        broker.enqueue(message)
    except (ConnectionClosed, UnavailableError):
        return False
    return True


def _home(cluster: ClusterServers, namespace: str, partition: int) -> int:
    """The number of the node that has a partition's slot now."""
    client: redis.cluster.RedisCluster = cluster.client()
    node = client.get_node_from_key(keys.log(keys.prefix(namespace, partition)))
    client.close()
    assert node is not None
    return next(i for i, each in enumerate(cluster.nodes) if each.port == node.port)
