"""Owns which commands there are, in the order that the help shows them."""

from __future__ import annotations

from typing import Annotated

import typer

import triton
from triton.cli import (
    adopt,
    archive,
    audit,
    backup,
    dead,
    doctor,
    jobs,
    keys,
    log,
    migrations,
    outbox,
    projections,
    queues,
    replay,
    restore,
    secrets,
    seed,
    submit,
    tenants,
    up,
    users,
    verify,
    watch,
)
from triton.cli import demo as demonstration
from triton.cli.exits import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Triton: Dramatiq jobs with a complete, live, provable history.",
    epilog="Exit status: 0 yes, 1 the answer is no, 2 wrong usage or setting, 3 something does not answer.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(triton.__version__)
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Triton: Dramatiq jobs with a complete, live, provable history."""


_RUN = "Run it"
_JOBS = "Jobs"
_QUEUES = "Queues and workers"
_ACCESS = "Who may do what"
_PROOF = "Proof"
_PRODUCTION = "Roles and schema, for production"

app.command(rich_help_panel=_RUN)(up.up)
app.command(rich_help_panel=_RUN)(demonstration.demo)
app.command(rich_help_panel=_RUN)(doctor.doctor)
app.command(rich_help_panel=_RUN)(seed.seed)
app.command(rich_help_panel=_JOBS)(submit.upload)
app.command(rich_help_panel=_JOBS)(submit.submit)
app.command(rich_help_panel=_JOBS)(watch.watch)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_JOBS)
app.command(rich_help_panel=_JOBS)(jobs.events)
app.command(rich_help_panel=_JOBS)(dead.dead)
app.add_typer(queues.app, name="queues", rich_help_panel=_QUEUES)
app.command(rich_help_panel=_QUEUES)(queues.workers)
app.add_typer(users.app, name="users", rich_help_panel=_ACCESS)
app.add_typer(keys.app, name="keys", rich_help_panel=_ACCESS)
app.add_typer(tenants.app, name="tenants", rich_help_panel=_ACCESS)
app.command(rich_help_panel=_PROOF)(replay.replay)
app.command(rich_help_panel=_PROOF)(verify.verify)
app.add_typer(audit.app, name="audit", rich_help_panel=_PROOF)
app.add_typer(log.app, name="log", rich_help_panel=_PROOF)
app.add_typer(archive.app, name="archive", rich_help_panel=_PROOF)
app.command(rich_help_panel=_PRODUCTION)(up.api)
app.command(rich_help_panel=_PRODUCTION)(up.worker)
app.command(rich_help_panel=_PRODUCTION)(up.projector)
app.command(rich_help_panel=_PRODUCTION)(up.archiver)
app.command(rich_help_panel=_PRODUCTION)(up.relay)
app.add_typer(backup.app, name="backup", rich_help_panel=_PRODUCTION)
app.command(rich_help_panel=_PRODUCTION)(restore.restore)
app.add_typer(projections.app, name="projections", rich_help_panel=_PRODUCTION)
app.add_typer(adopt.app, name="adopt", rich_help_panel=_PRODUCTION)
app.add_typer(outbox.app, name="outbox", rich_help_panel=_PRODUCTION)
app.add_typer(secrets.app, name="secrets", rich_help_panel=_PRODUCTION)
app.add_typer(migrations.app, name="migrate", rich_help_panel=_PRODUCTION)
