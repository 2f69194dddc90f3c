"""Owns the faults: what is done to which part of a platform, and how it is taken back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random
from typing import Final, Literal

import msgspec
import redis

from soak.platform import ARCHIVERS, PROJECTORS, RELAYS, WORKERS, Platform

#: What shows that a part works again. `none`: nothing does from outside.
Gauge = Literal["none", "log", "postgres", "clickhouse", "api", "outbox", "archive"]
#: Takes a fault back.
Undo = Callable[[], None]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was begun."""

    target: str
    gauge: Gauge
    #: Processes that were killed or stopped.
    pids: list[int] = []
    #: Seconds until it is taken back.
    lasts: float = 0.0
    undo: Undo | None = None


Fault = Callable[[Platform, Random], Done | None]


def kill_worker(platform: Platform, chance: Random) -> Done:
    """All processes of a worker at once."""
    name = chance.choice(WORKERS)
    return Done(target=name, gauge="none", pids=platform.kill(name))


def kill_worker_process(platform: Platform, chance: Random) -> Done | None:
    """One process below the `dramatiq` command; the command notices and ends."""
    name = chance.choice(WORKERS)
    below = platform.members(name)[1:]
    if not below:
        return None
    pid = chance.choice(below)
    platform.signal([pid], signal.SIGKILL)
    return Done(target=name, gauge="none", pids=[pid])


def stop_worker(platform: Platform, chance: Random) -> Done:
    """SIGSTOP for up to two leases, then SIGCONT: it wakes up with leases that may be another's."""
    lease = platform.settings.lease_ms / 1000
    return _stop(platform, chance.choice(WORKERS), chance.uniform(0.3, 2 * lease), "none")


def end_worker(platform: Platform, chance: Random) -> Done:
    """SIGTERM, as in a rolling upgrade."""
    name = chance.choice(WORKERS)
    platform.signal(platform.members(name)[:1], signal.SIGTERM)
    return Done(target=name, gauge="none")


def kill_projector(platform: Platform, chance: Random) -> Done:
    name = chance.choice(PROJECTORS)
    return Done(target=name, gauge="postgres", pids=platform.kill(name))


def stop_projector(platform: Platform, chance: Random) -> Done:
    return _stop(platform, chance.choice(PROJECTORS), chance.uniform(0.5, 6.0), "postgres")


def kill_archiver(platform: Platform, chance: Random) -> Done:
    name = chance.choice(ARCHIVERS)
    return Done(target=name, gauge="archive", pids=platform.kill(name))


def stop_archiver(platform: Platform, chance: Random) -> Done:
    """For up to a minute its lease is its own: longer than that it stands by when it wakes up."""
    return _stop(platform, chance.choice(ARCHIVERS), chance.uniform(0.5, 8.0), "archive")


def kill_relay(platform: Platform, chance: Random) -> Done:
    name = chance.choice(RELAYS)
    return Done(target=name, gauge="outbox", pids=platform.kill(name))


def stop_relay(platform: Platform, chance: Random) -> Done:
    return _stop(platform, chance.choice(RELAYS), chance.uniform(0.5, 4.0), "outbox")


def kill_api(platform: Platform, _: Random) -> Done:
    return Done(target="api", gauge="api", pids=platform.kill("api"))


def stop_api(platform: Platform, chance: Random) -> Done:
    return _stop(platform, "api", chance.uniform(0.3, 3.0), "api")


def kill_valkey(platform: Platform, _: Random) -> Done:
    return Done(target="valkey", gauge="log", pids=platform.kill("valkey"))


def kill_postgres(platform: Platform, _: Random) -> Done:
    return Done(target="postgres", gauge="postgres", pids=platform.kill("postgres"))


def kill_clickhouse(platform: Platform, _: Random) -> Done:
    return Done(target="clickhouse", gauge="clickhouse", pids=platform.kill("clickhouse"))


def cut_connections(platform: Platform, _: Random) -> Done:
    """Every connection through the proxy ends, whatever is under way on it."""
    platform.tell_proxy("cut")
    return Done(target="proxy", gauge="log")


def lose_replies(platform: Platform, chance: Random) -> Done:
    """Some answers of the server are replaced by the end of the connection: it acted, nobody hears of it."""
    platform.tell_proxy(f"chance {chance.uniform(0.02, 0.2):.3f}")
    return Done(
        target="proxy",
        gauge="log",
        lasts=chance.uniform(1.0, 4.0),
        undo=lambda: platform.tell_proxy("chance 0"),
    )


def fill_memory(platform: Platform, chance: Random) -> Done | None:
    """Redis refuses every write for want of memory."""
    if not _set_memory(platform, 1):
        return None

    def undo() -> None:
        # A server that was killed meanwhile has forgotten the limit.
        _set_memory(platform, 0)

    return Done(target="valkey", gauge="log", lasts=chance.uniform(0.3, 2.5), undo=undo)


def fill_archive(platform: Platform, chance: Random) -> Done | None:
    """No space left on the archive's file system."""
    if not platform.archive_is_apart:
        return None
    filler = platform.data / "archive" / ".filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass

    def undo() -> None:
        filler.unlink(missing_ok=True)

    return Done(target="archive", gauge="none", lasts=chance.uniform(1.0, 5.0), undo=undo)


def step_clock(platform: Platform, chance: Random) -> Done | None:
    """The server's clock jumps, forward or back."""
    if platform.clock is None:
        return None
    seconds = chance.choice((-8.0, -2.0, 0.0, 3.0, 10.0))
    platform.step_clock(seconds)
    return Done(target=f"{seconds:+.0f} s", gauge="log")


def _stop(platform: Platform, name: str, seconds: float, gauge: Gauge) -> Done:
    pids = platform.members(name)
    platform.signal(pids, signal.SIGSTOP)

    def undo() -> None:
        platform.signal(pids, signal.SIGCONT)

    return Done(target=name, gauge=gauge, pids=pids, lasts=seconds, undo=undo)


def _set_memory(platform: Platform, limit: int) -> bool:
    try:
        with redis.Redis.from_url(platform.settings.redis_url, socket_timeout=2) as client:
            client.config_set("maxmemory", limit)
    except redis.RedisError:
        return False
    return True


#: How often each, compared with the others.
FAULTS: Final[dict[str, tuple[int, Fault]]] = {
    "kill-worker": (8, kill_worker),
    "kill-worker-process": (5, kill_worker_process),
    "stop-worker": (7, stop_worker),
    "end-worker": (3, end_worker),
    "kill-projector": (4, kill_projector),
    "stop-projector": (2, stop_projector),
    "kill-archiver": (4, kill_archiver),
    "stop-archiver": (2, stop_archiver),
    "kill-relay": (3, kill_relay),
    "stop-relay": (1, stop_relay),
    "kill-api": (3, kill_api),
    "stop-api": (2, stop_api),
    "kill-valkey": (4, kill_valkey),
    "kill-postgres": (3, kill_postgres),
    "kill-clickhouse": (2, kill_clickhouse),
    "cut-connections": (4, cut_connections),
    "lose-replies": (5, lose_replies),
    "fill-memory": (3, fill_memory),
    "fill-archive": (3, fill_archive),
    "step-clock": (4, step_clock),
}
