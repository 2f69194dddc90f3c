"""Owns `triton log`: how the log stands to what was projected of it, and adopting it after a fork."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.projections.adopt import Adopted
    from triton.projections.fork import Fork
    from triton.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="The log's partitions, and what to do when one lost its tail."
)


@app.command()
def status(data: Data = None, as_json: Json = False) -> None:
    """Compare each partition's end with what was projected of it; exit 1 where they part."""
    from triton.cli import output

    found = asyncio.run(_forks(_settings(data)))
    if as_json:
        output.document({"partitions": [_shown(fork) for fork in found]})
    elif not found:
        output.line("nothing was projected of this log yet")
    else:
        rows = [
            (
                fork.partition,
                fork.epoch,
                fork.log_end,
                fork.projected_end,
                "forked" if fork.forked else "ok",
                _lost(fork),
            )
            for fork in found
        ]
        heads = ("partition", "epoch", "log ends at", "projected up to", "", "lost positions")
        output.table("", heads, rows)
    if any(fork.forked for fork in found):
        raise typer.Exit(NO)


@app.command()
def adopt(
    reason: Annotated[str, typer.Option(help="Why; it is kept with the new epoch.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is lost, change nothing.")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="Also where the log holds nothing: all of it is lost.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who decides; default: the user of this shell.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a log that lost its tail as it is: name what was lost, keep it apart, begin a new epoch."""
    from triton.cli import output
    from triton.errors import ValidationError

    if not reason.strip():
        raise ValidationError("--reason is empty: say why the log is adopted")
    settings = _settings(data)
    forks = [fork for fork in asyncio.run(_forks(settings)) if fork.forked]
    if not as_json:
        _say_lost(forks)
    if not forks or dry_run:
        if as_json:
            output.document({"adopted": [], "forks": [_shown(fork) for fork in forks]})
        return
    for fork in forks:
        if not fork.log_end and not empty:
            raise ValidationError(
                f"partition {fork.partition} holds nothing, and {fork.projected_end} events of it were "
                "projected: Redis was lost, not the log's tail. `triton restore` brings it back from the "
                "archive and PostgreSQL; say --empty to give all of it up"
            )
    if not yes and not sys.stdin.isatty():
        raise ValidationError("`triton log adopt` gives up the lost positions: say --yes")
    if not yes:
        typer.confirm("Adopt the log as it is?", abort=True)
    who = by or f"user:{getpass.getuser()}"
    adopted = asyncio.run(_adopt(settings, [fork.partition for fork in forks], who, reason))
    if as_json:
        output.document({"adopted": adopted})
    else:
        _say_adopted(adopted)


def _settings(data: str | None) -> Settings:
    from triton.cli.target import LIVE, engines

    return engines(data, *LIVE)


async def _forks(settings: Settings) -> list[Fork]:
    from triton.projections.engines import open_engines
    from triton.projections.fork import find_fork

    async with open_engines(settings) as (log, connection, clickhouse):
        found = [
            await find_fork(log, connection, clickhouse, partition)
            for partition in range(log.partitions)
        ]
    return [fork for fork in found if fork is not None]


async def _adopt(settings: Settings, partitions: list[int], by: str, reason: str) -> list[Adopted]:
    from triton.cli import output
    from triton.projections.adopt import adopt
    from triton.projections.engines import open_engines
    from triton.projections.fork import find_fork

    adopted = []
    async with open_engines(settings) as (log, connection, clickhouse):
        for partition in partitions:
            fork = await find_fork(log, connection, clickhouse, partition)
            if fork is None or not fork.forked:
                continue
            doing = f"partition {partition}: setting {fork.lost:,} positions aside, restoring their jobs"
            with output.console(stderr=True).status(doing):
                adopted.append(await adopt(log, connection, clickhouse, fork, by=by, reason=reason))
    return adopted


def _shown(fork: Fork) -> dict[str, Any]:
    import msgspec

    return {**msgspec.structs.asdict(fork), "forked": fork.forked, "lost": fork.lost}


def _lost(fork: Fork) -> str:
    if not fork.lost:
        return ""
    return f"{fork.common + 1} to {fork.lost_until} ({fork.lost})"


def _say_lost(forks: list[Fork]) -> None:
    from triton.cli import output

    if not forks:
        output.line("nothing to do: the log holds all that was projected of it")
    for fork in forks:
        if fork.lost:
            output.line(
                f"partition {fork.partition}: the log and what was projected of it are the same up to "
                f"position {fork.common}; lost are {_lost(fork)}"
            )
        else:
            output.line(
                f"partition {fork.partition}: nothing is lost, but the log's epoch is {fork.epoch} and "
                f"that of what was projected {fork.projected_epoch}"
            )


def _say_adopted(adopted: list[Adopted]) -> None:
    from triton.cli import output

    for each in adopted:
        output.line(f"partition {each.partition} goes on in epoch {each.epoch}")
        if each.jobs:
            rows = [
                (job.job, job.tenant, job.queue, job.last, "yes" if job.began_before else "no")
                for job in each.jobs
            ]
            heads = ("job", "tenant", "queue", "last event", "still known")
            output.table("Jobs that lost events", heads, rows)
    output.line("The lost events are in PostgreSQL's table lost_events.")
