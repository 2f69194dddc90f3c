"""Owns `triton audit verify | prove | key | rotate-key`: whether the history is whole, and proofs of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.audit.counting import Count
    from triton.audit.rotating import Rotated
    from triton.evidence.keyring import Keyring
    from triton.evidence.notes import Signer, VerifierKey
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


def register(app: typer.Typer) -> None:
    """Adds the commands to the group `triton audit`."""
    app.command()(verify)
    app.command()(prove)
    app.command()(key)
    app.command("rotate-key")(rotate_key)


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
    from triton.cli.target import engines
    from triton.verifier.triton_verify import EXITS

    needed = ["archive_url"] if archive_only else ["archive_url", *_ENGINES]
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
    from triton.cli.target import engines
    from triton.evidence import notes

    settings = engines(data, *_ENGINES, "archive_url")
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


def key(data: Data = None, as_json: Json = False) -> None:
    """Print the verifier key of this platform, for auditors to pin."""
    from triton.cli import output
    from triton.cli.target import engines
    from triton.errors import NotFoundError

    found = _own(engines(data))
    if found is None:
        raise NotFoundError(
            "There is no signing key yet: the archiver makes it when it first runs (`triton up`)."
        )
    if as_json:
        output.document({"name": found.name, "id": found.id.hex(), "key": str(found)})
    else:
        output.line(str(found))


def rotate_key(
    old: Annotated[
        str, typer.Option(help="The key until now: file:///PATH or kms:KEY, as TRITON_SIGNING_KEY.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is in the events.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Announce the key in TRITON_SIGNING_KEY as the one that signs from now on: in a list that both sign, and
    by an event key.rotated in each partition, which says from which size on.

    Stop the archivers first, and start them with the new key after. Running it again does the rest. Where
    no engine runs (`triton up` is stopped) it writes the list, and archivers the events when they start.
    """
    from triton.audit.reasons import given
    from triton.cli import output
    from triton.cli.target import engines
    from triton.evidence.signing import open_signer

    settings = engines(data, "archive_url")
    folder = Path(settings.data)
    before = open_signer(old, settings.origin, folder)
    after = open_signer(settings.signing_key, settings.origin, folder)
    ring, rotated = asyncio.run(_rotate(settings, before, after, given(reason, name="--reason")))
    if as_json:
        told = [each._asdict() for each in rotated]
        output.document({"key": str(ring.newest), "previous": str(before.key), "events": told})
        return
    output.line(f"{ring.newest} follows {before.key}")
    for each in rotated:
        output.line(
            f"partition {each.partition}: it signs heads of more than {each.size} events; event key.rotated "
            f"at position {each.position}"
        )
    if not rotated:
        output.line(
            "The archivers write key.rotated into the log when they start: no engine was named."
        )
    output.line(
        "Both stay trusted by who pinned one of them. Start the archivers with the new key."
    )


async def _rotate(
    settings: Settings, before: Signer, after: Signer, reason: str
) -> tuple[Keyring, list[Rotated]]:
    import psycopg

    from triton.archive import open_archive
    from triton.audit.rotating import rotate
    from triton.cli.audit_reading import person
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.evidence import keyring

    archive = await asyncio.to_thread(open_archive, settings.archive_url)
    if not (settings.redis_url and settings.database_url):
        space = settings.namespace
        return await asyncio.to_thread(keyring.rotate, archive, space, before, after), []
    async with (
        connect_async(settings.redis_url) as client,
        await psycopg.AsyncConnection.connect(
            settings.database_url, autocommit=True, connect_timeout=10
        ) as connection,
    ):
        log = await open_log(client, settings)
        return await rotate(
            log, Scripts(), connection, archive, before, after, by=person(), reason=reason
        )


_ENGINES = ("redis_url", "database_url", "clickhouse_url")


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
        counting.compare_rows(report, settings.namespace, rows)
        counts = await counting.count_stores(report, connection, clickhouse, log)
        # What was not found out is no finding.
        if not since and report.verdict != triton_verify.UNKNOWN:
            with contextlib.suppress(RedisError):
                well = not triton_verify.EXITS[report.verdict]
                await note_check(log.client, log.namespace, "audit_verify", ok=well)
    return report, counts


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


def _pinned(settings: Settings, given: list[str] | None) -> list[Key]:
    """The keys that are trusted: those given, else the platform's own."""
    from triton.errors import ValidationError
    from triton.verifier import triton_verify

    if given:
        try:
            return triton_verify.keys_of(given)
        except ValueError as error:
            raise ValidationError(f"--key: {error}") from error
    own = _own(settings)
    return [triton_verify.parse_key(str(own))] if own else []


def _own(settings: Settings) -> VerifierKey | None:
    """The key that this platform signs with, by the name that it signed as; None where there is none yet."""
    from triton.archive import open_archive
    from triton.evidence import keyring
    from triton.evidence.signing import KEY_FILE, open_signer

    folder = Path(settings.data)
    if not settings.signing_key and not (folder / KEY_FILE).exists():
        return None
    own = open_signer(settings.signing_key, settings.origin, folder).key
    if settings.archive_url:
        for listed in keyring.read(open_archive(settings.archive_url), settings.namespace).keys:
            if listed.public == own.public:
                return listed
    return own


def _say(report: Report, counts: Sequence[Count]) -> None:
    from triton.cli import output
    from triton.verifier.triton_verify import expired_of

    for tree in report.trees:
        live = f", live log to {tree.live}" if tree.live else ""
        gone = f"; {said}" if (said := expired_of(tree)) else ""
        for position, rotated in tree.rotated:
            output.line(
                f"{tree.path}: key {rotated.get('key')} signs heads of more than {rotated.get('size', 0)} "
                f"events, as position {position} says"
            )
        output.line(
            f"{tree.origin or tree.path}: {tree.events} events from {tree.first} to {tree.last} in "
            f"{tree.segments} segments{live}; newest signed head {tree.newest_head}{gone}"
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
