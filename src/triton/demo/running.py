"""Owns the demo from its first line to its last: a stack, documents through it, and what came of it."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from triton.causes import count
from triton.cli import output
from triton.cli.interrupt import Interrupt
from triton.cli.target import Reach, engines, reach
from triton.cli.typed import typed
from triton.cli.up import report_exit
from triton.cli.verify import prove
from triton.demo import files, report
from triton.demo.board import board_for
from triton.demo.work import Run, run_all
from triton.errors import ValidationError
from triton.settings import Settings
from triton.stack.folder import running_stack
from triton.stack.up import Stack


class Place(NamedTuple):
    """Where the demo runs. `tend` looks after a stack of our own; `ours` says whether it is one."""

    settings: Settings
    api: Reach
    tend: Callable[[], object]
    ours: bool


def run_demo(chosen: Settings, paths: Sequence[Path], *, any_port: bool, keep: bool) -> bool:
    """Whether all jobs ended, none for a reason of the platform's, and both stores equal the log.

    `any_port`: take a free port where the one of the settings is taken. `keep`: at the end, leave the
    stack running until ctrl-C. Raises TritonErrors, KeyboardInterrupt.
    """
    found = files.find(paths)
    for problem in found.problems:
        output.warn(problem)
    if found.files and found.skipped:
        output.warn(files.skipped_line(found.skipped))
    if paths and not found.files:
        raise ValidationError(
            "there is no document to run on; from folders these are taken: "
            + ", ".join(sorted(files.SUFFIXES))
        )
    with Interrupt() as interrupt, ExitStack() as stack:
        place = _place(chosen, stack, any_port=any_port)
        chosen_files = found.files or files.own_documents(Path(place.settings.data) / "demo")
        whole = _show(place, chosen_files)
        _next(place, keep=keep)
        if keep and place.ours:
            interrupt.raising = False
            while not interrupt.asked.wait(0.2):
                place.tend()
    return whole


def _place(chosen: Settings, stack: ExitStack, *, any_port: bool) -> Place:
    data = str(Path(chosen.data).absolute())
    if running_stack(Path(data)) is not None:
        output.line(f"using the stack that runs on {data}")
        return Place(engines(data), reach(data, None), lambda: None, ours=False)
    workers = max(1, chosen.worker_processes)
    chosen = msgspec.structs.replace(chosen, worker_processes=workers)
    own = Stack(chosen, any_port=any_port, on_exit=report_exit)
    begun = time.monotonic()
    with output.console(stderr=True).status(
        f"starting Valkey, PostgreSQL and ClickHouse on {data}"
    ):
        stack.enter_context(own)
    output.line(
        f"Valkey, PostgreSQL, ClickHouse, API, projectors and workers run on {data} "
        f"after {time.monotonic() - begun:.1f} s; the API is {own.api_url}"
    )
    return Place(own.settings, reach(data, None), own.engines.supervisor.poll, ours=True)


def _show(place: Place, chosen_files: Sequence[Path]) -> bool:
    settings, tend = place.settings, place.tend
    since, begun = datetime.now(UTC), time.monotonic()
    with board_for(len(chosen_files)) as board:
        runs = asyncio.run(run_all(place.api, chosen_files, board, tend))
    ran = [run for run in runs if run.job is not None]
    output.line(f"{count(len(ran), 'job')} ended after {time.monotonic() - begun:.1f} s")
    if not ran:
        return False
    positions: dict[int, int] = {}
    for job in (run.job for run in ran if run.job is not None):
        positions[job.partition] = max(job.position, positions.get(job.partition, 0))
    if not report.await_projectors(settings, positions, tend):
        output.warn("the projectors are late: what follows is as far as they have come")
    clear = report.jobs(settings, ran)
    report.analytics(settings, since)
    report.one_history(place.api, _example(ran))
    return prove(settings) and clear


def _example(runs: Sequence[Run]) -> Run:
    """The longest job that completed, or any."""
    completed = [run for run in runs if run.job is not None and run.job.state == "completed"]
    return max(completed or runs, key=lambda run: run.job.version if run.job else 0)


def _next(place: Place, *, keep: bool) -> None:
    data = Path(place.settings.data).absolute()
    option = "" if data == Path(".triton").absolute() else f" --data {shlex.quote(str(data))}"
    command = typed(sys.argv[0], Path.cwd())
    rows = []
    if place.ours and not keep:
        output.line("The stack of this demo ends now; its data stays. Where to look next:")
        rows.append((f"{command} up{option}", "run it again, on the same data; then, beside it:"))
    else:
        output.line("Where to look next:")
        rows.append((f"{place.api.url}/docs", "the HTTP API"))
    rows += [
        (f"{command} jobs{option}", "every job; --json for programs"),
        (f"{command} replay{option}", "the log, folded again"),
        (f"{command} doctor{option}", "every engine and setting"),
    ]
    width = max(len(what) for what, _ in rows)
    for what, about in rows:
        output.line(f"  {what:<{width}}  {about}")
    if keep and place.ours:
        output.line("The stack runs on until ctrl-C.")
