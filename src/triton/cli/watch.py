"""Owns `triton watch`: one job live by its stream, and while the stream is silent why nothing happens."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, JobId, Json, Url

if TYPE_CHECKING:
    import httpx

    from triton.cli.live import Event, LiveJob
    from triton.cli.sse import Message


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
    from triton.cli.target import api_url

    found = api_url(data, url)
    raise typer.Exit(follow_job(found, job, from_start=from_start, as_json=as_json))


def follow_job(api: str, job: str, *, from_start: bool, as_json: bool) -> int:
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
    api: str,
    live: LiveJob,
    viewer: Viewer,
    *,
    from_start: bool,
    quiet: float = QUIET,
    again: float = AGAIN,
) -> None:
    import httpx

    from triton.cli.client import PREFIX, job_path, local
    from triton.cli.sse import beginning, follow

    url = api + PREFIX + job_path(live.id, "/subscribe")
    why = api + PREFIX + job_path(live.id, "/explain")
    heard = asyncio.Event()
    async with httpx.AsyncClient(trust_env=not local(api)) as client:
        cursor = await beginning(client, url) if from_start else ""
        messages = follow(client, url, last_event_id=cursor, on_break=viewer.broken)
        telling = asyncio.create_task(_tell_why(client, why, heard, viewer, quiet, again))
        try:
            async with aclosing(messages):
                async for message in messages:
                    event = live.take(message)
                    viewer.show(message, event, live)
                    if event is not None:
                        heard.set()
        finally:
            telling.cancel()


async def _tell_why(
    client: httpx.AsyncClient,
    url: str,
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
        reason = await _reason(client, url)
        # Places in the queue and times go on; that is the same reason.
        kind = re.sub(r"\d+", "", reason)
        if reason and kind != told:
            told = kind
            viewer.waits(reason)


async def _reason(client: httpx.AsyncClient, url: str) -> str:
    """In words; empty where nobody answers: the stream says what is the matter then."""
    import httpx

    try:
        answer = await client.get(url)
        found = answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return ""
    return f"{found['summary']} {found['next']}" if found else ""
