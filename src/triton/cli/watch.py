"""Owns `triton watch`: one job live by its stream, and while the stream is silent why nothing happens."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, JobId, Json, Url

if TYPE_CHECKING:
    from triton.cli.live import Event, LiveJob
    from triton.client import AsyncClient, Message


#: Seconds without an event after which it is asked why; then every so many.
QUIET: Final = 5.0
AGAIN: Final = 15.0


class Viewer(Protocol):
    """Shows a job as its stream goes on."""

    def show(self, message: Message, event: Event | None, job: LiveJob) -> None: ...

    def broken(self, reason: str) -> None: ...

    def waits(self, reason: str) -> None: ...


def watch(
    job: JobId,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="With all that happened before.")
    ] = False,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Follow a job to its end, through restarts of the API; exit 1 where it does not complete."""
    from triton.cli.target import async_client

    found = async_client(data, url)
    raise typer.Exit(follow_job(found, job, from_start=from_start, as_json=as_json))


def follow_job(api: AsyncClient, job: str, *, from_start: bool, as_json: bool) -> int:
    """Shows the job until it ends; answers the exit status."""
    from triton.cli import viewers
    from triton.cli.live import LiveJob
    from triton.cli.output import is_terminal

    live = LiveJob(job)
    shown: AbstractContextManager[Viewer]
    if as_json:
        shown = nullcontext(viewers.JsonLines())
    elif is_terminal():
        shown = viewers.ProgressBar()
    else:
        shown = nullcontext(viewers.Lines())
    with shown as viewer:
        asyncio.run(_follow(api, live, viewer, from_start=from_start))
    return 0 if live.state == "completed" else NO


async def _follow(
    api: AsyncClient,
    live: LiveJob,
    viewer: Viewer,
    *,
    from_start: bool,
    quiet: float = QUIET,
    again: float = AGAIN,
) -> None:
    heard = asyncio.Event()
    async with api:
        telling = asyncio.create_task(_tell_why(api, live.id, heard, viewer, quiet, again))
        following = api.subscribe(
            live.id,
            from_="earliest" if from_start else None,
            on_break=viewer.broken,
            # What was lost is in the snapshot that follows.
            on_reset=lambda _: None,
        )
        try:
            async with following:
                async for message in following.messages():
                    event = live.take(message)
                    viewer.show(message, event, live)
                    if event is not None:
                        heard.set()
        finally:
            telling.cancel()


async def _tell_why(
    api: AsyncClient,
    job: str,
    heard: asyncio.Event,
    viewer: Viewer,
    quiet: float,
    again: float,
) -> None:
    """Asks why the job is where it is whenever it was silent; says so when the reason is another one."""
    told, pause = "", quiet
    while True:
        heard.clear()
        try:
            async with asyncio.timeout(pause):
                await heard.wait()
            pause = quiet
            continue
        except TimeoutError:
            pause = again
        reason = await _reason(api, job)
        # Places in the queue and times go on; that is the same reason.
        kind = re.sub(r"\d+", "", reason)
        if reason and kind != told:
            told = kind
            viewer.waits(reason)


async def _reason(api: AsyncClient, job: str) -> str:
    """In words; empty where nobody answers: the stream says what is the matter then."""
    from triton.client.calls import job_path
    from triton.errors import TritonError

    try:
        found = await api.get(job_path(job, "/explain"))
    except TritonError:
        return ""
    return f"{found['summary']} {found['next']}"
