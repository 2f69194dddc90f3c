"""Owns `triton demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triton.cli.exits import NO
from triton.cli.options import Data
from triton.cli.up import Port, Workers


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Documents and folders of them; without: the project's own."
        ),
    ] = None,
    data: Data = None,
    port: Port = None,
    workers: Workers = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running at the end, until ctrl-C.")
    ] = False,
) -> None:
    """Run documents through the whole platform and show it live.

    Starts a stack, or uses the one that runs on the folder; uploads every file and submits one job for
    each; then shows the jobs from PostgreSQL, the analytics from ClickHouse, one job's history, and
    whether both stores equal the log.
    """
    from triton import settings
    from triton.demo.running import run_demo

    chosen = settings.load(data=data, port=port, worker_processes=workers)
    any_port = port is None and chosen.port == settings.Settings().port
    if not run_demo(chosen, paths or (), any_port=any_port, keep=keep):
        raise typer.Exit(NO)
