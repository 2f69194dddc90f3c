"""Owns `triton restore`: a Redis that was lost, from the archive and PostgreSQL."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.restore.running import Plan, Restored, Told
    from triton.settings import Settings


@takes_long("restore")
def restore(
    reason: Annotated[str, typer.Option(help="Why; it is kept with the new epoch.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is known and what is lost, change nothing.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who decides; default: the user of this shell.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Restore an empty Redis from the archive and PostgreSQL: jobs, queues, and the end of the log.

    Stop the workers before. Where the embedded stack is stopped, its engines run for as long as it takes.
    What nobody knows any more is named as lost, and the log begins a new epoch.
    """
    from triton.errors import ValidationError

    if not reason.strip():
        raise ValidationError("--reason is empty: say why Redis is restored")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ValidationError("nobody can be asked here: say --yes")
    with _engines(data) as settings:
        who = by or f"user:{getpass.getuser()}"
        _restore(settings, who, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@contextmanager
def _engines(data: str | None) -> Iterator[Settings]:
    """The engines that run; else the embedded ones alone, where there is an archive: the API of a stack that
    is new to its folder would begin a log, with the keys that it makes."""
    import msgspec

    from triton import migrate, settings
    from triton.cli.target import LIVE, engines
    from triton.stack.engines import Engines
    from triton.stack.folder import DataFolder, running_stack

    chosen = settings.load(data=data)
    place = DataFolder(Path(chosen.data))
    archived = chosen.archive_url or place.archive.is_dir()
    if not archived or any(getattr(chosen, name) for name in LIVE) or running_stack(place.path):
        yield engines(data, *LIVE, "archive_url")
        return
    with Engines(place.path, archive_url=chosen.archive_url) as own:
        migrate.up(own.database_url, own.clickhouse_url)
        yield msgspec.structs.replace(
            chosen,
            data=str(place.path),
            redis_url=own.redis_url,
            database_url=own.database_url,
            clickhouse_url=own.clickhouse_url,
            archive_url=own.archive_url,
        )


def _restore(
    settings: Settings, who: str, reason: str, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    from triton.cli import output
    from triton.cli.restore_progress import shown

    plans = asyncio.run(_plan(settings))
    if not as_json:
        _say_plan(plans)
    if dry_run:
        if as_json:
            output.document({"partitions": plans, "restored": []})
        return
    if not yes:
        typer.confirm("Restore Redis?", abort=True)
    with shown(plans, quiet=as_json) as told:
        restored = asyncio.run(_run(settings, who, reason, told))
    if as_json:
        output.document({"partitions": plans, "restored": restored})
    else:
        _say_restored(restored)


async def _plan(settings: Settings) -> list[Plan]:
    from triton.restore.running import open_restore

    async with open_restore(settings) as opened:
        return await opened.plan()


async def _run(settings: Settings, by: str, reason: str, told: Told) -> list[Restored]:
    from triton.restore.running import open_restore

    async with open_restore(settings) as opened:
        return await opened.run(by=by, reason=reason, told=told)


def _say_plan(plans: list[Plan]) -> None:
    from triton.cli import output

    rows = [
        (one.partition, one.end, one.archived, one.remade, _lost(one) or "none") for one in plans
    ]
    heads = ("partition", "known up to", "in the archive", "by PostgreSQL alone", "lost positions")
    output.table("", heads, rows)
    output.line("What came after that and was never projected nor signed, nobody can name.")


def _say_restored(restored: list[Restored]) -> None:
    from triton.cli import output

    for one in restored:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(one.jobs.items()))
        output.line(
            f"partition {one.plan.partition} goes on after position {one.plan.end} in epoch {one.epoch}: "
            f"{counts or 'no jobs'}"
        )
        if lost := _lost(one.plan):
            output.line(f"lost are the positions {lost}")
        if one.unreadable:
            output.line(f"{len(one.unreadable)} entries could not be read: {one.unreadable[:10]}")
        if one.lost_jobs:
            rows = [(job.job, job.tenant, job.queue, job.last) for job in one.lost_jobs]
            output.table("Jobs that lost events", ("job", "tenant", "queue", "last event"), rows)


def _lost(plan: Plan) -> str:
    if not plan.lost_from:
        return ""
    return f"{plan.lost_from} to {plan.lost_until} ({plan.lost_until - plan.lost_from + 1})"
