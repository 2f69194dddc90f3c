"""Owns `triton audit key | rotate-key`: the key that signs, for auditors to pin, and the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.audit.rotating import Rotated
    from triton.evidence.keyring import Keyring
    from triton.evidence.notes import Signer, VerifierKey
    from triton.settings import Settings


def key(data: Data = None, as_json: Json = False) -> None:
    """Print the verifier key of this platform, for auditors to pin."""
    from triton.cli import output
    from triton.cli.target import engines
    from triton.errors import NotFoundError

    found = own_key(engines(data))
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
    from triton.archive import open_archive
    from triton.audit.rotating import rotate
    from triton.cli.audit_reading import person
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.evidence import keyring
    from triton.postgres import connected

    archive = await asyncio.to_thread(open_archive, settings.archive_url)
    if not (settings.redis_url and settings.database_url):
        space = settings.namespace
        return await asyncio.to_thread(keyring.rotate, archive, space, before, after), []
    async with (
        connect_async(settings.redis_url) as client,
        connected(settings.database_url) as connection,
    ):
        log = await open_log(client, settings)
        return await rotate(
            log, Scripts(), connection, archive, before, after, by=person(), reason=reason
        )


def own_key(settings: Settings) -> VerifierKey | None:
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
