"""Owns the demo's jobs: each file uploaded, submitted and followed, many at once, by the API alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from triton.cli.live import Event, LiveJob
from triton.cli.target import Reach
from triton.client import AsyncClient, Client
from triton.errors import TritonError, UnavailableError

#: Files on their way to the archive, and streams open, at the same time.
_UPLOADS: Final = 4
_STREAMS: Final = 90
#: Seconds without any event after which the board says so.
_QUIET: Final = 20.0
_POLL: Final = 0.2


class Run(msgspec.Struct):
    """One file and its job."""

    path: Path
    name: str
    #: Bytes.
    size: int = 0
    job: LiveJob | None = None
    #: Why there is no job.
    problem: str = ""


class Board(Protocol):
    """Shows the runs as they go on."""

    def submitted(self, run: Run) -> None: ...

    def moved(self, run: Run, job: LiveJob, event: Event | None) -> None: ...

    def refused(self, run: Run) -> None: ...

    def note(self, text: str) -> None: ...


class _Work:
    """All runs of one demo."""

    def __init__(self, runs: Sequence[Run], api: Client, board: Board, client: AsyncClient) -> None:
        self.runs = runs
        self.api = api
        self.board = board
        self.client = client
        self.uploads = asyncio.Semaphore(_UPLOADS)
        self.streams = asyncio.Semaphore(_STREAMS)
        self.heard = time.monotonic()

    async def run(self, run: Run) -> None:
        async with self.uploads:
            try:
                run.job = await asyncio.to_thread(self._submit, run)
            except UnavailableError:
                raise
            except (OSError, TritonError) as error:
                run.problem = getattr(error, "message", "") or getattr(error, "strerror", "")
                run.problem = run.problem or str(error)
                self.board.refused(run)
                return
            self.heard = time.monotonic()
        self.board.submitted(run)
        async with self.streams:
            await self._follow(run, run.job)

    def _submit(self, run: Run) -> LiveJob:
        """In a thread. Raises OSError for a file that cannot be read, TritonErrors."""
        document = self.api.upload(run.path)
        run.size = document.size
        return LiveJob(self.api.submit("documents.extract", kwargs={"document": document.id}).id)

    async def _follow(self, run: Run, job: LiveJob) -> None:
        async with self.client.subscribe(job.id, on_reset=lambda _: None) as following:
            async for message in following.messages():
                self.heard = time.monotonic()
                event = job.take(message)
                self.board.moved(run, job, event)

    async def keep(self, tend: Callable[[], object]) -> None:
        """Meanwhile: look after the stack, and say when nothing happens."""
        while True:
            tend()
            if time.monotonic() - self.heard > _QUIET:
                self.heard = time.monotonic()
                self.board.note(f"no event for {_QUIET:.0f} s: {awaited(self.runs)}")
            await asyncio.sleep(_POLL)


def awaited(runs: Sequence[Run]) -> str:
    """What the demo waits for: the jobs that run; where none does, those that wait; else the uploads."""
    left = [run for run in runs if not run.problem and not (run.job and run.job.ended)]
    running = [run for run in left if run.job and run.job.state == "processing"]
    waiting = [run for run in left if run.job]
    if running:
        return f"still in work: {_some(running)}"
    if waiting:
        return f"no job runs, and there wait: {_some(waiting)}; does a worker run?"
    return f"still on the way to the archive: {_some(left)}"


def _some(runs: Sequence[Run]) -> str:
    first = ", ".join(run.name for run in runs[:3])
    return first if len(runs) <= 3 else f"{first} and {len(runs) - 3} more"


async def run_all(
    reach: Reach, files: Sequence[Path], board: Board, tend: Callable[[], object]
) -> list[Run]:
    """Returns when every job has ended. `tend` is called again and again. Raises UnavailableError."""
    runs = [Run(path, path.name) for path in files]
    with Client(reach.url, api_key=reach.key or None, repeats=0) as api:
        async with AsyncClient(reach.url, api_key=reach.key or None, repeats=0) as client:
            work = _Work(runs, api, board, client)
            keeping = asyncio.create_task(work.keep(tend))
            try:
                async with asyncio.TaskGroup() as group:
                    for run in runs:
                        group.create_task(work.run(run))
            except* UnavailableError as away:
                raise away.exceptions[0] from None
            finally:
                keeping.cancel()
    return runs
