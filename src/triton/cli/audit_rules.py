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
    from triton.audit.rules import Scope
    from triton.audit.ruling import Note
    from triton.expiry.expiring import Expirer
    from triton.postgres import Connection
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
    """Show which segments of the archive have outlived their retention, and what keeps the next one.
    Nothing is removed."""
    _show_plan(data, as_json=as_json)


@_retention.command("apply")
def apply(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the plan; nothing is declared or removed.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let segments expire that have outlived their retention: an event declares each, and once that is
    sealed, its file goes. Archivers do the same (TRITON_EXPIRE_MS); run it again to go on."""
    from triton.cli import output

    if dry_run:
        _show_plan(data, as_json=as_json)
        return
    found = _expire(data, lambda expirer, partition: expirer.step(partition))
    swept = _sweep(data)
    if as_json:
        output.document({"segments": found, "removed": swept})
        return
    for one in found:
        where = f"partition {one.partition}: positions {one.first} to {one.last}"
        if one.state == "expired":
            output.line(f"{where} expired; event segment.expired at position {one.position}")
        else:
            said = f"{one.state} at position {one.position}" if one.position else "kept"
            output.line(f"{where}: {said}; {one.waits_for}")
    for store, events in swept.items():
        if events:
            output.line(f"{store}: {events} rows of expired events are removed")
    if not found:
        output.line("nothing may expire now: `triton audit retention plan` says what keeps it")


def _show_plan(data: str | None, *, as_json: bool) -> None:
    from triton.cli import output

    found = _expire(data, lambda expirer, partition: expirer.plan(partition))
    if as_json:
        output.document({"segments": found})
        return
    rows = [
        (one.partition, one.first, one.last, one.bytes, one.kept_by or "may expire")
        for one in found
    ]
    output.table("", ("partition>", "from>", "to>", "bytes>", "what keeps it"), rows)


def _sweep(data: str | None) -> dict[str, int]:
    """Remove what expired from both stores, where both are named: projectors do it otherwise."""
    from triton.cli.target import engines
    from triton.projections.sweeping import sweep_once

    settings = engines(data, "database_url")
    return asyncio.run(sweep_once(settings)) if settings.clickhouse_url else {}


def _expire(data: str | None, ask: Callable[[Expirer, int], Awaitable[list[_T]]]) -> list[_T]:
    """What an Expirer answers of each partition."""
    from triton.cli.target import engines

    return asyncio.run(_expired(engines(data, "redis_url", "database_url", "archive_url"), ask))


async def _expired(
    settings: Settings, ask: Callable[[Expirer, int], Awaitable[list[_T]]]
) -> list[_T]:
    from triton.archive import open_archive
    from triton.cli.audit_reading import person
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.expiry.expiring import Expirer
    from triton.postgres import connected

    archive = await asyncio.to_thread(open_archive, settings.archive_url)
    async with (
        connect_async(settings.redis_url) as client,
        connected(settings.database_url) as connection,
    ):
        log = await open_log(client, settings)
        expirer = Expirer(log, connection, archive, Scripts(), by=person())
        return [one for partition in range(log.partitions) for one in await ask(expirer, partition)]


def _run(data: str | None, work: Callable[[Connection, Note], Awaitable[_T]]) -> _T:
    from triton.cli.target import engines

    async def run() -> _T:
        async with _opened(engines(data, "redis_url", "database_url")) as (connection, note):
            return await work(connection, note)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Connection, Note]]:
    from triton.audit.noting import note
    from triton.cli.audit_reading import person
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.postgres import connected

    client = connect_async(settings.redis_url)
    try:
        await open_log(client, settings)

        async def write(event: Any, op: str, tenant: str) -> int:
            place = (client, Scripts(), settings.namespace)
            return await note(*place, event, op=op, by=person(), tenant=tenant)

        async with connected(settings.database_url) as connection:
            yield connection, write
    finally:
        await client.aclose()


def _plain(rule: Any) -> dict[str, Any]:
    return {"tenant": rule.tenant, "queue": rule.queue, "days": rule.days}
