"""Owns `triton outbox`: its table in an application's database, and the rows that were set aside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton.cli.exits import NO
from triton.cli.options import Json

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(
    no_args_is_help=True,
    help="The table through which an application submits jobs in its own transactions.",
)

Database = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="postgresql:// URL of the application's database.  \\[env: TRITON_OUTBOX_URL]",
        show_default=False,
    ),
]


@app.command()
def install(database: Database = None, as_json: Json = False) -> None:
    """Create the table triton_outbox, or bring it up to date."""
    from triton import migrate
    from triton.cli.migrations import show

    done = migrate.up(_url(database), outbox=True)
    show(done, "nothing to do: the outbox is installed", as_json)


@app.command()
def uninstall(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Remove the table with its rows. Rows that no relay has seen never become jobs."""
    from triton import migrate
    from triton.cli.migrations import show
    from triton.errors import ValidationError

    url = _url(database)
    if not yes and not sys.stdin.isatty():
        raise ValidationError(
            "`triton outbox uninstall` removes the table with its rows: say --yes"
        )
    if not yes:
        typer.confirm("Remove the table triton_outbox with its rows?", abort=True)
    show(migrate.down(url, to=0, outbox=True), "nothing to do", as_json)


@app.command()
def status(database: Database = None, as_json: Json = False) -> None:
    """Count the rows that wait, and show those that could not become jobs; exit 1 where there are any."""
    from triton.cli import output
    from triton.outbox.statements import sql

    with _connected(_url(database)) as connection:
        waiting, refused, oldest = _one(connection, "status")
        found = connection.execute(sql("refused"), (100,)).fetchall()
    if as_json:
        rows = [
            {"id": number, "job": job, "actor": actor, "refused_at": at, "error": error}
            for number, job, actor, at, error in found
        ]
        output.document(
            {"waiting": waiting, "refused": refused, "oldest_seconds": oldest, "rows": rows}
        )
    else:
        age = f", the oldest for {oldest:.1f} s" if oldest is not None else ""
        output.line(f"{waiting} wait{age}; {refused} set aside")
        if found:
            shown = [(number, job, actor, error) for number, job, actor, _, error in found]
            output.table("", ("row", "job", "actor", "error"), shown)
    if refused:
        raise typer.Exit(NO)


@app.command()
def retry(
    row: Annotated[int | None, typer.Argument(help="One row; default: all of them.")] = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Give rows that were set aside to the relay again. Exit 1 where there is none."""
    from triton.cli import output
    from triton.outbox.statements import sql

    with _connected(_url(database)) as connection:
        count = connection.execute(sql("retry"), (row, row)).rowcount
    if as_json:
        output.document({"retried": count})
    else:
        output.line(f"{count} rows go to the relay again")
    if not count:
        raise typer.Exit(NO)


def _url(given: str | None) -> str:
    from triton import settings
    from triton.errors import ConfigurationError

    url = settings.load(outbox_url=given).outbox_url
    if not url:
        raise ConfigurationError(
            "no database is named: give --database-url, or set TRITON_OUTBOX_URL",
            setting="outbox_url",
        )
    return url


def _connected(url: str) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(url, autocommit=True, connect_timeout=10)


def _one(connection: psycopg.Connection[Any], name: str) -> tuple[Any, ...]:
    import psycopg

    from triton.errors import ConfigurationError
    from triton.outbox.statements import sql

    try:
        found: tuple[Any, ...] | None = connection.execute(sql(name)).fetchone()
    except psycopg.errors.UndefinedTable:
        raise ConfigurationError(
            "the table triton_outbox is missing: run `triton outbox install`"
        ) from None
    assert found is not None
    return found
