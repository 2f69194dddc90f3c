"""Owns `triton audit verify`: whether the history is whole, in the archive and where it lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.audit_keys import own_key
from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.audit.counting import Count
    from triton.settings import Settings
    from triton.verifier.triton_verify import Key, Report

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY|FILE",
        help="Verifier key that you trust, as text or in a file; default: the key of this platform.",
        show_default=False,
    ),
]


@takes_long("audit verify")
def verify(
    since: Annotated[
        str, typer.Option(metavar="POSITION|TIME", help="Read records from here on only.")
    ] = "",
    archive_only: Annotated[
        bool, typer.Option("--archive-only", help="Look at the archive, not at the live engines.")
    ] = False,
    keys: Keys = None,
    seen: Annotated[
        list[Path] | None,
        typer.Option(
            help="Signed heads that you kept or got elsewhere: a file.", show_default=False
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prove that the history is whole: every position, hash, root, signature and declared epoch, and that the
    live log, PostgreSQL and ClickHouse have what was signed. Exit as triton-verify: 0 whole, 1 tampered,
    2 incomplete, 3 cannot tell."""
    from triton.cli import output
    from triton.cli.target import LIVE, engines
    from triton.verifier.triton_verify import EXITS

    needed = ["archive_url"] if archive_only else ["archive_url", *LIVE]
    settings = engines(data, *needed)
    report, counts = asyncio.run(
        _verify(settings, since, _pinned(settings, keys), seen or [], live=not archive_only)
    )
    if as_json:
        stores = [count._asdict() for count in counts]
        output.document({**report.document(), "stores": stores})
    else:
        _say(report, counts)
    if status := EXITS[report.verdict]:
        raise typer.Exit(status)


async def _verify(
    settings: Settings, since: str, pinned: Sequence[Key], seen: Sequence[Path], *, live: bool
) -> tuple[Report, list[Count]]:
    from redis.exceptions import RedisError

    from triton.archive import open_archive
    from triton.audit import counting, verifying
    from triton.errors import ValidationError
    from triton.events.checks import note_check
    from triton.projections.engines import open_engines
    from triton.verifier import triton_verify

    try:
        number = since.isascii() and since.isdigit()
        at = triton_verify.moment(since) if since and not number else 0
        heads = [
            triton_verify.parse_head(note, str(path))
            for path in seen
            for note in triton_verify.parse_notes(path.read_bytes())
        ]
    except ValueError as error:
        raise ValidationError(
            f"--since is a position or a time, --seen a file of heads: {error}"
        ) from error
    archive = open_archive(settings.archive_url)

    def offline() -> Report:
        return verifying.verify_archive(
            archive,
            settings.namespace,
            pinned,
            since=int(since) if number else 0,
            since_at=at,
            seen=heads,
            live=live,
        )

    if not live:
        return offline(), []
    async with open_engines(settings) as (log, connection, clickhouse):
        rows = await counting.segment_rows(connection)
        report = await asyncio.to_thread(offline)
        await verifying.verify_log(report, archive, log)
        counting.compare_rows(report, settings.namespace, rows, partly=bool(since))
        counts = await counting.count_stores(report, connection, clickhouse, log)
        # What was not found out is no finding.
        if not since and report.verdict != triton_verify.UNKNOWN:
            with contextlib.suppress(RedisError):
                well = not triton_verify.EXITS[report.verdict]
                await note_check(log.client, log.namespace, "audit_verify", ok=well)
    return report, counts


def _pinned(settings: Settings, given: list[str] | None) -> list[Key]:
    """The keys that are trusted: those given, else the platform's own."""
    from triton.errors import ValidationError
    from triton.verifier import triton_verify

    if given:
        try:
            return triton_verify.keys_of(given)
        except ValueError as error:
            raise ValidationError(f"--key: {error}") from error
    own = own_key(settings)
    return [triton_verify.parse_key(str(own))] if own else []


def _say(report: Report, counts: Sequence[Count]) -> None:
    from triton.cli import output
    from triton.verifier.triton_verify import ended_of, expired_of

    for tree in report.trees:
        live = f", live log to {tree.live}" if tree.live else ""
        about = "".join(f"; {said}" for said in (expired_of(tree), ended_of(tree)) if said)
        for position, rotated in tree.rotated:
            output.line(
                f"{tree.path}: key {rotated.get('key')} signs heads of more than {rotated.get('size', 0)} "
                f"events, as position {position} says"
            )
        output.line(
            f"{tree.origin or tree.path}: {tree.events} events from {tree.first} to {tree.last} in "
            f"{tree.segments} segments{live}; newest signed head {tree.newest_head}{about}"
        )
    for count in counts:
        output.line(
            f"{count.store}, partition {count.partition}: {count.events} of {count.expected} events"
        )
    for finding in report.findings:
        if finding is not report.worst:
            output.line(
                f"also {finding.verdict}, {finding.log} at {finding.position}: {finding.sentence}"
            )
    if not report.pinned:
        output.line("no key was pinned: the keys that the archive names were trusted")
    output.line(report.sentence())
