"""Owns `triton jobs requeue` and `triton jobs cancel`: one job, or all that a filter matches."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json, Url

if TYPE_CHECKING:
    from triton.client import Client

#: Skipped jobs that are shown.
_SHOWN: Final = 10
_DONE: Final = {"requeue": "requeued", "cancel": "cancelled or asked to stop"}
_WHY: Final = {
    "changed": "something happened to it since the count",
    "gone": "its message left Redis: submit it anew",
    "ended": "it has ended",
    "already": "it was asked before",
    "held": "another job has its unique key",
}


class Ended(StrEnum):
    """The states from which a job can be requeued; an Enum, because Typer takes no list of Literals."""

    FAILED = "failed"
    CANCELLED = "cancelled"


class Waiting(StrEnum):
    """The states in which a job can be cancelled."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    PROCESSING = "processing"


class How(NamedTuple):
    """What the person said about the run itself."""

    reason: str
    dry_run: bool
    yes: bool
    as_json: bool


Job = Annotated[str | None, typer.Argument(metavar="JOB", help="One job's id.", show_default=False)]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, in your words; required.")]
Queue = Annotated[str | None, typer.Option(help="All of this queue.")]
Actor = Annotated[str | None, typer.Option(help="All of this actor.")]
Failure = Annotated[
    str | None, typer.Option("--error", metavar="CLASS", help="All that raised this class.")
]
FailedFor = Annotated[
    str | None,
    typer.Option(
        "--failed-for", metavar="REASON", help="error, time_limit, died, rejected or expired."
    ),
]
Tenant = Annotated[str | None, typer.Option(help="All of this tenant.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="30m, 2h, 7d, or 2026-01-31T12:00:00Z.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="The same, for the end.")]
Every = Annotated[bool, typer.Option("--all", help="Every job, where there is no filter.")]
DryOnly = Annotated[bool, typer.Option("--dry-run", help="Only count, and show some.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def requeue(
    job: Job = None,
    status: Annotated[
        list[Ended] | None, typer.Option(help="Default: failed.", show_default=False)
    ] = None,
    queue: Queue = None,
    actor: Actor = None,
    error: Failure = None,
    failed_for: FailedFor = None,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    every: Every = False,
    reason: Reason = "",
    dry_run: DryOnly = False,
    yes: Yes = False,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send a failed or cancelled job round again, or all that a filter matches: counted, then asked.

    --since and --until are about when they ended. Exit 1 where one job cannot be requeued.
    """
    chosen = _filter(
        status=status, queue=queue, actor=actor, error=error, reason=failed_for, tenant=tenant
    ) | _times("ended", since, until)
    how = How(reason, dry_run, yes, as_json)
    _run("requeue", job, chosen, how, every=every, data=data, url=url)


def cancel(
    job: Job = None,
    status: Annotated[
        list[Waiting] | None, typer.Option(help="Default: all that have not ended.")
    ] = None,
    queue: Queue = None,
    actor: Actor = None,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    every: Every = False,
    reason: Reason = "",
    dry_run: DryOnly = False,
    yes: Yes = False,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """End a job that waits, ask one that runs to stop; or all that a filter matches: counted, then asked.

    --since and --until are about when they were submitted. Exit 1 where one job has ended before.
    """
    chosen = _filter(status=status, queue=queue, actor=actor, tenant=tenant) | _times(
        "submitted", since, until
    )
    how = How(reason, dry_run, yes, as_json)
    _run("cancel", job, chosen, how, every=every, data=data, url=url)


def _filter(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, [])}


def _times(what: str, since: str | None, until: str | None) -> dict[str, str]:
    from triton.cli.arguments import moment

    times = {}
    if since is not None:
        times[f"{what}_after"] = moment("--since", since)
    if until is not None:
        times[f"{what}_before"] = moment("--until", until)
    return times


def _run(
    action: str,
    job: str | None,
    chosen: Mapping[str, Any],
    how: How,
    *,
    every: bool,
    data: str | None,
    url: str | None,
) -> None:
    if job is not None and (chosen or every or how.dry_run):
        raise typer.BadParameter("name one job, or give a filter, not both")
    if job is None and not chosen and not every:
        raise typer.BadParameter(
            "name a job, or give a filter like --actor; --all is for every job"
        )
    if job is None and how.as_json and not (how.yes or how.dry_run):
        raise typer.BadParameter("--json asks nothing: give --dry-run or --yes too")
    from triton.cli.target import client

    if not how.dry_run:
        how = how._replace(reason=reason_of(how.reason, ask=not how.as_json))
    with client(data, url) as api:
        if job is not None:
            _one(api, action, job, how)
        else:
            _all(api, action, chosen, how)


def reason_of(reason: str, *, ask: bool) -> str:
    """Why, as it was said or, at a terminal, as it is said now. Raises ValidationError for nothing."""
    import sys

    from triton.audit.reasons import given

    if not reason.strip() and ask and sys.stdin.isatty():
        reason = typer.prompt("Why? It is kept with the event", err=True)
    return given(reason, name="--reason")


def _one(api: Client, action: str, job: str, how: How) -> None:
    from triton.cli import output
    from triton.client.calls import job_path

    view = api.post(job_path(job, f"/{action}"), {"reason": how.reason})
    if how.as_json:
        output.document(view)
        return
    asked = view["cancel_requested"] and view["state"] == "processing"
    output.line(f"{view['id']}  {view['state']}{', its worker was asked to stop' if asked else ''}")


def _all(api: Client, action: str, chosen: Mapping[str, Any], how: How) -> None:
    from triton.cli import output

    found = api.post(f"/jobs/{action}", {"filter": dict(chosen), "dry_run": True})
    if how.as_json and how.dry_run:
        output.document(found)
        return
    if not how.as_json:
        _show(found)
    if how.dry_run or not found["count"]:
        if how.as_json:
            output.document({"action": action, "count": 0, "done": 0, "skipped": 0, "skips": []})
        return
    if not how.yes and not typer.confirm(f"{action.capitalize()} {found['count']} jobs?", err=True):
        output.warn("nothing was done")
        raise typer.Exit(NO)
    done, skipped, skips = 0, 0, []
    token = found["token"]
    while token is not None:
        answer = api.post(f"/jobs/{action}", {"token": token, "reason": how.reason}, repeats=3)
        done += answer["done"]
        skipped += answer["skipped"]
        skips += answer["skips"]
        token = answer["next"]
    if how.as_json:
        counts = {"action": action, "count": found["count"], "done": done, "skipped": skipped}
        output.document({**counts, "skips": skips})
        return
    output.line(f"{done} {_DONE[action]}{f', {skipped} left alone' if skipped else ''}")
    for skip in skips[:_SHOWN]:
        output.warn(f"{skip['id']}: {_WHY.get(skip['why'], skip['why'])}")


def _show(found: dict[str, Any]) -> None:
    from triton.cli import output
    from triton.cli.output import local_time

    if not found["count"]:
        output.line("no job matches")
        return
    states = ", ".join(f"{count} {state}" for state, count in sorted(found["by_state"].items()))
    rows = [
        (
            one["id"],
            one["state"],
            one["actor"],
            one["queue"],
            local_time(one["submitted_at"]),
            one["error"],
            one["reason"],
        )
        for one in found["sample"]
    ]
    output.table("", ("job", "state", "actor", "queue", "submitted", "error", "reason"), rows)
    more = found["count"] - len(rows)
    output.line(f"{states}{f'; the {len(rows)} newest are shown' if more > 0 else ''}")
