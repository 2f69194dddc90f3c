"""Owns the three ways to show a job as it runs: JSON lines, plain lines, a progress bar."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from triton.cli import output
from triton.cli.live import Event, LiveJob, clock, words
from triton.client.sse import END, SNAPSHOT, UNNAMED, Message


class JsonLines:
    """Events as they come; the snapshot and the end as `{"type": "triton.snapshot", "data": ...}`."""

    def show(self, message: Message, event: Event | None, job: LiveJob) -> None:  # noqa: ARG002
        if message.event == UNNAMED:
            output.json_line(message.data)
        elif message.event in (SNAPSHOT, END):
            output.json_line({"type": message.event, "data": msgspec.Raw(message.data.encode())})

    def broken(self, reason: str) -> None:
        output.warn(f"{reason}; connecting again")

    def waits(self, reason: str) -> None:
        output.note(reason)


class Lines:
    """A line per event, and one for the state that the watch began with."""

    def show(self, message: Message, event: Event | None, job: LiveJob) -> None:
        if event is not None:
            for said in event_lines(event):
                output.line(said)
        elif message.event == SNAPSHOT:
            output.line(
                f"{job.state}  attempt {job.attempt}  {job.percent:.0f} %  {job.stage}".rstrip()
            )
        elif message.event == END:
            output.line(ending(job))

    def broken(self, reason: str) -> None:
        output.warn(f"{reason}; connecting again")

    def waits(self, reason: str) -> None:
        output.note(reason)


class ProgressBar:
    """A bar with the stage; what the job puts out runs above it."""

    def __init__(self) -> None:
        self._progress = progress(output.console())
        self._task = self._progress.add_task("", total=100.0, stage="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, message: Message, event: Event | None, job: LiveJob) -> None:
        said = self._progress.console
        if event is not None and event.type != "job.progressed":
            style = "" if event.type == "job.output" else "dim"
            for line in event_lines(event):
                said.print(output.cell(line), style=style)
        self._progress.update(
            self._task,
            completed=job.percent,
            description=output.safe(job.state),
            stage=output.safe(job.stage),
        )
        if message.event == END:
            said.print(output.cell(ending(job)))

    def broken(self, reason: str) -> None:
        self._progress.console.print(output.cell(f"{reason}; connecting again"), style="yellow")

    def waits(self, reason: str) -> None:
        self._progress.console.print(output.cell(reason), style="yellow")


def progress(console: Console, **options: Any) -> Progress:
    """Bars with a description before and the task's `stage` behind, which gives way first."""
    narrow = console.width < 100
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=_kept(20 if narrow else 36)),
        BarColumn(bar_width=None, table_column=_kept(12 if narrow else 28)),
        TextColumn("{task.percentage:>3.0f} %", table_column=_kept(5)),
        TimeElapsedColumn(table_column=_kept(7)),
        TextColumn(
            "{task.fields[stage]}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        console=console,
        expand=True,
        **options,
    )


def _kept(width: int) -> Column:
    return Column(width=width, no_wrap=True, overflow="ellipsis")


def event_lines(event: Event) -> list[str]:
    """An event as a line; output as a line for each of its own."""
    said = str(event.data.get("chunk", "")).splitlines() if event.type == "job.output" else []
    start = f"{clock(event.time)}  {event.type.removeprefix('job.'):<16} "
    return [(start + one).rstrip() for one in said or [words(event)]]


def ending(job: LiveJob) -> str:
    """How a job ended, in one line."""
    why = job.error if job.state == "failed" else job.reason
    return f"{job.state}: {why}" if why else job.state
