"""Owns the keeper's side: watches its parent, extends leases in its place, ends it where a limit is passed.

Begins on the standard library alone, in 20 ms and 10 MB; what talks to Redis is loaded when it is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from triton.keeper.holds import Hold, Holds

if TYPE_CHECKING:
    from triton.events.scripts import Call

#: Beats that may stay away before the keeper acts.
_PATIENCE: Final = 1.5
#: States of a process in which it is stopped: by a signal, by a debugger.
_STOPPED: Final = frozenset("Tt")


class Watch:
    """One parent, as the line on standard input describes it (see `triton.keeper.parent.Charge`)."""

    def __init__(self, charge: dict[str, Any]) -> None:
        self._charge = charge
        self._parent: int = charge["parent"]
        self._holds = Holds(charge["fd"])
        self._link: _Link | None = None

    def run(self) -> None:
        """Until the parent says so, is gone, or was ended."""
        interval: float = self._charge["interval"]
        heard = time.monotonic()
        leaving = False
        while True:
            gone = False
            if select.select([0], [], [], interval / 2)[0]:
                said = os.read(0, 4096)
                if b"q" in said:
                    return
                gone = not said
                leaving = leaving or b"r" in said
                heard = time.monotonic()
            # Looked at too: something that the parent forked may hold the pipe open.
            if gone or os.getppid() != self._parent:
                self._parent_gone(released=leaving)
                return
            if leaving or time.monotonic() - heard < _PATIENCE * interval:
                continue
            if state_of(self._parent) in _STOPPED:
                # It gets the same patience again when it goes on.
                heard = time.monotonic()
            elif self._keep():
                return

    def _parent_gone(self, *, released: bool) -> None:
        """Its jobs need not wait for the end of their leases."""
        held = self._holds.read()
        if not held:
            return
        link = self._link or _Link(self._charge)
        if released:
            link.release(held, "its worker stopped, and the time to end was over")
        else:
            # A death as any other, which counts: a job that kills its workers must end some day.
            link.extend(held, lease_ms=0)

    def _keep(self) -> bool:
        """Speak for the parent, whose interpreter stands still. True where that ended the parent."""
        held = self._holds.read()
        now = time.monotonic()
        over = [hold for hold in held if 0 < hold.deadline <= now]
        if not held:
            return False
        if self._link is None:
            self._link = _Link(self._charge)
            self._link.warn()
        if not over:
            self._link.extend(held, lease_ms=self._charge["lease_ms"])
            if self._charge["sign"]:
                from triton.observe.signs import refresh

                # Nobody shall end it for that.
                refresh(self._charge["sign"])
            return False
        if os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGKILL)
        self._link.give_up(over, [hold for hold in held if hold not in over])
        return True


class _Link:
    """The way to the log."""

    def __init__(self, charge: dict[str, Any]) -> None:

        from triton import keys
        from triton.events.client import connect
        from triton.events.scripts import Scripts
        from triton.observe.logger import get_logger
        from triton.observe.logs import configure
        from triton.settings import load

        # A process of its own, whoever its parent is: so is its log.
        configure("keeper", load())
        self._charge = charge
        self._by = f"worker:{charge['worker']}"
        self._keys = keys
        self._scripts = Scripts(
            completed_ttl_ms=charge["completed_ttl_ms"], failed_ttl_ms=charge["failed_ttl_ms"]
        )
        self._client = connect(charge["url"])
        self._log = get_logger("triton.keeper").bind(worker=charge["worker"])

    def warn(self) -> None:
        self._log.warning("interpreter_stands_still", hint="a C call does not let go of it")

    def extend(self, held: Sequence[Hold], *, lease_ms: int) -> None:
        self._send(
            self._scripts.heartbeat(
                prefix, lease_ms, [hold[:2] for hold in group], worker=self._charge["worker"]
            )
            for prefix, group in self._grouped(held)
        )

    def give_up(self, over: Sequence[Hold], others: Sequence[Hold]) -> None:
        """The parent is dead: end what was over its limit, give the rest back to their queues."""
        from triton.events.scripts import pack_outcome
        from triton.events.types import Error, Failed

        self._log.error("worker_ended", jobs=[hold.job for hold in over], released=len(others))
        message = (
            "the actor went on after its time limit in C code that kept the interpreter from running: "
            "its worker process was ended"
        )
        failed = Failed(error=Error(type="TimeLimitExceeded", message=message), reason="time_limit")
        self._send(
            self._scripts.finish(
                prefix, [pack_outcome(hold.job, hold.attempt, self._by, failed) for hold in group]
            )
            for prefix, group in self._grouped(over)
        )
        self.release(
            others,
            "its worker process was ended, because another job there went on after its time limit",
        )

    def release(self, held: Sequence[Hold], reason: str) -> None:
        self._send(
            self._scripts.release(prefix, [hold[:2] for hold in group], by=self._by, reason=reason)
            for prefix, group in self._grouped(held)
        )

    def _grouped(self, holds: Sequence[Hold]) -> Iterator[tuple[str, list[Hold]]]:
        partitions = self._charge["partitions"]
        groups: dict[int, list[Hold]] = {}
        for hold in holds:
            groups.setdefault(self._keys.partition_of(hold.job, partitions), []).append(hold)
        for partition, group in groups.items():
            yield self._keys.prefix(self._charge["namespace"], partition), group

    def _send(self, calls: Iterator[Call]) -> None:
        from redis.exceptions import RedisError

        from triton.events.client import send

        try:
            send(self._client, list(calls))
        except RedisError as error:
            self._log.warning("keeper_not_heard", error=str(error))


def state_of(pid: int) -> str:
    """The state letter of a process, as `ps` shows it; empty where there is none."""
    try:
        # The name before it, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    ps = subprocess.run(
        ["/bin/ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return ps.stdout.strip()[:1]


def main() -> None:
    # Who stops the worker stops this too, by the worker's end and not by a signal of its own.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    with contextlib.suppress(BrokenPipeError):
        Watch(json.loads(line)).run()


if __name__ == "__main__":
    main()
