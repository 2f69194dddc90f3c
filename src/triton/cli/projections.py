"""Owns `triton projections`: rebuilding what is made of the log while it serves, switching it in, and
back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.projections.rebuild.running import Rebuild
    from triton.projections.rebuild.target import Comparison
    from triton.projections.rebuild.telling import Plan, Status
    from triton.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="Rebuild a projection beside the live one, compare, switch, go back.",
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="postgres or clickhouse.", show_default=False)
]
AcceptParked = Annotated[
    bool,
    typer.Option(
        "--accept-parked", help="Also where the new one put events aside that the old one applied."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """How far each projection is, and whether there is a shadow of it."""
    from triton.cli import output
    from triton.projections.rebuild.running import NAMES

    found = [
        _one(data, each, lambda rebuild: rebuild.status()) for each in ([name] if name else NAMES)
    ]
    if as_json:
        output.document({"projections": found})
        return
    heads = ("projection", "partition>", "log>", "live>", "shadow>", "the shadow is")
    rows = [
        (each.name, one.partition, one.log, one.live, one.shadow, _meaning(each))
        for each in found
        for one in each.partitions
    ]
    output.table("", heads, rows)


@app.command()
def plan(name: Name, data: Data = None, as_json: Json = False) -> None:
    """What a rebuild would read and write, and what stands in its way; exit 1 where something does."""
    from triton.cli import output

    found: Plan = _one(data, name, lambda rebuild: rebuild.plan())
    if as_json:
        output.document(found)
    else:
        output.line(f"{found.events} events to project into a shadow of {name}")
        total = sum(found.bytes.values()) / 1e6
        output.line(
            f"the live tables take {total:.1f} MB; a shadow takes about as much beside them"
        )
        output.table("", ("table", "bytes>"), list(found.bytes.items()))
        if found.shadow:
            output.line(f"there is a shadow already: it is {found.shadow}")
        for obstacle in found.obstacles:
            output.line(f"in the way: {obstacle}")
    if found.obstacles:
        raise typer.Exit(NO)


@app.command()
@takes_long("projections rebuild")
def rebuild(
    name: Name,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw a shadow away that was begun before.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Fill a shadow of the projection from its whole history, while the live one serves.

    Stop it as you like: the next call goes on where it was. Exit 1 where events were put aside.
    """
    from triton.cli import output
    from triton.cli.projections_progress import shown
    from triton.collecting import collect_rarely

    collect_rarely()
    with shown(name, quiet=as_json) as told:
        found = _one(data, name, lambda rebuild: rebuild.fill(told, restart=restart))
    if as_json:
        output.document(found)
    else:
        at = ", ".join(
            f"{position} of partition {one}" for one, position in found.positions.items()
        )
        output.line(f"the shadow of {name} is ready at position {at}")
        if found.parked:
            output.line(
                f"{found.parked} events were put aside: see triton_shadow_{name}.parked_events"
            )
        else:
            output.line(
                f"next: `triton projections diff {name}`, `triton projections cutover {name}`"
            )
    if found.parked:
        raise typer.Exit(NO)


@app.command()
@takes_long("projections diff")
def diff(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Compare the shadow with the live one, row by row where hashes differ; exit 1 where they do."""
    from triton.cli import output

    found: Comparison = _one(data, name, lambda rebuild: rebuild.compare())
    if as_json:
        output.document({"ok": found.ok, **_plain(found)})
    else:
        rows = [(table, live, shadow) for table, (live, shadow) in found.rows.items()]
        output.table("", ("table", "live rows>", "shadow rows>"), rows)
        if found.moving:
            output.line(f"{found.moving} jobs changed meanwhile and were not compared")
        listed = [
            (one.table, one.key, _shown(one.live), _shown(one.shadow)) for one in found.differences
        ]
        if listed:
            output.table(f"{found.total} rows differ", ("table", "key", "live", "shadow"), listed)
        else:
            output.line("no row differs")
    if not found.ok:
        raise typer.Exit(NO)


@app.command()
@takes_long("projections cutover")
def cutover(
    name: Name,
    yes: Yes = False,
    accept_parked: AcceptParked = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Put the shadow in the live one's place, in one step; what was live is kept as the shadow."""
    _sure(f"Switch {name} to its shadow?", yes=yes)
    at = _one(data, name, lambda rebuild: rebuild.cutover(accept_parked=accept_parked))
    _say_switched(name, at, "serves from the rebuilt tables", as_json=as_json)


@app.command()
@takes_long("projections rollback")
def rollback(
    name: Name,
    yes: Yes = False,
    accept_parked: AcceptParked = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring what was live before up to date, and put it back in its place."""
    _sure(f"Switch {name} back to what was live before?", yes=yes)
    at = _one(data, name, lambda rebuild: rebuild.rollback(accept_parked=accept_parked))
    _say_switched(name, at, "serves from the tables before the cutover", as_json=as_json)


@app.command()
def finalize(
    name: Name,
    yes: Yes = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Drop a shadow that was not switched in.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Drop what was live before a cutover: no way back after this."""
    from triton.cli import output

    what = "the shadow" if abandon else "what was live before"
    _sure(f"Drop {what} of {name}?", yes=yes)
    dropped = _one(data, name, lambda rebuild: rebuild.drop(abandon=abandon))
    if as_json:
        output.document({"name": name, "dropped": dropped})
    else:
        output.line(f"{what} of {name} is dropped" if dropped else f"there is no shadow of {name}")


def _one(data: str | None, name: str, do: Callable[[Rebuild], Awaitable[T]]) -> T:
    from triton.cli.target import LIVE, engines

    return asyncio.run(_doing(engines(data, *LIVE), name, do))


async def _doing(settings: Settings, name: str, do: Callable[[Rebuild], Awaitable[T]]) -> T:
    from triton.projections.rebuild.running import open_rebuild

    async with open_rebuild(settings, name) as opened:
        return await do(opened)


def _sure(question: str, *, yes: bool) -> None:
    from triton.errors import ValidationError

    if not yes and not sys.stdin.isatty():
        raise ValidationError("nobody can be asked here: say --yes")
    if not yes:
        typer.confirm(question, abort=True)


def _say_switched(name: str, at: dict[int, int], what: str, *, as_json: bool) -> None:
    from triton.cli import output

    if as_json:
        output.document({"name": name, "positions": at})
        return
    places = ", ".join(f"{position} of partition {one}" for one, position in at.items())
    output.line(f"{name} {what}, from position {places or 0} on")


def _meaning(found: Status) -> str:
    match found.state:
        case None:
            return ""
        case "previous":
            return "what was live before the cutover"
        case state:
            return state + (f", {found.parked} events put aside" if found.parked else "")


def _plain(found: Comparison) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(found)


def _shown(row: Any) -> str:
    import msgspec

    return "no row" if row is None else msgspec.json.encode(row).decode()
