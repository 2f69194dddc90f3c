"""Owns `triton backup`: taking a backup while jobs run, checking one, and restoring one."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.options import Data, Json
from triton.cli.telling import takes_long, telling

if TYPE_CHECKING:
    from triton.backup.manifest import Manifest
    from triton.restore.running import Restored
    from triton.settings import Settings

Told = Callable[[str], None]
app = typer.Typer(no_args_is_help=True, help="Back a whole platform up, and restore it.")
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The backup's folder.", show_default=False)
]


@app.command()
@takes_long("backup create")
def create(
    folder: Folder,
    subject_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER2",
            help="Copy the keys of data subjects there, apart from the backup; else they are left out.",
        ),
    ] = None,
    without_archive: Annotated[
        bool,
        typer.Option("--without-archive", help="The archive is kept safe by other means."),
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a backup into a new folder, while jobs run.

    All that was acknowledged before the command was started is in it. It holds secrets: keep it as you keep
    the platform's keys.
    """
    from triton.backup import taking
    from triton.cli import output
    from triton.cli.target import engines

    settings = engines(data, *taking.NEEDED)
    told = _told("copied", quiet=as_json)
    made = asyncio.run(
        taking.take(
            settings, folder, archive=not without_archive, subject_keys=subject_keys, told=told
        )
    )
    if as_json:
        output.document(made)
        return
    _say(folder, made)
    if not made.subject_keys:
        output.note(
            "The keys of data subjects are not in it: what is sealed under them needs their own backup."
        )


@app.command()
@takes_long("backup check")
def check(folder: Folder, as_json: Json = False) -> None:
    """Say whether a backup is whole: every file as it was written, and what it holds."""
    from triton.backup import manifest
    from triton.cli import output

    found = manifest.check(folder)
    if as_json:
        output.document(found)
    else:
        _say(folder, found)


@app.command()
@takes_long("backup restore")
def restore(
    folder: Folder,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the new epoch.")],
    subject_keys: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER2", help="Where the keys of data subjects were copied to."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who decides; default: the user of this shell.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data folder, or into empty engines of your own (TRITON_*_URL).

    The log goes on in a new epoch, jobs that ran go to other workers. Nothing but the engines runs meanwhile.
    """
    from triton import settings
    from triton.backup import manifest
    from triton.cli import output
    from triton.errors import ValidationError

    if not reason.strip():
        raise ValidationError("--reason is empty: say why the backup is restored")
    if not yes and not sys.stdin.isatty():
        raise ValidationError("nobody can be asked here: say --yes")
    if subject_keys is not None and not subject_keys.is_dir():
        raise ValidationError(f"{subject_keys}, which --subject-keys names, is no folder")
    found = manifest.check(folder)
    chosen = settings.load(data=data)
    if not as_json:
        _say(folder, found)
    if found.subject_keys and subject_keys is None:
        output.note(
            "The keys of data subjects were copied to another folder. Give it as --subject-keys: what is "
            "sealed under them cannot be read without."
        )
    if not yes:
        typer.confirm(f"Restore it into {chosen.data}?", abort=True)
    who = by or f"user:{getpass.getuser()}"
    told = _told("restored", quiet=as_json)
    told("keys")
    done = _restored(chosen, folder, found, subject_keys, (who, reason, told))
    if as_json:
        output.document({"backup": found, "restored": done})
        return
    for one in done:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(one.jobs.items()))
        output.line(
            f"partition {one.plan.partition} goes on after position {one.plan.end} in epoch {one.epoch}: "
            f"{counts or 'no jobs'}"
        )
    output.line(
        f"Start it with TRITON_NAMESPACE={found.namespace} TRITON_PARTITIONS={len(found.partitions)}; "
        "ClickHouse's tables of jobs fill again from the log."
    )


def _restored(
    chosen: Settings,
    folder: Path,
    found: Manifest,
    subject_keys: Path | None,
    how: tuple[str, str, Told],
) -> list[Restored]:
    import msgspec

    from triton.backup import keyfiles, restoring
    from triton.errors import ConfigurationError
    from triton.stack.engines import Engines
    from triton.stack.folder import DataFolder

    place = DataFolder(Path(chosen.data))
    chosen = msgspec.structs.replace(
        chosen,
        data=str(place.path),
        namespace=found.namespace,
        partitions=len(found.partitions),
        origin=found.origin,
        tenant_keys=chosen.tenant_keys or place.tenant_keys.as_uri(),
        subject_keys=chosen.subject_keys or place.subject_keys.as_uri(),
    )
    if found.objects is None and not chosen.archive_url:
        raise ConfigurationError(
            "the backup is without the archive: let TRITON_ARCHIVE_URL name it",
            setting="archive_url",
        )
    who, reason, told = how
    engines = Engines(
        place.path,
        redis_url=chosen.redis_url,
        database_url=chosen.database_url,
        clickhouse_url=chosen.clickhouse_url,
        archive_url=chosen.archive_url,
    )
    with engines:
        chosen = msgspec.structs.replace(
            chosen,
            redis_url=engines.redis_url,
            database_url=engines.database_url,
            clickhouse_url=engines.clickhouse_url,
            archive_url=engines.archive_url,
        )
        keyfiles.load(chosen, folder)
        if subject_keys is not None:
            keyfiles.copy_subjects(subject_keys, keyfiles.subjects_of(chosen))
        return asyncio.run(restoring.fill(chosen, folder, found, by=who, reason=reason, told=told))


def _told(word: str, *, quiet: bool) -> Told:
    from triton.cli import output

    def told(what: str) -> None:
        telling.reached(at=what)
        if telling.on or not quiet:
            output.note(f"{what}: being {word}")

    return told


def _say(folder: Path, found: Manifest) -> None:
    from triton.cli import output

    size = sum(file.size for file in found.files) + found.object_bytes
    archive = "without the archive" if found.objects is None else f"{found.objects} objects"
    output.line(
        f"{folder}: the platform {found.origin} (namespace {found.namespace}) as it was at {found.made_at}, "
        f"{size:,} bytes, {archive}"
    )
    rows = [
        (one.partition, one.end, one.archived, one.end - one.archived) for one in found.partitions
    ]
    output.table("", ("partition>", "log ends at>", "in the archive>", "beside it>"), rows)
