"""Owns a cluster for tests: three primaries and replicas on loopback, each a server that may be killed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import redis
import redis.cluster
from redis.crc import key_slot

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

    def __init__(self, binary: str, folder: Path, *, durable: bool = False) -> None:
        folder.mkdir()
        self.port, bus = free_port(), free_port()
        argv = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        argv += ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--save", ""]
        argv += ["--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        argv += ["--appendonly", "yes" if durable else "no", "--appendfsync", "no"]
        # A replica that was cut off for long may take over all the same: nothing here is slow.
        argv += ["--cluster-replica-validity-factor", "0", "--logfile", str(folder / "log")]
        argv += ["--repl-diskless-sync-delay", "0"]
        self.bus = bus
        self._argv = argv
        self._folder = folder
        self.client = redis.Redis(host="127.0.0.1", port=self.port)
        self.start()

    def start(self) -> None:
        """Also after `kill`: it is the same node then, with what it wrote where it is durable."""
        self._process = subprocess.Popen(self._argv, cwd=self._folder, stdin=subprocess.DEVNULL)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def command(self, *words: object) -> Any:
        return self.client.execute_command(*words)

    @property
    def name(self) -> str:
        """By which the nodes of a cluster know it."""
        found: bytes = self.command("CLUSTER MYID")
        return found.decode()

    @property
    def is_primary(self) -> bool:
        return bool(self.client.info("replication")["role"] == "master")

    def kill(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


class ClusterServers:
    """Nodes 0 to 2 share the slots; node 3 is the replica of node 0, and so on.

    `durable`: what was answered is there again when a node is started again.
    """

    def __init__(
        self, binary: str, folder: Path, *, replicas: int = 1, durable: bool = False
    ) -> None:
        self.nodes: list[Node] = []
        try:
            for number in range(PRIMARIES + replicas):
                self.nodes.append(Node(binary, folder / str(number), durable=durable))
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

    def home(self, key: str) -> Node:
        """The node that has a key's slot now, as all that live agree."""
        slot = key_slot(key.encode())
        owners = {
            port
            for node in self.nodes
            if node.answers()
            for first, last, (_, port, *_), *_ in node.command("CLUSTER SLOTS")
            if first <= slot <= last
        }
        assert len(owners) == 1, f"slot {slot} belongs to {owners}"
        (port,) = owners
        return next(node for node in self.nodes if node.port == port)

    def begin_to_move(self, key: str, to: Node) -> Node:
        """From now on a key's slot moves key by key. Answers the node from which."""
        slot, source = key_slot(key.encode()), self.home(key)
        to.command("CLUSTER SETSLOT", slot, "IMPORTING", source.name)
        source.command("CLUSTER SETSLOT", slot, "MIGRATING", to.name)
        return source

    def move_some(self, key: str, source: Node, to: Node, count: int) -> int:
        """Move some keys of a slot that moves. Answers how many there were to move."""
        found = source.command("CLUSTER GETKEYSINSLOT", key_slot(key.encode()), count)
        if found:
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *found)
        return len(found)

    def end_to_move(self, key: str, source: Node, to: Node) -> None:
        """The slot is the other node's, as redis-cli says it: to who has it first."""
        slot, others = key_slot(key.encode()), [node for node in self.nodes if node.answers()]
        for node in sorted(others, key=lambda node: (node is not to, node is not source)):
            if node.is_primary:
                node.command("CLUSTER SETSLOT", slot, "NODE", to.name)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _join(self) -> None:
        first, *others = self.nodes
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
        replicas = self.nodes[PRIMARIES:]
        for replica, primary in zip(replicas, self.nodes, strict=False):
            replica.command("CLUSTER REPLICATE", primary.name)
        eventually(lambda: all(_is_whole(node) for node in self.nodes), timeout=30)
        eventually(lambda: all(_follows(replica) for replica in replicas), timeout=30)


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
