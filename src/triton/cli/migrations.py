"""Owns `triton migrate`: the schema of both stores up, down, and how it stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.migrate import Step

app = typer.Typer(no_args_is_help=True, help="Bring the schema of both stores up or down.")


@app.command()
@takes_long("migrate up")
def up(data: Data = None, as_json: Json = False) -> None:
    """Apply every migration that is missing, also that of TRITON_SUBJECT_KEYS where it is PostgreSQL."""
    from triton import migrate
    from triton.cli.target import engines

    chosen = engines(data, "database_url", "clickhouse_url")
    done = migrate.up(chosen.database_url, chosen.clickhouse_url)
    if chosen.subject_keys.startswith("postgres"):
        done += migrate.up(chosen.subject_keys, subject_keys=True)
    show(done, "nothing to do: every migration is applied", as_json)


@app.command()
@takes_long("migrate down")
def down(
    to: Annotated[int, typer.Option(min=0, help="The last number that stays; 0 undoes all.")],
    clickhouse_to: Annotated[
        int | None,
        typer.Option(
            min=0, help="The same for ClickHouse, whose numbers are its own; default: --to."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Undo migrations, the newest first. Rows of the tables that go are lost; the log is not."""
    from triton import migrate
    from triton.errors import ValidationError

    database, clickhouse = _urls(data)
    if not yes and not sys.stdin.isatty():
        raise ValidationError("`triton migrate down` removes tables with their rows: say --yes")
    if not yes:
        typer.confirm(f"Remove everything above migration {to} with its rows?", abort=True)
    done = migrate.down(database, clickhouse, to=to, clickhouse_to=clickhouse_to)
    show(done, "nothing to do", as_json)


@app.command()
def status(data: Data = None, as_json: Json = False) -> None:
    """Show every migration of both engines; exit 1 where one is not applied as it stands here."""
    from triton import migrate

    found = migrate.status(*_urls(data))
    show(found, "there are no migrations", as_json)
    if any(step.state != "applied" for step in found):
        raise typer.Exit(NO)


def _urls(data: str | None) -> tuple[str, str]:
    from triton.cli.target import engines

    chosen = engines(data, "database_url", "clickhouse_url")
    return chosen.database_url, chosen.clickhouse_url


def show(steps: list[Step], nothing: str, as_json: bool) -> None:
    from triton.cli import output

    if as_json:
        output.document({"migrations": steps})
    elif not steps:
        output.line(nothing)
    else:
        rows = [
            (
                step.engine,
                f"{step.number:04}",
                step.name,
                step.state,
                step.applied_at and step.applied_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            )
            for step in steps
        ]
        output.table("", ("engine", "number", "name", "state", "applied"), rows)
