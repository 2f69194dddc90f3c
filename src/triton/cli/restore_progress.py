"""Owns the bar of a restore: how much of the log is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from triton.cli import output
from triton.cli.telling import telling
from triton.restore.running import Plan, Told


@contextmanager
def shown(plans: Sequence[Plan], *, quiet: bool) -> Iterator[Told]:
    """On stderr, and only where somebody looks at it."""
    console = output.console(stderr=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or telling.on or not console.is_terminal,
    ) as progress:
        tasks = {
            one.partition: progress.add_task(f"partition {one.partition}", total=one.end)
            for one in plans
        }

        def told(partition: int, position: int, end: int) -> None:
            telling.reached(partition=partition, done=position, total=end)
            if partition in tasks:
                progress.update(tasks[partition], completed=position, total=end)

        yield told
