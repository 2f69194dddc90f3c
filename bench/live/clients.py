"""Owns the load process of a cell, from the bench's side."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Self, cast

from bench.live.sides import OTHER_CORE, Side, pin
from bench.servers import environment


class Clients:
    """`clients` subscribers of a side. A context manager; they connect by `open` or `storm`. `module` is the
    program that they are, `core` where it runs."""

    def __init__(
        self,
        side: Side,
        clients: int,
        *,
        path: str = "",
        header: str = "",
        module: str = "bench.live.load",
        core: int = OTHER_CORE,
    ) -> None:
        self.clients = clients
        self._core = core
        self._argv = [
            module,
            str(side.port),
            str(clients),
            path or side.path,
            *([header] if header else []),
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment({}),
        )
        pin(self._process.pid, self._core)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, command: str) -> dict[str, float]:
        """`open`, `storm`, `mark` (answers nothing of use) or `report`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients ended with {self._process.wait()}")
        return cast("dict[str, float]", json.loads(line) or {})
