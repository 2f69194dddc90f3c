"""Owns `triton audit prove`: the proof that an event is in the log, as a file."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.settings import Settings


def prove(
    what: Annotated[
        str,
        typer.Argument(
            metavar="JOB|POSITION", help="A job's id, or a position: 17, or 2:17 in partition 2."
        ),
    ],
    version: Annotated[
        int | None, typer.Option(help="Which of the job's events; default: its last.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write; default: NAME.tlog-proof here."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write the proof that an event is in the log: a file that `triton-verify` checks without Triton."""
    from triton.cli import output
    from triton.cli.target import LIVE, engines
    from triton.evidence import notes

    settings = engines(data, *LIVE, "archive_url")
    partition, proof, name = asyncio.run(_prove(settings, what, version))
    path = out or Path(f"{name}.tlog-proof")
    path.write_bytes(bytes(proof))
    head = notes.parse_head(notes.parse_note(proof.checkpoint).text)
    if as_json:
        output.document(
            {
                "file": str(path),
                "origin": head.origin,
                "partition": partition,
                "position": proof.position,
                "size": head.size,
            }
        )
        return
    output.line(
        f"{path}: the event at position {proof.position} is in {head.origin}, whose head of {head.size} "
        "events is signed"
    )
    output.line(f"check it anywhere: triton-verify {path} --key KEY (KEY: `triton audit key`)")


async def _prove(settings: Settings, what: str, version: int | None) -> tuple[int, Any, str]:
    from triton import keys
    from triton.archive import open_archive
    from triton.audit.proving import Prover
    from triton.errors import NotFoundError
    from triton.evidence import keyring
    from triton.history import History, open_past
    from triton.projections.engines import open_engines

    archive = await asyncio.to_thread(open_archive, settings.archive_url)
    ring = await asyncio.to_thread(keyring.read, archive, settings.namespace)
    async with open_engines(settings) as (live, _, _):
        log = History.over(live, open_past(settings))
        place = re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,19})", what)
        if place:
            partition, position = int(place[1] or 0), int(place[2])
            name = f"{partition}-{position}"
        else:
            found = [(event.position, event.version) async for event in log.history(what)]
            if not found:
                raise NotFoundError(f"There is no job {what}.", job=what)
            chosen = [each for each in found if version in (None, each[1])]
            if not chosen:
                raise NotFoundError(
                    f"The job {what} has no event {version}: it has 1 to {found[-1][1]}.", job=what
                )
            partition = keys.partition_of(what, log.partitions)
            position = chosen[-1][0]
            name = f"{what}-{chosen[-1][1]}"
        if partition >= log.partitions:
            raise NotFoundError(
                f"There is no partition {partition}: the log has {log.partitions}.",
                partition=partition,
            )
        prover = Prover(log, archive, partition, ring.keys)
        return partition, await prover.prove(position), name
