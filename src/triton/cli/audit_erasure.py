"""Owns `triton audit erase` and `triton audit reveal`: personal data destroyed, or shown by its keys."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from triton.cli.options import Data, JobId, Json

if TYPE_CHECKING:
    from triton.erasure.erasing import Erasure
    from triton.erasure.reading import Reader
    from triton.events.envelope import Event
    from triton.payloads import Payloads
    from triton.settings import Settings

Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="Why; it is in the event.", show_default=False)
]
By = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who; default: you, as user:NAME.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `triton audit`."""
    app.command()(erase)
    app.command()(reveal)


def erase(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="As jobs named it.", show_default=False)
    ],
    reason: Reason,
    tenant: Annotated[str, typer.Option(help="Whose subject it is.")] = "default",
    unknown: Annotated[
        bool,
        typer.Option("--unknown", help="Also where nothing was sealed yet: nothing ever will be."),
    ] = False,
    by: By = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Destroy the key of a data subject, for good. Its values in every job become unreadable at once; bytes
    in log, archive and stores stay as they are, and so do all proofs."""
    from triton.cli import output
    from triton.cli.target import engines

    chosen = engines(data, "redis_url")
    who = by or f"user:{getpass.getuser()}"
    done = asyncio.run(_erase(chosen, subject, tenant, reason, who, unknown=unknown))
    seconds = chosen.subject_cache_ms / 1000
    if as_json:
        output.document({**msgspec.to_builtins(done), "forgotten_after_seconds": seconds})
        return
    output.line(
        f"The key {done.key} of {subject} is {'destroyed' if done.now else 'destroyed already'}."
    )
    output.line(f"Event subject.erased at position {done.position} of partition 0, by {who}.")
    output.line(
        f"Processes that used it forget it within {seconds:g} s. Jobs of the subject that wait end as "
        "failed, with the reason erased."
    )
    output.line("Delete the key from backups of the key store too: who restores one undoes this.")


def reveal(
    job: JobId, reason: Reason, by: By = None, data: Data = None, as_json: Json = False
) -> None:
    """Show a job's events with its personal data. Needs the key store; the reading itself is an event."""
    from triton.cli import output
    from triton.cli.live import Event as Told
    from triton.cli.target import engines
    from triton.cli.viewers import event_lines
    from triton.events.render import show

    chosen = engines(data, "redis_url")
    who = by or f"user:{getpass.getuser()}"
    found, source = asyncio.run(_reveal(chosen, job, reason, who)), f"/triton/{chosen.namespace}"
    lines = [show(event, source).json for event in found]
    if as_json:
        output.document({"events": [msgspec.Raw(line) for line in lines]})
        return
    for line in lines:
        told = msgspec.json.decode(line, type=Told)
        for said in event_lines(told):
            output.line(said)
        for name in ("args", "kwargs", "result", "error"):
            if told.data.get(name):
                output.line(f"    {name}: {msgspec.json.encode(told.data[name]).decode()}")


async def _erase(
    chosen: Settings, subject: str, tenant: str, reason: str, by: str, *, unknown: bool
) -> Erasure:
    from triton.audit.noting import note
    from triton.cli.open_log import open_log
    from triton.erasure.erasing import erase as destroy
    from triton.erasure.keyring import keyring_of
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.events.types import SubjectErased

    client, keyring = connect_async(chosen.redis_url), keyring_of(chosen)
    try:
        await open_log(client, chosen)

        async def noted(event: SubjectErased, op: str) -> int:
            scripts = Scripts()
            return await note(client, scripts, chosen.namespace, event, op=op, by=by, tenant=tenant)

        return await destroy(
            keyring, noted, tenant=tenant, subject=subject, reason=reason, unknown=unknown
        )
    finally:
        keyring.close()
        await client.aclose()


async def _reveal(chosen: Settings, job: str, reason: str, by: str) -> list[Event]:
    from triton.audit.noting import note
    from triton.cli.open_log import open_log
    from triton.erasure.keyring import keyring_of
    from triton.erasure.reading import Reader
    from triton.errors import NotFoundError
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts
    from triton.events.types import AuditRead
    from triton.payloads import Payloads

    client, keyring = connect_async(chosen.redis_url), keyring_of(chosen)
    payloads, reader = Payloads.of(chosen), Reader(keyring)
    try:
        log = await open_log(client, chosen)
        found = [entry.event() async for entry in log.job_entries(job)]
        if not found:
            raise NotFoundError(f"the log has no event of job {job!r}", job=job)
        # Told before it is shown.
        read = AuditRead(what="reveal", filter={"job": job}, reason=reason)
        op = f"reveal-{secrets.token_hex(8)}"
        tenant = found[0].tenant
        await note(client, Scripts(), chosen.namespace, read, op=op, by=by, tenant=tenant)
        return [_opened(event, reader, payloads) for event in found]
    finally:
        keyring.close()
        await client.aclose()


def _opened(event: Event, reader: Reader, payloads: Payloads) -> Event:
    """The event with what can still be read; what was erased stays `[personal]`."""
    from triton.erasure.whole import whole
    from triton.errors import ErasedError

    data = whole(event.data, payloads)
    with suppress(ErasedError):
        data = reader.data(event.job, data)
    return msgspec.structs.replace(event, data=data)
