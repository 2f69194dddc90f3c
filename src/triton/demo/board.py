"""Owns the demo's board: bars on a terminal, lines elsewhere; both fed by the jobs' streams only."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.progress import TaskID

from triton.cli import output
from triton.cli.live import TERMINAL, Event, LiveJob
from triton.cli.viewers import ending, progress
from triton.demo.work import Run

#: A line says where a job is each time it has passed another so many percent.
_STEP: Final = 25.0


class Lines:
    """For files and pipes: how each job began, each quarter, and how it ended."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def submitted(self, run: Run) -> None:
        output.line(f"{run.name}: submitted as {run.job.id if run.job else ''}")

    def moved(self, run: Run, job: LiveJob, event: Event | None) -> None:
        if job.ended:
            self._ended += 1
            output.line(f"{run.name}: {ending(job)}  [{self._ended} of {self._total}]")
        elif event is not None and event.type == "job.progressed":
            told = self._told.get(job.id, 0.0)
            if told + _STEP <= job.percent < 100.0:
                self._told[job.id] = job.percent
                output.line(f"{run.name}: {job.percent:.0f} %  {job.stage}")
        elif event is not None and event.type in ("job.retry_scheduled", "job.lease_lost"):
            output.line(f"{run.name}: {event.type}  {job.error}")

    def refused(self, run: Run) -> None:
        self._ended += 1
        output.line(f"{run.name}: not submitted: {run.problem}")

    def note(self, text: str) -> None:
        output.warn(text)


class Bars:
    """A bar per job. When they are more than the terminal has lines, those that ended scroll away."""

    def __init__(self, total: int) -> None:
        self._progress = progress(output.console(), refresh_per_second=15)
        self._room = max(4, self._progress.console.height - 6)
        self._all = self._progress.add_task("all jobs", total=total, stage="")
        self._tasks: dict[str, TaskID] = {}

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

    def submitted(self, run: Run) -> None:
        if run.job is not None:
            self._tasks[run.job.id] = self._progress.add_task(
                output.safe(run.name), total=100.0, stage=""
            )
            self._make_room()

    def moved(self, run: Run, job: LiveJob, event: Event | None) -> None:  # noqa: ARG002
        task = self._tasks[job.id]
        self._progress.update(task, completed=job.percent, stage=output.safe(_stage(job)))
        if job.ended:
            self._progress.stop_task(task)
            self._progress.advance(self._all)
            self._make_room()

    def refused(self, run: Run) -> None:
        self.note(f"{run.name}: not submitted: {run.problem}")
        self._progress.advance(self._all)

    def note(self, text: str) -> None:
        self._progress.console.print(output.cell(text), style="yellow")

    def _make_room(self) -> None:
        shown = [task for task in self._progress.tasks if task.visible and task.id != self._all]
        over = len(shown) - self._room
        ended = [task for task in shown if task.stop_time is not None]
        for task in ended[: max(0, over)]:
            self._progress.update(task.id, visible=False)
            self._progress.console.print(output.cell(f"{task.description}: {task.fields['stage']}"))


def _stage(job: LiveJob) -> str:
    """Where the job is; of one that failed the reason, without the name of the exception."""
    if job.state == "completed":
        return "\N{CHECK MARK} completed"
    if job.state in TERMINAL:
        why = job.error.partition(": ")[2] or job.error or job.reason
        return f"\N{BALLOT X} {why or job.state}"
    return job.stage or job.state


def board_for(total: int) -> Bars | Lines:
    return Bars(total) if output.is_terminal() else Lines(total)
