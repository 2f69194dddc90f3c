"""Owns the whole platform on one machine: engines, schema, and the roles, as one supervised tree."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from triton import migrate, worker_role
from triton.api.listener import listen, url_of
from triton.errors import StartupError
from triton.identity.first_start import check_auth, embedded_key
from triton.settings import Settings, secret_names
from triton.stack.engines import Engines
from triton.stack.folder import already_runs, running_stack
from triton.stack.new_log import check_new
from triton.stack.outside import check_outside
from triton.stack.processes import Exit, Spec

#: Seconds within which the API must answer after its start.
READY: Final = 30.0
#: Milliseconds that running jobs get at most when the whole platform stops.
_DRAIN_MS: Final = 3000
_POLL: Final = 0.03


class Stack:
    """`triton up`: what is not given by URL runs below the data folder. Use it from the main thread.

    `any_port`: takes a free one where the settings' is taken.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        any_port: bool = False,
        fast_unsafe: bool = False,
        on_exit: Callable[[Exit], None] | None = None,
    ) -> None:
        self._given = settings
        self.settings = settings
        self.engines = Engines(
            Path(settings.data),
            redis_url=settings.redis_url,
            database_url=settings.database_url,
            clickhouse_url=settings.clickhouse_url,
            archive_url=settings.archive_url,
            fast_unsafe=fast_unsafe,
        )
        self.engines.supervisor.on_exit = on_exit
        self.api_url = ""
        self._any_port = any_port
        self._listener: socket.socket | None = None

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
        """Returns when the API answers. Raises StartupError, ConfigurationError and UnavailableError, and
        leaves nothing running then."""
        self._listener = listener = self._listen()
        try:
            check_auth(self._given.auth, listener.getsockname()[0])
            check_outside(self._given)
            if self._given.worker_processes:
                worker_role.check_modules(self._given)
            self.engines.start()
            self.settings = msgspec.structs.replace(
                self._given,
                data=str(self.engines.folder.path),
                port=listener.getsockname()[1],
                redis_url=self.engines.redis_url,
                database_url=self.engines.database_url,
                clickhouse_url=self.engines.clickhouse_url,
                archive_url=self.engines.archive_url,
                tenant_keys=self._given.tenant_keys or self.engines.folder.tenant_keys.as_uri(),
                subject_keys=self._given.subject_keys or self.engines.folder.subject_keys.as_uri(),
            )
            self.api_url = url_of(listener)
            migrate.up(self.settings.database_url, self.settings.clickhouse_url)
            check_new(self.settings)
            if self.settings.auth == "required":
                # Whoever may read the folder may do everything already: its engines are there.
                embedded_key(self.settings, ours=not self._given.database_url)
            for spec in self.roles(listener.fileno()):
                self.engines.supervisor.spawn(spec)
            self._await_api()
            self.engines.publish(
                api=self.api_url,
                namespace=self.settings.namespace,
                partitions=self.settings.partitions,
            )
        except BaseException:
            self.stop()
            raise

    def run(self, stopped: threading.Event) -> None:
        """Keep every child alive until `stopped` is set."""
        self.engines.supervisor.run(stopped)

    def stop(self, *, timeout: float = 10.0) -> None:
        """End the roles, then the engines, within `timeout` seconds. Safe to call twice."""
        if self._listener is not None:
            self._listener.close()
        self.engines.stop(timeout=timeout)

    def _listen(self) -> socket.socket:
        """The API's socket, held here: nobody else takes the port while the API starts, or starts again, and
        who connects in the meantime waits."""
        timeout_ms = self._given.client_timeout_ms
        try:
            return listen(self._given.host, self._given.port, timeout_ms)
        except StartupError as error:
            # The port of this very folder's stack, most likely.
            path = self.engines.folder.path
            if running := running_stack(path):
                raise already_runs(path, f"pid {running.pid}") from error
            if self._any_port:
                return listen(self._given.host, 0, timeout_ms)
            raise

    def roles(self, listener: int) -> list[Spec]:
        """What runs beside the engines; `listener` is the descriptor of the API's socket."""
        given = {**os.environ, **self.settings.environment()}
        # What only the API needs, and what only commands do.
        env = {name: value for name, value in given.items() if name not in secret_names()}
        this = (sys.executable, "-m", "triton")
        # Stages end from the highest: workers report their last events, projectors still see them.
        roles = [
            Spec(
                name=name,
                argv=(*this, "api"),
                env={**given, "TRITON_LISTEN_FD": str(listener)},
                fds=(listener,),
                stage=2,
                grace=4.0,
            )
            for name in _names("api", self.settings.api_processes)
        ]
        for role, count in (
            ("projector", self.settings.projector_processes),
            ("archiver", self.settings.archiver_processes),
        ):
            roles += [
                Spec(name=name, argv=(*this, role), env=env, stage=1, grace=3.0)
                for name in _names(role, count)
            ]
        if self.settings.outbox_url:
            roles.append(Spec(name="relay", argv=(*this, "relay"), env=env, stage=2, grace=4.0))
        if self.settings.worker_processes:
            argv = worker_role.command(self.settings)
            # Whoever presses ctrl-C waits for it.
            quick = {**env, "TRITON_DRAIN_MS": str(min(_DRAIN_MS, self.settings.drain_ms))}
            roles.append(Spec(name="worker", argv=argv, env=quick, stage=3, grace=5.0))
        return roles

    def _await_api(self) -> None:
        api = self.engines.supervisor.children["api"]
        deadline = time.monotonic() + READY
        while not _answers(self.api_url + "/health"):
            if not api.running():
                said = (api.reason() or api.last_words()).removesuffix(".")
                raise StartupError(f"the API did not start: {said}; see {api.log}")
            if time.monotonic() > deadline:
                raise StartupError(
                    f"the API did not answer within {READY:.0f} s; see {api.log}: {api.last_words()}"
                )
            time.sleep(_POLL)


def _names(role: str, count: int) -> list[str]:
    """Of a role's processes: the first has the role's own."""
    return [role, *(f"{role}-{number}" for number in range(2, count + 1))]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:  # noqa: S310
            return int(response.status) == 200
    except (urllib.error.URLError, OSError):
        return False
