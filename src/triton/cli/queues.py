"""Owns `triton queues` and `triton workers`: what waits where, who works, and holding a queue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from triton.cli.options import Data, Json, Url

app = typer.Typer(help="Show queues, and pause, drain or resume one.")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.", show_default=False)]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, in your words.")]


@app.callback(invoke_without_command=True)
def queues(
    context: typer.Context, data: Data = None, url: Url = None, as_json: Json = False
) -> None:
    """List queues: what waits, for how long, who works on it."""
    if context.invoked_subcommand is not None:
        return
    from triton.cli import output

    found = _get("/queues", data, url)
    if as_json:
        output.document(found)
    elif not found["queues"]:
        output.line("no queues")
    else:
        columns = (
            "queue",
            "state",
            "ready>",
            "due>",
            "running>",
            "waits>",
            "per min>",
            "workers>",
            "",
        )
        output.table("", columns, [_row(queue) for queue in found["queues"]])


@app.command()
def pause(
    name: Name, reason: Reason = "", data: Data = None, url: Url = None, as_json: Json = False
) -> None:
    """Hand out no job of a queue until `resume`. What runs goes on, and jobs are taken still."""
    _command("pause", name, reason, data, url, as_json=as_json)


@app.command()
def drain(
    name: Name, reason: Reason = "", data: Data = None, url: Url = None, as_json: Json = False
) -> None:
    """Take no new jobs into a queue until `resume`. What is there is run to its end."""
    _command("drain", name, reason, data, url, as_json=as_json)


@app.command()
def resume(name: Name, data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """End a pause or a drain."""
    _command("resume", name, "", data, url, as_json=as_json)


def workers(data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """List living workers, and what each runs now."""
    from triton.cli import output

    found = _get("/workers", data, url)
    if as_json:
        output.document(found)
    elif not found["workers"]:
        output.line("no worker lives")
    else:
        columns = ("worker", "for>", "version", "threads>", "per min>", "queues", "runs")
        output.table("", columns, [_worker_row(worker) for worker in found["workers"]])


def _get(path: str, data: str | None, url: str | None) -> Any:
    from triton.cli.target import client

    with client(data, url) as api:
        return api.get(path)


def _command(
    what: str, name: str, reason: str, data: str | None, url: str | None, *, as_json: bool
) -> None:
    from triton.cli import output
    from triton.cli.target import client

    with client(data, url) as api:
        view = api.post(f"/queues/{quote(name, safe='')}/{what}", {"reason": reason})
    if as_json:
        output.document(view)
        return
    left = f"{view['ready']} ready, {view['due']} due, {view['running']} running"
    output.line(f"{view['name']}  {view['state']}, {left}")


def _row(queue: dict[str, Any]) -> tuple[object, ...]:
    wait, held = queue["oldest_wait_s"], queue["held"]
    return (
        queue["name"],
        queue["state"],
        queue["ready"],
        queue["due"],
        queue["running"],
        None if wait is None else seconds(wait),
        queue["finished_per_minute"],
        queue["workers"],
        "" if held is None else f"by {held['by']} for {_since(held['since'])}: {held['reason']}",
    )


def _worker_row(worker: dict[str, Any]) -> tuple[object, ...]:
    runs = ", ".join(
        f"{running['actor']} {running['job']} for {_since(running['since'])}"
        for running in worker["running"]
    )
    return (
        worker["id"],
        _since(worker["since"]),
        worker["version"],
        worker["threads"],
        worker["finished_per_minute"],
        ", ".join(worker["queues"]),
        runs,
    )


def _since(time: str) -> str:
    passed = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    return seconds(max(0.0, passed))


def seconds(span: float) -> str:
    """A span of time in its two largest units."""
    if span < 60:
        return f"{span:.1f} s"
    minutes, rest = divmod(int(span), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
