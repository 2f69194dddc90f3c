"""Owns `triton dead`: the failed jobs, one by one or counted."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from triton.cli.options import Data, Json, Url

if TYPE_CHECKING:
    from triton.client import Client

PATH: Final = "/dead-letters"
_PAGE: Final = 200


class Group(StrEnum):
    """By what failed jobs can be counted; an Enum, because Typer takes no list of Literals."""

    ACTOR = "actor"
    ERROR = "error"
    REASON = "reason"
    QUEUE = "queue"
    TENANT = "tenant"
    HOUR = "hour"
    DAY = "day"


def dead(
    actor: Annotated[str | None, typer.Option(help="Jobs of this actor.")] = None,
    error: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The class name of what was raised.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="error, time_limit, died, rejected or expired.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Jobs of this queue.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Jobs of this tenant.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Failed since: 30m, 2h, 7d, or 2026-01-31T12:00:00Z."),
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Count them by actor, error and reason.")
    ] = False,
    by: Annotated[
        list[Group] | None,
        typer.Option(help="Count them by this instead; may be given several times."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List failed jobs, the last failed first, or count them."""
    from triton.cli.arguments import moment
    from triton.cli.target import client

    chosen = {
        "actor": actor,
        "error": error,
        "reason": reason,
        "queue": queue,
        "tenant": tenant,
        "failed_after": None if since is None else moment("--since", since),
    }
    with client(data, url) as api:
        if count or by:
            names = tuple(one.value for one in by or (Group.ACTOR, Group.ERROR, Group.REASON))
            _counts(api, names, min(limit, 1000), chosen, as_json=as_json)
        else:
            _letters(api, limit, chosen, as_json=as_json)


def _letters(api: Client, limit: int, chosen: dict[str, Any], *, as_json: bool) -> None:
    from triton.cli import output
    from triton.cli.jobs import pages
    from triton.cli.output import local_time

    found = pages(api, PATH, "dead_letters", {"next": None}, limit, _PAGE, chosen)
    if as_json:
        output.document({"dead_letters": found})
        return
    if not found:
        output.line("no failed jobs")
        return
    rows = [
        (
            letter["id"],
            letter["actor"],
            letter["queue"],
            letter["reason"],
            letter["attempt"],
            local_time(letter["failed_at"]),
            ": ".join(part for part in (letter["error"], letter["message"]) if part),
        )
        for letter in found
    ]
    output.table("", ("job", "actor", "queue", "reason", "attempt>", "failed", ""), rows)


def _counts(
    api: Client, names: tuple[str, ...], limit: int, chosen: dict[str, Any], *, as_json: bool
) -> None:
    from triton.cli import output
    from triton.cli.output import local_time

    found = api.get(PATH + "/counts", by=names, limit=limit, **chosen)
    if as_json:
        output.document(found)
        return
    if not found["groups"]:
        output.line("no failed jobs")
        return
    shown = tuple(name for name in names if name not in ("hour", "day"))
    timed = len(shown) < len(names)
    rows = [
        (
            group["count"],
            *((local_time(group["since"]),) if timed else ()),
            *(group[name] for name in shown),
            local_time(group["last_at"]),
        )
        for group in found["groups"]
    ]
    columns = ("count>", *(("since",) if timed else ()), *shown, "last")
    output.table("", columns, rows)
    output.line(f"{found['total']} failed jobs")
