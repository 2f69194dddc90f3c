"""Owns the bar of a rebuild: how many events are in the shadow, how fast they come, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from triton.cli import output
from triton.cli.telling import telling
from triton.projections.rebuild.telling import Progress as Reached


class Rate(ProgressColumn):
    """Events in a second, of the last half a minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} events/s" if speed else "", style="progress.data.speed")


@contextmanager
def shown(name: str, *, quiet: bool) -> Iterator[Callable[[Reached], None]]:
    """On stderr, and only where somebody looks at it."""
    console = output.console(stderr=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or telling.on or not console.is_terminal,
    ) as progress:
        task = progress.add_task(name, total=None)
        begun = False

        def told(reached: Reached) -> None:
            nonlocal begun
            if not begun:
                # What a run before this one did is not this one's speed.
                progress.reset(task, total=reached.total, completed=reached.done)
                begun = True
            what = f"{name}: indexes" if reached.completing else name
            telling.reached(done=reached.done, total=reached.total, what=what)
            progress.update(task, completed=reached.done, total=reached.total, description=what)

        yield told
