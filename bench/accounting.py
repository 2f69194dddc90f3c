"""Owns what a phase cost: CPU of process trees, other people's load, and what the server counted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

import redis

_TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command; [1] is the parent, [11:15] the CPU ticks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                children.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
            except OSError:
                continue
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(*roots: int) -> float:
    """User and system time that these processes and their children, ended ones too, have used."""
    ticks = 0
    for pid in {pid for root in roots for pid in tree(root)}:
        try:
            ticks += sum(int(field) for field in _stat(pid)[11:15])
        except OSError:
            continue
    return ticks / _TICK


class Foreign:
    """Cores that others used while the block ran: the machine's busy time less our own tree's; and the CPU
    seconds of our own tree."""

    cores = 0.0
    cpu = 0.0

    def __enter__(self) -> Self:
        self._begin = self._now()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        (busy, own, clock), (busy0, own0, clock0) = self._now(), self._begin
        self.cpu = own - own0
        self.cores = max(0.0, (busy - busy0 - (own - own0)) / max(1e-3, clock - clock0))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        # Idle and waiting for a disk is not busy.
        return (
            (sum(ticks) - ticks[3] - ticks[4]) / _TICK,
            cpu_seconds(os.getpid()),
            time.monotonic(),
        )


class ServerCounters(NamedTuple):
    """What a Redis or Valkey server has counted since its start."""

    #: Socket reads: a request or a whole pipeline, so round trips.
    reads: int
    #: CPU seconds of all its threads, and of the one that runs commands.
    cpu: float
    main_cpu: float
    #: Bytes of data, without what its clients' connections hold.
    memory: int


def server_counters(client: redis.Redis) -> ServerCounters:
    info = cast("dict[str, float]", client.info("everything"))
    return ServerCounters(
        int(info["total_reads_processed"]),
        info["used_cpu_user"] + info["used_cpu_sys"],
        info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"],
        int(info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"]),
    )
