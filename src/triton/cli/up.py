"""Owns `triton up` and the roles that it runs as processes: api, worker, projector, archiver, relay."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit, urlunsplit

import typer

from triton.cli.exits import INTERRUPTED
from triton.cli.options import Data

if TYPE_CHECKING:
    from triton.stack.processes import Exit
    from triton.stack.up import Stack

Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="TCP port of the API; 0 takes a free one.  \\[env: TRITON_PORT; default: 8000]",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Worker processes.  \\[env: TRITON_WORKER_PROCESSES; default: 1]",
        show_default=False,
    ),
]


Apis = Annotated[
    int | None,
    typer.Option(
        "--apis",
        min=1,
        help="API processes, all on the one port.  \\[env: TRITON_API_PROCESSES; default: 1]",
        show_default=False,
    ),
]
Projectors = Annotated[
    int | None,
    typer.Option(
        "--projectors",
        min=1,
        help="Projector processes; those beyond the first stand by."
        "  \\[env: TRITON_PROJECTOR_PROCESSES; default: 1]",
        show_default=False,
    ),
]
Archivers = Annotated[
    int | None,
    typer.Option(
        "--archivers",
        min=1,
        help="Archiver processes, likewise.  \\[env: TRITON_ARCHIVER_PROCESSES; default: 1]",
        show_default=False,
    ),
]


def up(
    data: Data = None,
    port: Port = None,
    workers: Workers = None,
    apis: Apis = None,
    projectors: Projectors = None,
    archivers: Archivers = None,
) -> None:
    """Run the whole platform on this machine until ctrl-C.

    Valkey, PostgreSQL and ClickHouse from wheels, the API, the projectors, the archiver and the workers:
    one tree of processes below one folder. An engine whose TRITON_*_URL is set is used instead of an own one.
    """
    from triton import settings
    from triton.cli.interrupt import Interrupt
    from triton.cli.output import console, line
    from triton.stack.up import Stack

    chosen = settings.load(
        data=data,
        port=port,
        worker_processes=workers,
        api_processes=apis,
        projector_processes=projectors,
        archiver_processes=archivers,
    )
    with Interrupt() as interrupt:
        stack = Stack(chosen, on_exit=report_exit)
        with console(stderr=True).status("starting the engines"):
            stack.start()
        interrupt.raising = False
        try:
            for said in banner(stack):
                line(said)
            stack.run(interrupt.asked)
        finally:
            with console(stderr=True).status("stopping"):
                stack.stop()
    line("stopped")
    if interrupt.number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  \\[env: TRITON_HOST]")
    ] = None,
    port: Port = None,
) -> None:
    """Serve the HTTP API, as one process for production; every engine by its TRITON_*_URL."""
    from triton import roles, settings

    roles.run_api(settings.load(host=host, port=port))


def worker(
    processes: Workers = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each.  \\[env: TRITON_WORKER_THREADS]")
    ] = None,
    modules: Annotated[
        str | None,
        typer.Option(help="Modules with actors, comma-separated.  \\[env: TRITON_MODULES]"),
    ] = None,
) -> None:
    """Run jobs, as one process for production; every engine by its TRITON_*_URL."""
    from triton import roles, settings

    chosen = settings.load(worker_processes=processes, worker_threads=threads, modules=modules)
    roles.run_worker(chosen)


def projector() -> None:
    """Project the log into PostgreSQL and ClickHouse, as one process for production."""
    from triton import roles, settings

    roles.run_projector(settings.load())


def archiver() -> None:
    """Seal the log into the archive, sign tree heads and trim Redis, as one process for production."""
    from triton import roles, settings

    roles.run_archiver(settings.load())


def relay() -> None:
    """Turn the rows of an application's outbox (TRITON_OUTBOX_URL) into jobs, as one process."""
    from triton import roles, settings

    roles.run_relay(settings.load())


def banner(stack: Stack) -> list[str]:
    """Where everything is, for a person who wants to look."""
    chosen = stack.settings
    data = Path(chosen.data)
    known = [
        ("API", f"{stack.api_url}  (interactive documentation: {stack.api_url}/docs)"),
        ("Redis", without_password(chosen.redis_url)),
        ("PostgreSQL", without_password(chosen.database_url)),
        ("ClickHouse", without_password(chosen.clickhouse_url)),
        ("archive", chosen.archive_url),
        ("logs", str(data / "logs")),
    ]
    option = "" if data == Path(".triton").absolute() else f" --data {shlex.quote(str(data))}"
    return [
        f"Triton runs on {data}; ctrl-C ends it.",
        *(f"  {name:<11} {where}" for name, where in known),
        f"Look at it from another terminal: triton doctor{option}",
    ]


def without_password(url: str) -> str:
    """The URL as it may be shown; whoever owns the data folder finds the whole in its stack.json."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{place}"))


def report_exit(ended: Exit) -> None:
    """Says that a process ended unasked."""
    if not ended.requested:
        print(f"warning: {ended}", file=sys.stderr, flush=True)
