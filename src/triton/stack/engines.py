"""Owns the three engines together: which are embedded, their start side by side, their stop."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from triton.stack.clickhouse import ClickHouse
from triton.stack.engine import Engine
from triton.stack.folder import DataFolder, RunningStack
from triton.stack.postgres import Postgres
from triton.stack.processes import Supervisor
from triton.stack.valkey import Valkey


class Engines:
    """Real engines below one data folder, the same for the tests and for `triton up`.

    An engine whose URL is given is not started; the other URLs are known after `start`.
    Use it from the main thread. More children may be spawned on `supervisor` (stage 1 and up).
    """

    def __init__(
        self,
        data: Path,
        *,
        redis_url: str = "",
        database_url: str = "",
        clickhouse_url: str = "",
        archive_url: str = "",
        valkey_port: int = 0,
        fast_unsafe: bool = False,
    ) -> None:
        self.folder = DataFolder(data)
        self.supervisor = Supervisor(self.folder.logs)
        self.redis_url = redis_url
        self.database_url = database_url
        self.clickhouse_url = clickhouse_url
        self.archive_url = archive_url or self.folder.archive.as_uri()
        self._valkey_port = valkey_port
        self._fast_unsafe = fast_unsafe

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when every embedded engine answers. Raises StartupError and leaves nothing running."""
        self.folder.open()
        self.supervisor.inherit = (self.folder.lock_fd,)
        try:
            engines = self._embedded()
            # All are launched before the first is awaited; the slowest (ClickHouse) comes first.
            for engine in engines:
                engine.launch()
            for engine in reversed(engines):
                engine.wait()
            for engine in engines:
                self._know(engine)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, timeout: float = 10.0) -> None:
        """Ends every child, engines last, and gives the folder back."""
        self.supervisor.stop(timeout=timeout)
        self.folder.close()

    def publish(self, *, api: str = "", namespace: str = "triton", partitions: int = 1) -> None:
        """Writes `<data>/stack.json`, so that commands find this stack by its folder."""
        self.folder.publish(
            RunningStack(
                pid=os.getpid(),
                redis=self.redis_url,
                database=self.database_url,
                clickhouse=self.clickhouse_url,
                archive=self.archive_url,
                api=api,
                namespace=namespace,
                partitions=partitions,
            )
        )

    def _embedded(self) -> list[Engine]:
        engines: list[Engine] = []
        if not self.clickhouse_url:
            engines.append(ClickHouse(self.folder, self.supervisor))
        if not self.database_url:
            engines.append(Postgres(self.folder, self.supervisor, fast_unsafe=self._fast_unsafe))
        if not self.redis_url:
            engines.append(Valkey(self.folder, self.supervisor, port=self._valkey_port))
        return engines

    def _know(self, engine: Engine) -> None:
        match engine.name:
            case "clickhouse":
                self.clickhouse_url = engine.url
            case "postgres":
                self.database_url = engine.url
            case "valkey":
                self.redis_url = engine.url
