"""Owns a cluster for tests: three primaries and one replica on loopback, each a server that may be killed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import redis
import redis.cluster

from eventually import eventually
from ports import free_port
from triton.events.client import connect
from triton.events.cluster import is_cluster

SLOTS = 16384
PRIMARIES = 3
#: Of the logs that live there: more than primaries, so that each has some.
PARTITIONS = 6
#: Milliseconds after which the others take a node for dead.
NODE_TIMEOUT_MS = 1000


class Node:
    """One server of a cluster."""

    def __init__(self, binary: str, folder: Path) -> None:
        folder.mkdir()
        self.port, bus = free_port(), free_port()
        argv = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        argv += ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--save", ""]
        argv += ["--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--appendonly", "no"]
        # A replica that was cut off for long may take over all the same: nothing here is slow.
        argv += ["--cluster-replica-validity-factor", "0", "--logfile", str(folder / "log")]
        argv += ["--repl-diskless-sync-delay", "0"]
        self.bus = bus
        self._process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL)
        self.client = redis.Redis(host="127.0.0.1", port=self.port)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def command(self, *words: object) -> object:
        return self.client.execute_command(*words)

    def kill(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


class ClusterServers:
    """Nodes 0 to 2 share the slots; node 3 is the replica of node 0."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.nodes: list[Node] = []
        try:
            for number in range(PRIMARIES + 1):
                self.nodes.append(Node(binary, folder / str(number)))
            self._join()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self) -> redis.Redis:
        """As the broker has it."""
        return connect(self.url)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _join(self) -> None:
        first, *others = self.nodes
        replica = self.nodes[PRIMARIES]
        for node in self.nodes:
            eventually(node.answers, interval=0.005)
        share = -(-SLOTS // PRIMARIES)
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            begin, end = number * share, min(SLOTS, (number + 1) * share) - 1
            node.command("CLUSTER ADDSLOTSRANGE", begin, end)
        for number, node in enumerate(self.nodes, start=1):
            node.command("CLUSTER SET-CONFIG-EPOCH", number)

        def met() -> bool:
            # A handshake that a busy machine did not end in time is forgotten.
            for node in others:
                first.command("CLUSTER MEET", "127.0.0.1", node.port, node.bus)
            met_by = time.monotonic() + NODE_TIMEOUT_MS / 1000
            while time.monotonic() < met_by:
                if all(_knows(node, len(self.nodes)) for node in self.nodes):
                    return True
                time.sleep(0.02)
            return False

        eventually(met, timeout=30)
        identity = first.command("CLUSTER MYID")
        assert isinstance(identity, bytes)
        replica.command("CLUSTER REPLICATE", identity.decode())
        eventually(lambda: all(_is_whole(node) for node in self.nodes), timeout=30)
        eventually(lambda: _follows(replica), timeout=30)


def client_of(url: str) -> redis.Redis:
    """redis-py's own client, and of a cluster the broker's."""
    if not is_cluster(url):
        return redis.Redis.from_url(url)
    return connect(url)


def _knows(node: Node, count: int) -> bool:
    found = node.command("CLUSTER NODES")
    return len(found) == count if isinstance(found, dict) else False


def _is_whole(node: Node) -> bool:
    found = node.command("CLUSTER INFO")
    return isinstance(found, dict) and found["cluster_state"] == "ok"


def _follows(node: Node) -> bool:
    return node.client.info("replication").get("master_link_status") == "up"
