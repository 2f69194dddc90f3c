"""Owns `triton audit export`: events out of the log into a folder, with a manifest and proofs."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.audit_asking import Reason, ask, instant_of
from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.audit.export.exporting import Manifest
    from triton.history import History


class Form(StrEnum):
    """The formats of an export; an Enum, because Typer takes no Literals."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    CLOUDEVENTS = "cloudevents"


def register(app: typer.Typer) -> None:
    """Adds the command to the group `triton audit`."""
    app.command()(export)


Many = list[str] | None


@takes_long("audit export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    form: Annotated[Form, typer.Option("--format", help="Of the file of events.")] = Form.JSONL,
    since: Annotated[
        str | None, typer.Option(metavar="TIME|POSITION", help="What came after it.")
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="TIME|POSITION", help="What was there then.")
    ] = "now",
    job: Annotated[
        Many, typer.Option(help="May be given several times, as all that follow.")
    ] = None,
    queue: Annotated[Many, typer.Option(help="Events of jobs of this queue.")] = None,
    tenant: Annotated[Many, typer.Option(help="Events of this tenant.")] = None,
    actor: Annotated[Many, typer.Option(help="Events of jobs of this actor.")] = None,
    kind: Annotated[
        Many, typer.Option("--type", help="Such as job.failed, queue.paused or audit.read.")
    ] = None,
    correlation: Annotated[Many, typer.Option(help="Events of jobs that belong to this.")] = None,
    proofs: Annotated[
        bool, typer.Option("--proofs", help="A .tlog-proof for each event, for triton-verify.")
    ] = False,
    reason: Reason = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write the events that fit, a manifest with their hashes and the signed tree heads, and on request a
    proof for each event."""
    from triton.archive import open_archive
    from triton.audit.cuts import cut_of
    from triton.audit.export.exporting import Export, Wanted
    from triton.cli import output
    from triton.cli.audit_reading import person
    from triton.cli.target import engines
    from triton.history import Filter

    settings = engines(data, "redis_url")
    given = {
        "job": job,
        "queue": queue,
        "tenant": tenant,
        "actor": actor,
        "type": kind,
        "correlation": correlation,
    }
    first, last = None if since is None else instant_of(since), instant_of(until)
    asked = {name: ",".join(values) for name, values in given.items() if values}
    asked |= {"until": last.text, **({"since": first.text} if first else {})}
    asked |= {"format": form.value, **({"proofs": "yes"} if proofs else {})}
    chosen = Filter(**{f"{name}s": frozenset(values) for name, values in given.items() if values})

    async def take(history: History) -> Manifest:
        wanted = Wanted(
            format=form.value,
            asked=asked,
            after=await cut_of(history, first) if first else None,
            upto=await cut_of(history, last),
            chosen=chosen,
            proofs=proofs,
            by=person(),
            reason=reason,
            now=time.time_ns() // 1000,
        )
        archive = (lambda: open_archive(settings.archive_url)) if settings.archive_url else None
        return await Export(history, folder, wanted, archive).run()

    made = ask(settings, "export", asked, reason, take)
    if as_json:
        output.document(made)
        return
    types = ", ".join(f"{number} {name}" for name, number in made.types.items())
    output.line(f"{folder}: {made.events} events{f' ({types})' if types else ''}")
    for one in made.files[:3]:
        output.line(f"  {one.name}  {one.size} bytes  SHA-256 {one.sha256}")
    output.expired([one.expired for one in made.partitions])
    if made.proofs:
        output.line(f"  {made.proofs} proofs; check one: triton-verify PROOF --key {folder}/keys")
