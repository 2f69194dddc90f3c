"""Another key signs: announced in the list and in the log, and seen by both verifiers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from archiving import archive_once, archiver_on, signer_of, with_archive
from log_writer import LogWriter
from projecting import opened, run

from triton.archive import open_archive
from triton.audit import verifying
from triton.audit.rotating import Rotated, announce, rotate
from triton.errors import ConflictError
from triton.events.scripts import Scripts
from triton.evidence import keyring
from triton.evidence.keyring import Keyring
from triton.evidence.layout import Tree
from triton.evidence.notes import Signer
from triton.evidence.rows import Rows
from triton.evidence.signing import generated_signer
from triton.settings import Settings
from triton.verifier.triton_verify import Report, parse_key


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    """With the first key announced, as a running archiver does first."""
    made = with_archive(settings, tmp_path)
    keyring.settle(open_archive(made.archive_url), made.namespace, signer_of(made))
    return made


def other(settings: Settings) -> Signer:
    return generated_signer(settings.origin, Path(settings.data) / "next.pem")


async def rotated(settings: Settings) -> tuple[Keyring, list[Rotated]]:
    archive = open_archive(settings.archive_url)
    keys = signer_of(settings), other(settings)
    async with opened(settings) as (log, connection):
        return await rotate(
            log, Scripts(), connection, archive, *keys, by="user:op", reason="a year has passed"
        )


def with_the_new_key(settings: Settings) -> None:
    data = Path(settings.data)
    (data / "key.pem").rename(data / "old.pem")
    (data / "next.pem").rename(data / "key.pem")


async def verified(settings: Settings, key: Signer) -> Report:
    archive = open_archive(settings.archive_url)
    pinned = [parse_key(str(key.key))]
    async with opened(settings) as (log, _):
        report = verifying.verify_archive(archive, settings.namespace, pinned, live=True)
        await verifying.verify_log(report, archive, log)
        return report


def test_a_new_key_signs_from_the_size_that_the_log_names(
    archived: Settings, writer: LogWriter
) -> None:
    writer.history(30, 30)
    run(archive_once(archived))
    before, size = signer_of(archived), writer.position
    ring, told = run(rotated(archived))
    assert ring.keys == (before.key, other(archived).key)
    assert told == [Rotated(0, size + 1, size)]
    assert run(rotated(archived)) == (ring, told), "a repeat says the same, and nothing more"
    assert writer.position == size + 1
    after = other(archived)
    with_the_new_key(archived)
    writer.history(20, 20)
    run(archive_once(archived))
    for key in (before, after):
        report = run(verified(archived, key))
        assert report.verdict == "whole", report.sentence()
        ((position, said),) = report.trees[0].rotated
        assert (position, said["size"]) == (size + 1, size)
        assert (said["previous"], said["key"]) == (before.key.id.hex(), after.key.id.hex())


@pytest.mark.parametrize("sealed", [True, False])
def test_a_head_by_the_old_key_behind_the_rotation_is_found(
    archived: Settings, writer: LogWriter, sealed: bool
) -> None:
    """Also while the event is in the live log only."""
    writer.history(30, 30)
    run(archive_once(archived))
    _, ((_, position, _),) = run(rotated(archived))
    writer.history(20, 20)
    late = archived if sealed else msgspec.structs.replace(archived, seal_events=9999, seal_ms=9**9)
    run(archive_once(late))
    report = run(verified(archived, signer_of(archived)))
    assert report.worst is not None
    assert (report.verdict, report.worst.position) == ("tampered", position)
    assert "signed by a key that was replaced" in report.sentence()


def test_it_is_refused_while_an_archiver_holds_the_lease(
    archived: Settings, writer: LogWriter
) -> None:
    writer.history(10, 10)

    async def scene() -> None:
        async with opened(archived) as (log, connection):
            made = await archiver_on(log, connection, archived)
            with pytest.raises(ConflictError, match="stop the archivers"):
                await rotated(archived)
            await made.ledger.lease.release()

    run(scene())
    assert len(keyring.read(open_archive(archived.archive_url), archived.namespace).keys) == 1
    run(rotated(archived))


def test_a_rotation_that_was_cut_off_is_ended_by_the_next(
    archived: Settings, writer: LogWriter
) -> None:
    writer.history(10, 10)
    size = writer.position
    archive = open_archive(archived.archive_url)
    keys = signer_of(archived), other(archived)
    asyncio.run(asyncio.to_thread(keyring.rotate, archive, archived.namespace, *keys))
    assert run(rotated(archived))[1] == [Rotated(0, size + 1, size)]


def test_an_archiver_announces_a_key_that_was_listed_while_no_engine_ran(
    archived: Settings, writer: LogWriter
) -> None:
    writer.history(10, 10)
    run(archive_once(archived))
    size = writer.position
    archive = open_archive(archived.archive_url)
    ring = keyring.rotate(archive, archived.namespace, signer_of(archived), other(archived))

    async def starts() -> Rotated | None:
        async with opened(archived) as (log, connection):
            rows = Rows(connection, Tree(log.namespace, 0, log.epochs[0]))
            return await announce(log, Scripts(), archive, rows, ring)

    assert run(starts()) == Rotated(0, size + 1, size)
    assert run(starts()) == Rotated(0, size + 1, size), "until a head is signed"
    with_the_new_key(archived)
    run(archive_once(archived))
    assert run(starts()) is None
    assert run(verified(archived, signer_of(archived))).verdict == "whole"
