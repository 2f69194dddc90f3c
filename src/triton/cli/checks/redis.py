"""Owns what the doctor wants of Redis: version, settings that keep the log, scripts, the log itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from triton import keys
from triton.cli.checks.finding import Finding
from triton.settings import Settings

_ABOUT: Final = "redis"
#: Of Redis; what Valkey says it is compatible with.
_OLDEST: Final = (7, 0)
#: Seconds by which the server's clock may differ from ours.
_SKEW: Final = 1.0
#: The part of maxmemory from which on there is reason to worry.
_FULL: Final = 0.8


def check(settings: Settings, *, seconds: float = 5.0) -> Iterator[Finding]:
    """Raises RedisError where it does not answer within so many `seconds`, asked twice."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from triton.events.client import connect

    client = connect(
        settings.redis_url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 1),
    )
    try:
        begun = time.perf_counter()
        client.echo("")  # a ping is refused, too, where the disk is full
        took = (time.perf_counter() - begun) * 1000
        info: dict[str, Any] = client.info("everything")
        yield _version(info, took)
        yield _eviction(info)
        yield from _memory(info)
        yield _durability(info)
        yield _clock(client.time())
        yield _scripts(client)
        yield from _log(client, settings)
    finally:
        client.close()


def _version(info: Mapping[str, Any], took: float) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    what = f"{name} {version} answers in {took:.1f} ms"
    if _numbers(str(info["redis_version"])) < _OLDEST:
        return Finding("fail", _ABOUT, what, "Triton needs Redis 7.0 or newer, or Valkey.")
    return Finding("ok", _ABOUT, what)


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy == "noeviction":
        return Finding("ok", _ABOUT, "maxmemory-policy is noeviction: the log is never evicted")
    return Finding(
        "fail",
        _ABOUT,
        f"maxmemory-policy is {policy}: the server may throw the log away",
        "CONFIG SET maxmemory-policy noeviction, and the same in its configuration.",
    )


def _memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    what = f"{used / 2**20:.0f} MiB used" + (f" of {limit / 2**20:.0f} MiB" if limit else "")
    if limit and used > limit * _FULL:
        yield Finding("warn", _ABOUT, what, "Full means that no job is taken: raise maxmemory.")
    else:
        yield Finding("ok", _ABOUT, what)


def _durability(info: Mapping[str, Any]) -> Finding:
    if not int(info.get("aof_enabled", 0)):
        return Finding(
            "fail",
            _ABOUT,
            "the append-only file is off: a restart loses the log",
            "CONFIG SET appendonly yes, and the same in its configuration.",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            "fail",
            _ABOUT,
            "the append-only file could not be written: Redis takes no event until it can",
            "Look at the space on its disk, and at the server's log.",
        )
    return Finding("ok", _ABOUT, "the append-only file is on and written")


def _clock(now: tuple[int, int]) -> Finding:
    skew = now[0] + now[1] / 1e6 - time.time()
    what = f"its clock differs from this machine's by {abs(skew):.2f} s"
    if abs(skew) > _SKEW:
        advice = "Events have the server's time: synchronise both clocks (NTP)."
        return Finding("warn", _ABOUT, what, advice)
    return Finding("ok", _ABOUT, what)


def _scripts(client: Any) -> Finding:
    from redis.exceptions import ResponseError

    from triton.events.scripts import Scripts

    scripts = Scripts().by_name
    for name, script in scripts.items():
        try:
            client.script_load(script.source)
        except ResponseError as error:
            advice = "Triton needs a server that runs `#!lua` scripts: Redis 7.0 or Valkey."
            return Finding("fail", _ABOUT, f"script {name} is refused: {error}", advice)
    return Finding("ok", _ABOUT, f"all {len(scripts)} scripts load")


def _log(client: Any, settings: Settings) -> Iterator[Finding]:
    partitions, events = 0, 0
    while True:
        prefix = keys.prefix(settings.namespace, partitions)
        found, position = client.hmget(keys.meta(prefix), "partitions", "pos")
        if found is None:
            break
        partitions += 1
        events += int(position or 0)
        if int(found) != settings.partitions:
            yield Finding(
                "fail",
                "log",
                f"it was created with {int(found)} partitions, TRITON_PARTITIONS is {settings.partitions}",
                f"Set TRITON_PARTITIONS to {int(found)}.",
            )
            return
        yield from _stranger(client, prefix, partitions - 1)
    if not partitions:
        yield Finding(
            "warn",
            "log",
            f"there is no log {settings.namespace!r} yet",
            "It is created by the first worker or API; or TRITON_NAMESPACE is another one's.",
        )
        return
    yield Finding("ok", "log", f"{partitions} partition(s), {events} events")
    yield _queues(client, settings, partitions)


def _stranger(client: Any, prefix: str, partition: int) -> Iterator[Finding]:
    stream = keys.log(prefix)
    if not client.exists(stream):
        return
    # Before the position: whatever Triton appends meanwhile only adds to that.
    newest: bytes = client.xinfo_stream(stream)["last-generated-id"]
    number, _, rest = newest.partition(b"-")
    position = int(client.hget(keys.meta(prefix), "pos") or 0)
    if rest != b"0" or int(number) > position:
        yield Finding(
            "fail",
            "log",
            f"partition {partition} ends at {position}, but its stream at {newest.decode()}: "
            "something that is not Triton wrote to it",
            "Find who did; docs/troubleshooting.md says how the log goes on.",
        )


def _queues(client: Any, settings: Settings, partitions: int) -> Finding:
    ready = due = leased = 0
    for number in range(partitions):
        prefix = keys.prefix(settings.namespace, number)
        for raw in client.smembers(keys.queues(prefix)):
            queue = raw.decode()
            ready += client.zcard(keys.ready(prefix, queue))
            due += client.zcard(keys.due(prefix, queue))
            leased += client.zcard(keys.leases(prefix, queue))
    return Finding("ok", "queues", f"{ready} jobs wait, {due} are scheduled, {leased} run")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
