"""Takes primaries away from a whole platform: handed over, killed with a replica in place, without one, and
with a replica that was behind; and moves a partition. Jobs run meanwhile, and clients follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Self

import httpx
import pytest
from broker_log import History
from cluster_following import Follower, Submitter
from role_processes import APIS, Roles

from cluster_servers import PARTITIONS, PRIMARIES, ClusterServers, Node
from eventually import eventually
from triton import keys

#: Jobs that run while one thing happens.
JOBS = 200

pytestmark = [pytest.mark.cluster_only, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def own_cluster(
    cluster_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterServers]:
    """Three primaries, each with a replica; what they answered is there when they are started again."""
    servers = ClusterServers(
        cluster_binary, tmp_path_factory.mktemp("replicated"), replicas=PRIMARIES, durable=True
    )
    yield servers
    servers.stop()


class Load:
    """Jobs through both APIs, and who follows them. A context."""

    def __init__(self, roles: Roles) -> None:
        self.followers = [Follower(roles.client(name)) for name in APIS]
        self.jobs: set[str] = set()
        self._roles = roles

    def __enter__(self) -> Self:
        for follower in self.followers:
            follower.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for follower in self.followers:
            follower.__exit__()

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Submits JOBS jobs, does something, and waits until all are completed and everyone was told."""
        submitters = [Submitter(self._roles.client(name), range(JOBS // 2)) for name in APIS]
        for submitter in submitters:
            submitter.start()
        eventually(lambda: all(submitter.jobs for submitter in submitters), timeout=60)
        meanwhile()
        for submitter in submitters:
            submitter.join(timeout=120)
            assert submitter.problem is None
            assert not submitter.is_alive()
            self.jobs.update(submitter.jobs)
        eventually(self._told, timeout=120)

    def is_refused(self, url: str) -> bool:
        """Whether a job cannot be submitted, and the answer says so."""
        call = {"actor": "work", "args": [1]}
        answer = httpx.post(f"{url}/api/v1/jobs", json=call, timeout=60, verify=False)
        if answer.status_code == 202:
            self.jobs.add(answer.json()["id"])
            return False
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        return True

    def _told(self) -> bool:
        assert [follower.problem for follower in self.followers] == [None, None]
        assert [follower.completed for follower in self.followers] == [len(self.jobs)] * 2
        return True


def test_it_goes_on_by_itself(
    roles: Roles, history: History, own_cluster: ClusterServers, namespace: str
) -> None:
    logs = [keys.log(keys.prefix(namespace, partition)) for partition in range(PARTITIONS)]

    def hand_over() -> None:
        _replica_of(own_cluster, home).command("CLUSTER FAILOVER")
        eventually(lambda: own_cluster.home(logs[0]) is not home)

    def kill_with_replica() -> None:
        _kill_what_is_replicated(own_cluster, home)
        eventually(lambda: own_cluster.home(logs[0]) is not home, timeout=60)

    def move() -> None:
        to = next(node for node in own_cluster.nodes if node.is_primary and node is not home)
        own_cluster.begin_to_move(logs[1], to)
        while own_cluster.move_some(logs[1], home, to, 20):
            time.sleep(0.05)
        own_cluster.end_to_move(logs[1], home, to)

    def kill_both() -> None:
        pair = [home, _replica_of(own_cluster, home)]
        _kill_what_is_replicated(own_cluster, *pair)
        for url in roles.urls.values():
            eventually(lambda url=url: _is_ready(url) is False, timeout=60)
            eventually(lambda url=url: load.is_refused(url), timeout=60)
        for node in pair:
            node.start()
        for url in roles.urls.values():
            eventually(lambda url=url: _is_ready(url), timeout=60)

    with Load(roles) as load:
        home = own_cluster.home(logs[0])
        load.run(hand_over)
        home = own_cluster.home(logs[0])
        load.run(kill_with_replica)
        home.start()
        eventually(lambda: home.answers() and _has_all(home), timeout=60)
        home = own_cluster.home(logs[1])
        load.run(move)
        home = own_cluster.home(logs[2])
        load.run(kill_both)
        load.run()
        assert [follower.resets for follower in load.followers] == [[], []]
    history.check()
    assert history.ended() == {"completed": len(load.jobs)}
    assert history.jobs().keys() == load.jobs
    log = [(event.partition, event.position) for event in history.events()]
    for follower in load.followers:
        assert sorted(follower.places()) == log
    eventually(lambda: _equal(roles), timeout=120, interval=1)


def test_what_a_replica_did_not_have_is_lost_and_said(
    roles: Roles, history: History, own_cluster: ClusterServers, namespace: str
) -> None:
    log = keys.log(keys.prefix(namespace, 0))
    with Load(roles) as load:
        load.run()
        home = own_cluster.home(log)
        replica = _replica_of(own_cluster, home)
        # From now on it gets nothing.
        replica.command("CONFIG SET", "masterauth", "wrong")
        home.command("CLIENT KILL", "TYPE", "replica")
        eventually(lambda: not _has_all(replica))
        load.run()
        eventually(lambda: _equal(roles), timeout=120, interval=1)
        home.kill()
        eventually(lambda: own_cluster.home(log) is replica, timeout=60)
        replica.command("CONFIG SET", "masterauth", "")

        # Its log is another one: whoever has read more stands still and says so.
        for url in roles.urls.values():
            eventually(lambda url=url: "its tail was lost" in _readiness(url), timeout=60)
        status = roles.triton("log", "status")
        assert status.returncode == 1
        assert "forked" in status.stdout
        assert roles.triton("verify").returncode == 1
        for follower in load.followers:
            assert len({*follower.places()}) == len(follower.places())

        adopted = roles.triton("log", "adopt", "--reason", "a test", "--yes")
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
        for url in roles.urls.values():
            eventually(lambda url=url: _is_ready(url), timeout=90)
        # Who comes back is told that what it has is not the log any more, and begins with what is new.
        eventually(lambda: all(follower.resets for follower in load.followers), timeout=90)
        told = [follower.completed for follower in load.followers]
        with roles.client("api-1") as client:
            jobs = {client.submit("work", args=[number]).id for number in range(20)}
        for follower, before in zip(load.followers, told, strict=True):
            eventually(lambda f=follower, before=before: f.completed >= before + 20, timeout=60)
            assert follower.problem is None
    history.check()
    ended = {job for job, events in history.jobs().items() if events[-1].type == "job.completed"}
    assert jobs <= ended
    assert history.jobs().keys() == ended
    eventually(lambda: _equal(roles), timeout=120, interval=1)
    home.start()
    eventually(lambda: home.answers() and _has_all(home), timeout=60)


def _equal(roles: Roles) -> bool:
    verified = roles.triton("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return True


def _is_ready(url: str) -> bool:
    return httpx.get(f"{url}/health/ready", timeout=30, verify=False).status_code == 200


def _readiness(url: str) -> str:
    return httpx.get(f"{url}/health/ready", timeout=30, verify=False).text


def _has_all(replica: Node) -> bool:
    return replica.client.info("replication").get("master_link_status") == "up"


def _replica_of(cluster: ClusterServers, primary: Node) -> Node:
    for node in cluster.nodes:
        if node is not primary and node.answers():
            found = node.client.info("replication")
            if found["role"] == "slave" and int(found["master_port"]) == primary.port:
                return node
    raise AssertionError(f"{primary.port} has no replica")


def _kill_what_is_replicated(cluster: ClusterServers, *nodes: Node) -> None:
    """kill -9, of a primary first, with nothing answered that its replica has not."""
    primary, replica = nodes[0], _replica_of(cluster, nodes[0])
    primary.command("CLIENT PAUSE", 60_000, "WRITE")
    written = int(primary.client.info("replication")["master_repl_offset"])
    eventually(lambda: int(replica.client.info("replication")["slave_repl_offset"]) >= written)
    for node in nodes:
        node.kill()
