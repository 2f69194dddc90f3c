"""Owns `triton audit hold` and `triton audit retention`: what must be kept, and for how long."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.audit.planning import Planned
    from triton.audit.rules import Hold, Retention, Scope
    from triton.audit.ruling import Connection, Note
    from triton.settings import Settings

_T = TypeVar("_T")
_hold = typer.Typer(no_args_is_help=True, help="Legal holds: nothing under one expires.")
_retention = typer.Typer(
    no_args_is_help=True, help="How long events are kept, by tenant and queue; for ever by default."
)

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is in the event.")]


def register(app: typer.Typer) -> None:
    """Adds the groups to `triton audit`."""
    app.add_typer(_hold, name="hold")
    app.add_typer(_retention, name="retention")


@_hold.command("add")
def add(
    reason: Reason,
    tenant: Annotated[str | None, typer.Option(help="Hold all of this tenant.")] = None,
    queue: Annotated[str | None, typer.Option(help="Hold all of this queue.")] = None,
    job: Annotated[str | None, typer.Option(help="Hold this job.")] = None,
    name: Annotated[str, typer.Option(help="Of the hold; default: a new one.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Place a legal hold on a tenant, a queue or a job. Without a name it gets one, which lifts it."""
    from triton.audit.reasons import given
    from triton.audit.ruling import place
    from triton.cli import output
    from triton.cli.audit_reading import person
    from triton.errors import ValidationError

    scopes: dict[Scope, str | None] = {"tenant": tenant, "queue": queue, "job": job}
    chosen = [(scope, value) for scope, value in scopes.items() if value]
    if len(chosen) != 1:
        raise ValidationError("a hold is on one of --tenant, --queue and --job")
    ((scope, value),) = chosen
    hold = name or f"hold-{secrets.token_hex(4)}"
    why = given(reason, name="--reason")
    position = _run(
        data, lambda c, note: place(c, note, hold, scope, value, by=person(), reason=why)
    )
    if as_json:
        output.document({"hold": hold, "scope": scope, "value": value, "position": position})
    else:
        output.line(f"{hold}  holds {scope} {value}; event hold.placed at position 0:{position}")


@_hold.command("lift")
def lift(
    hold: Annotated[str, typer.Argument(metavar="HOLD", show_default=False)],
    reason: Reason,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """End a legal hold."""
    from triton.audit.reasons import given
    from triton.audit.ruling import lift as end
    from triton.cli import output
    from triton.cli.audit_reading import person

    why = given(reason, name="--reason")
    position = _run(data, lambda c, note: end(c, note, hold, by=person(), reason=why))
    if as_json:
        output.document({"hold": hold, "position": position})
    else:
        output.line(f"{hold}  is lifted; event hold.lifted at position 0:{position}")


@_hold.command("list")
def listed(
    every: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what is held, by whom and why."""
    from triton.audit.ruling import holds
    from triton.cli import output
    from triton.events.render import rfc3339

    found = _run(data, lambda c, _: holds(c, lifted=every))
    if as_json:
        output.document({"holds": found})
        return
    rows = [
        (
            one.hold,
            f"{one.scope} {one.value}",
            rfc3339(one.placed_at),
            one.placed_by,
            one.reason,
            f"{rfc3339(one.lifted_at)} by {one.lifted_by}" if one.lifted_at else "",
        )
        for one in found
    ]
    output.table("", ("hold", "on", "placed", "by", "why", "lifted"), rows)


@_retention.command("set")
def retain(
    days: Annotated[int, typer.Argument(min=0, metavar="DAYS", help="0 is for ever.")],
    reason: Reason,
    tenant: Annotated[str, typer.Option(help="Of this tenant only.")] = "",
    queue: Annotated[str, typer.Option(help="Of this queue only.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say for how many days events are kept. The closest rule holds: tenant and queue, tenant, queue, all."""
    from triton.audit.reasons import given
    from triton.audit.rules import Retention
    from triton.audit.ruling import retain as say
    from triton.cli import output
    from triton.cli.audit_reading import person

    why = given(reason, name="--reason")
    rule = Retention(tenant, queue, days)
    op = f"retention:{secrets.token_hex(8)}"
    position = _run(data, lambda c, note: say(c, note, rule, op=op, by=person(), reason=why))
    if as_json:
        output.document({**_plain(rule), "position": position})
    else:
        named = f"tenant {tenant or '*'}, queue {queue or '*'}"
        kept = f"{days} days" if days else "for ever"
        output.line(f"{named}: {kept}; event retention.set at position 0:{position}")


@_retention.command("list")
def rules(data: Data = None, as_json: Json = False) -> None:
    """Show how long what is kept."""
    from triton.audit.ruling import retention
    from triton.cli import output

    found = _run(data, lambda c, _: retention(c))
    if as_json:
        output.document({"retention": found})
        return
    rows = [
        (one.tenant or "*", one.queue or "*", one.days or "for ever", one.set_by, one.reason)
        for one in found
    ] or [("*", "*", "for ever", "", "nobody said otherwise")]
    output.table("", ("tenant", "queue", "days>", "by", "why"), rows)


@_retention.command("plan")
def planned(data: Data = None, as_json: Json = False) -> None:
    """Show which segments of the archive have outlived their retention. Nothing is removed."""
    import time

    from triton.audit.planning import plan
    from triton.cli import output
    from triton.cli.replay import open_log
    from triton.cli.target import engines
    from triton.events.client import connect_async

    settings = engines(data, "redis_url", "database_url")
    rules, held = _run(data, _rules_and_holds)

    async def ask() -> list[Planned]:
        client = connect_async(settings.redis_url)
        try:
            history = await open_log(client, settings)
            return await plan(history, rules, held, time.time_ns() // 1000)
        finally:
            await client.aclose()

    found = asyncio.run(ask())
    if as_json:
        output.document({"segments": found})
        return
    rows = [(one.partition, one.first, one.last, one.kept_by or "may expire") for one in found]
    output.table("", ("partition>", "from>", "to>", "what keeps it"), rows)


async def _rules_and_holds(connection: Connection, _: Note) -> tuple[list[Retention], list[Hold]]:
    from triton.audit.ruling import holds, retention

    return await retention(connection), await holds(connection)


def _run(data: str | None, work: Callable[[Connection, Note], Awaitable[_T]]) -> _T:
    from triton.cli.target import engines

    async def run() -> _T:
        async with _opened(engines(data, "redis_url", "database_url")) as (connection, note):
            return await work(connection, note)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Connection, Note]]:
    import psycopg

    from triton.audit.noting import note
    from triton.cli.audit_reading import person
    from triton.cli.replay import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts

    client = connect_async(settings.redis_url)
    try:
        await open_log(client, settings)

        async def write(event: Any, op: str, tenant: str) -> int:
            place = (client, Scripts(), settings.namespace)
            return await note(*place, event, op=op, by=person(), tenant=tenant)

        async with await psycopg.AsyncConnection.connect(
            settings.database_url, autocommit=True, connect_timeout=10
        ) as connection:
            yield connection, write
    finally:
        await client.aclose()


def _plain(rule: Any) -> dict[str, Any]:
    return {"tenant": rule.tenant, "queue": rule.queue, "days": rule.days}
