"""Owns `triton jobs` and what goes below it, and `triton events`: jobs through the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from triton.cli import acting
from triton.cli.options import Data, JobId, Json, State, Url

if TYPE_CHECKING:
    from triton.client import Client


#: Jobs and events in one request at most.
_PAGE: Final = 200
_EVENTS: Final = 1000


app = typer.Typer(
    invoke_without_command=True,
    help="List jobs, newest first; a job of a moment ago may not be listed yet. Or one of the commands.",
)


@app.callback()
def jobs(
    context: typer.Context,
    status: Annotated[list[State] | None, typer.Option(help="Jobs in this state.")] = None,
    queue: Annotated[str | None, typer.Option(help="Jobs of this queue.")] = None,
    actor: Annotated[str | None, typer.Option(help="Jobs of this actor.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Jobs of this tenant.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Submitted since: 30m, 2h, 7d, or 2026-01-31T12:00:00Z."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        sources = [context.get_parameter_source(name) for name in context.params]
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise typer.BadParameter(
                f"write the options behind `{context.invoked_subcommand}`, where they belong"
            )
        return
    from triton.cli import output
    from triton.cli.arguments import moment
    from triton.cli.target import client

    chosen = {
        "status": tuple(one.value for one in status or ()),
        "queue": queue,
        "actor": actor,
        "tenant": tenant,
        "submitted_after": None if since is None else moment("--since", since),
    }
    with client(data, url) as api:
        found = pages(api, "/jobs", "jobs", {"next": None}, limit, _PAGE, chosen)
    if as_json:
        output.document({"jobs": found})
        return
    if not found:
        output.line("no jobs")
        return
    columns = ("job", "state", "actor", "queue", "submitted", "took>", "")
    output.table("", columns, [_row(job) for job in found])


def events(job: JobId, data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """Show a job's whole history."""
    import msgspec

    from triton.cli import output
    from triton.cli.live import Event
    from triton.cli.target import client

    with client(data, url) as api:
        found = history(api, job)
    if as_json:
        output.document({"events": found})
    else:
        output.table("", EVENT_COLUMNS, event_rows(msgspec.convert(found, list[Event])), wrap=False)


@app.command()
def explain(job: JobId, data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """Say why a job waits, ran again, failed or was cancelled."""
    from triton.cli import output
    from triton.cli.live import clock
    from triton.cli.target import client
    from triton.client.calls import job_path

    with client(data, url) as api:
        found = api.get(job_path(job, "/explain"))
    if as_json:
        output.document(found)
        return
    output.line(f"{found['job']} is {found['state']}.")
    output.line(found["summary"])
    output.line("")
    for cause in found["because"]:
        output.line(f"  {clock(cause['at'])}  {cause['text']}")
    output.line("")
    output.line(f"Next: {found['next']}")


app.command()(acting.requeue)
app.command()(acting.cancel)


EVENT_COLUMNS: Final = ("#>", "time", "event", "attempt>", "by", "position>", "")


def event_rows(found: Any) -> list[tuple[object, ...]]:
    """The rows of a table of `triton.cli.live.Event`s."""
    from triton.cli.live import clock, words

    return [
        (
            event.version,
            clock(event.time),
            event.type,
            event.attempt or None,
            event.by,
            event.position,
            words(event),
        )
        for event in found
    ]


def history(api: Client, job: str) -> list[dict[str, Any]]:
    """All events of a job, as the API has them."""
    from triton.client.calls import job_path

    path = job_path(job, "/events")
    return pages(api, path, "events", {"after_version": None}, None, _EVENTS, {})


def pages(
    api: Client,
    path: str,
    name: str,
    place: dict[str, Any],
    limit: int | None,
    page: int,
    chosen: dict[str, Any],
) -> list[dict[str, Any]]:
    """Page by page, up to `limit`; `place` names the parameter that says where the next one begins."""
    (key,) = place
    found: list[dict[str, Any]] = []
    while True:
        count = page if limit is None else min(page, limit - len(found))
        answer = api.get(path, limit=count, **place, **chosen)
        found += answer[name]
        place[key] = answer["next"]
        if answer["next"] is None or len(found) == limit:
            return found


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    from triton.cli.live import error_text
    from triton.cli.output import local_time

    return (
        job["id"],
        job["state"],
        job["actor"],
        job["queue"],
        local_time(job["submitted_at"]),
        _took(job["started_at"], job["finished_at"]),
        error_text(job["error"]) or _progress(job),
    )


def _progress(job: dict[str, Any]) -> str:
    """Where a job is that has not ended; which attempt, where it is not the first."""
    again = f"attempt {job['attempt']}" if job["attempt"] > 1 else ""
    running = job["state"] == "processing"
    where = f"{job['percent']:.0f} % {job['stage']}".rstrip() if running else ""
    return ", ".join(part for part in (where, again) if part)


def _took(started: str | None, finished: str | None) -> str:
    if not started or not finished:
        return ""
    seconds = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return f"{seconds.total_seconds():.2f} s"
