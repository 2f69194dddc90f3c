"""Owns how a cluster is reached: the URL, a client that connects when first used, and what spans its nodes.

A partition's keys share one slot, so a call has one node; redis-py finds it and follows where it moves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, SlotNotCoveredError
from redis.retry import Retry

#: URL scheme of a cluster -> whether its connections are encrypted.
SCHEMES: Final = {"redis+cluster": False, "rediss+cluster": True}
_PORT: Final = 6379
#: Commands whose replies are left as they come from the wire.
RAW: Final = ("XRANGE", "XREAD")
#: Stands for the reply of a node that was not reached, or that sends the client elsewhere.
UNANSWERED: Final = object()
_ELSEWHERE: Final = redis.cluster.ClusterPipeline.ERRORS_ALLOW_RETRY


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster: `redis+cluster://host:port,host:port`."""
    return url.partition("://")[0] in SCHEMES


def parse(url: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """The nodes to ask first, and the options of every connection. Raises ValueError."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError(f"a cluster has no database {parts.path.strip('/')}")
    nodes = []
    for host in filter(None, hosts.split(",")):
        # As urlsplit reads one: brackets around an IPv6 address, a port that is a number.
        one = urlsplit(f"//{host}")
        nodes.append((one.hostname or "", one.port or _PORT))
    if not nodes:
        raise ValueError("it names no node")
    options: dict[str, Any] = {"ssl": True} if SCHEMES[parts.scheme] else {}
    if login:
        options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    return nodes, options


@contextmanager
def one_kind_of_error() -> Iterator[None]:
    """A cluster without a usable node is a lost connection to whoever calls."""
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError(f"the cluster cannot be used: {error}") from error


class _Pipeline(redis.cluster.ClusterPipeline):
    def execute(self, *args: Any, **options: Any) -> Any:
        with one_kind_of_error():
            return redis.cluster.ClusterPipeline.execute(self, *args, **options)


class _Cluster(redis.cluster.RedisCluster):
    """redis-py's own, with errors that are all of one family."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with one_kind_of_error():
            return redis.cluster.RedisCluster.execute_command(self, *args, **options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        found: Any = redis.cluster.RedisCluster.pipeline(self, *args, **options)
        # However this version of redis-py makes one.
        found.__class__ = _Pipeline
        return found

    def get_redis_connection(self, node: Any) -> redis.Redis:
        # Callbacks of a whole cluster come after those of its nodes, so each node has to know.
        client: redis.Redis = redis.cluster.RedisCluster.get_redis_connection(self, node)
        for command in RAW:
            client.set_response_callback(command, as_is)
        return client


def as_is(response: Any, **_: Any) -> Any:
    return response


class Cluster:
    """A `redis.cluster.RedisCluster` that connects when first used, so that a broker may be made at import.

    Raises ValueError for a bad URL.
    """

    def __init__(self, url: str, *, retry: Any, **options: Any) -> None:
        self._nodes, found = parse(url)
        self._options = {**options, **found}
        self._retry = retry
        self._lock = threading.Lock()
        self._made: redis.cluster.RedisCluster | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster(), name)

    def primaries(self) -> list[redis.Redis]:
        """A client for each node that takes writes."""
        cluster = self._cluster()
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]

    def homes(self, keys: Iterable[str]) -> list[redis.Redis]:
        """A client for each node that has some of these keys."""
        cluster = self._cluster()
        nodes = {cluster.get_node_from_key(key) for key in keys}
        return [cluster.get_redis_connection(node) for node in nodes if node is not None]

    def at_once(self, commands: Sequence[tuple[Any, ...]], keys: Sequence[str]) -> list[Any]:
        """The replies in order, errors and UNANSWERED among them; each command has one of the keys.

        Which node has a key is looked up here: redis-py would ask its default node about every script, and
        that one may be away.
        """
        cluster = self._cluster()
        with one_kind_of_error(), cluster.pipeline(transaction=False) as pipe:
            stack = [
                redis.cluster.PipelineCommand(
                    command, {"target_nodes": cluster.get_node_from_key(key)}, place
                )
                for place, (command, key) in enumerate(zip(commands, keys, strict=True))
            ]
            pipe.retry = Retry(NoBackoff(), 0)
            try:
                replies = pipe.send_cluster_commands(
                    stack, raise_on_error=False, allow_redirections=False
                )
            except _ELSEWHERE:
                return [UNANSWERED] * len(stack)
        return [UNANSWERED if isinstance(reply, _ELSEWHERE) else reply for reply in replies]

    def disconnect(self) -> None:
        """End every connection, also those in use; the next call makes new ones."""
        if self._made is not None:
            self._made.disconnect_connection_pools()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _cluster(self) -> redis.cluster.RedisCluster:
        with self._lock:
            if self._made is None:
                with one_kind_of_error():
                    self._made = _Cluster(
                        startup_nodes=[
                            redis.cluster.ClusterNode(host, port) for host, port in self._nodes
                        ],
                        retry=self._retry,
                        # One MOVED is a fail-over or a migration: look at the whole map again.
                        reinitialize_steps=1,
                        **self._options,
                    )
            return self._made


class _AsyncPipeline(redis.asyncio.cluster.ClusterPipeline):
    async def execute(self, *args: Any, **options: Any) -> Any:
        with one_kind_of_error():
            return await redis.asyncio.cluster.ClusterPipeline.execute(self, *args, **options)


class _AsyncCluster(redis.asyncio.cluster.RedisCluster):
    """The same for asyncio."""

    async def initialize(self, *args: Any, **options: Any) -> Any:
        with one_kind_of_error():
            return await redis.asyncio.cluster.RedisCluster.initialize(self, *args, **options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with one_kind_of_error():
            return await redis.asyncio.cluster.RedisCluster.execute_command(self, *args, **options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        found: Any = redis.asyncio.cluster.RedisCluster.pipeline(self, *args, **options)
        found.__class__ = _AsyncPipeline
        return found


def connect_cluster_async(
    url: str, *, retry: Any, **options: Any
) -> redis.asyncio.cluster.RedisCluster:
    """A client for asyncio, which connects when first used too. Raises ValueError for a bad URL."""
    nodes, found = parse(url)
    return _AsyncCluster(
        startup_nodes=[redis.asyncio.cluster.ClusterNode(host, port) for host, port in nodes],
        retry=retry,
        # A slot that moved is noted by itself: looking at the whole map again ends every connection first,
        # also where others of this process wait.
        reinitialize_steps=0,
        **{**options, **found},
    )


def homes(
    cluster: redis.asyncio.cluster.RedisCluster, keys: Iterable[str]
) -> set[redis.asyncio.cluster.ClusterNode]:
    """The nodes that have some of these keys."""
    found = {cluster.get_node_from_key(key) for key in keys}
    return {node for node in found if node is not None}


def at_home(client: object, key: str) -> dict[str, Any]:
    """Options of a command for asyncio that redis-py would ask a cluster about before each call: the node
    that has the key. Empty for one server."""
    if not isinstance(client, redis.asyncio.cluster.RedisCluster) or not home_of(client, key):
        return {}
    return {"target_nodes": client.get_node_from_key(key)}


def home_of(client: object, key: str) -> str:
    """The node that a client for asyncio asks for a key; empty for one server, and where it knows none."""
    if not isinstance(client, redis.asyncio.cluster.RedisCluster):
        return ""
    try:
        node = client.get_node_from_key(key)
    except SlotNotCoveredError:
        return ""
    return node.name if node is not None else ""


def servers_of(client: redis.Redis | Cluster) -> Sequence[redis.Redis]:
    """The servers that run scripts: one, or a cluster's primaries."""
    return client.primaries() if isinstance(client, Cluster) else [client]


def disconnect(client: redis.Redis | Cluster) -> None:
    """End every connection of a client, also those in use."""
    if isinstance(client, Cluster):
        client.disconnect()
    else:
        client.connection_pool.disconnect()


def slots_of(client: redis.Redis | Cluster, prefixes: Sequence[str]) -> list[list[str]]:
    """Key prefixes in groups that one command or transaction may span."""
    return [[prefix] for prefix in prefixes] if isinstance(client, Cluster) else [list(prefixes)]
