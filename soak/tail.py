"""Owns the cut: the tail of the append-only file is lost at a random byte; readers must say so."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import psycopg

from soak.evidence import Evidence, collect
from soak.platform import Platform
from soak.rules import Objection, leftovers, lives
from triton import keys
from triton.errors import LogForkedError
from triton.events.client import connect, connect_async
from triton.events.log import Checkpoint, Log
from triton.settings import Settings
from triton.stack.folder import DataFolder
from triton.stack.processes import Supervisor
from triton.stack.valkey import Valkey

#: What must hold of a server that lost the end of its file: each transition is there whole, or not at all.
_RULES: Final = {
    "positions are dense": lives.positions_are_dense,
    "only allowed transitions": lives.only_allowed_transitions,
    "one end per life": lives.one_end_per_life,
    "no key without an owner": leftovers.no_key_without_owner,
    "heads equal the fold": leftovers.heads_equal_the_fold,
}
#: What the file has of each event, and of nothing else.
_EVENT: Final = b"\r\nXADD\r\n"


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What one cut cost: bytes of the file, events of the log, jobs that were accepted; who named it."""

    bytes: int
    events: int
    jobs: int
    named_by: list[str]


def checkpoints(settings: Settings) -> dict[tuple[str, int], Checkpoint]:
    """What the projectors have read, by projector and partition."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT projector, partition, epoch, position, digest FROM checkpoints"
        ).fetchall()
    return {(name, partition): Checkpoint(*rest) for name, partition, *rest in rows}


def cut_copies(
    platform: Platform, whole: Evidence, journal: Path, count: int, chance: Random
) -> Iterator[Cut | Objection]:
    """Cuts copies of a stopped server's file at random bytes and looks at what a server makes of each."""
    read = checkpoints(platform.settings)
    accepted = {asked.job for asked in whole.asked if asked.answer == "accepted"}
    for number in range(count):
        folder = DataFolder(platform.folder / f"t{number}")
        with folder:
            supervisor = Supervisor(folder.logs)
            server = Valkey(folder, supervisor)
            shutil.copytree(platform.aof, folder.path / "valkey" / "appendonlydir")
            lost = cut(folder.path / "valkey" / "appendonlydir", chance)
            try:
                server.start()
                settings = msgspec.structs.replace(platform.settings, redis_url=server.url)
                found = collect(settings, journal, platform.notes)
                named = _named_by(settings, read)
            finally:
                supervisor.stop()
        for name, rule in _RULES.items():
            yield from (
                Objection(rule=name, text=f"after a cut of {lost} bytes: {text}")
                for text in rule(found)
            )
        missing = {job for job in accepted if job in whole.jobs and job not in found.jobs}
        events = len(whole.events) - len(found.events)
        if events and not named:
            text = f"{events} events are gone after a cut of {lost} bytes, and no reader said so"
            yield Objection(rule="losses are named", text=text)
        yield Cut(bytes=lost, events=events, jobs=len(missing), named_by=named)
        shutil.rmtree(folder.path, ignore_errors=True)


def cut(folder: Path, chance: Random, *, event: bool = False) -> int:
    """Cuts the last file at a random byte of its last fifth; answers how many bytes are gone.

    `event`: at least the last event is among them, not only what workers said of themselves since.
    """
    last = max(folder.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    size = last.stat().st_size
    found = last.read_bytes().rfind(_EVENT) if event else -1
    least = size - found if found >= 0 else 1
    lost = chance.randint(least, max(least, size // 5))
    with last.open("r+b") as file:
        file.truncate(size - lost)
    return lost


def _named_by(settings: Settings, read: dict[tuple[str, int], Checkpoint]) -> list[str]:
    """The projectors whose checkpoint the log does not bear out any more."""
    return asyncio.run(_validated(settings, read))


async def _validated(settings: Settings, read: dict[tuple[str, int], Checkpoint]) -> list[str]:
    with connect(settings.redis_url) as client:
        epochs = [
            client.hget(keys.meta(keys.prefix(settings.namespace, p)), "epoch").decode()
            for p in range(settings.partitions)
        ]
    named = []
    async with connect_async(settings.redis_url) as client:
        log = Log(client, settings.namespace, epochs)
        for (projector, partition), checkpoint in read.items():
            try:
                await log.validate(partition, checkpoint)
            except LogForkedError:
                named.append(f"{projector} {partition}")
    return named
