"""`triton audit verify` over real engines: what the archiver left is whole, and each loss is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psycopg
import pytest
from archiving import archive_once, signer_of, with_archive
from backup import Backup
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import adopted, clickhouse_projection, postgres_projection, project, run

from triton.archive import open_archive
from triton.audit import counting, verifying
from triton.audit.counting import Count
from triton.audit.proving import Prover
from triton.errors import EvidenceError, LogForkedError, NotFoundError
from triton.evidence import layout, proofs
from triton.evidence.layout import Tree
from triton.history import History, open_past
from triton.projections.engines import open_engines
from triton.settings import Settings
from triton.verifier import triton_verify
from triton.verifier.triton_verify import Report, parse_key


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    """Segments of at least five events; all entries stay in Redis too."""
    return with_archive(settings, tmp_path, keep_events=1_000_000)


def pinned(settings: Settings) -> list[triton_verify.Key]:
    return [parse_key(str(signer_of(settings).key))]


async def verified(settings: Settings) -> tuple[Report, list[Count]]:
    archive = open_archive(settings.archive_url)
    async with open_engines(settings) as (log, connection, clickhouse):
        rows = await counting.segment_rows(connection)
        report = verifying.verify_archive(archive, settings.namespace, pinned(settings), live=True)
        await verifying.verify_log(report, archive, log)
        counting.compare_rows(report, settings.namespace, rows)
        return report, await counting.count_stores(report, connection, clickhouse, log)


def archive_and_project(settings: Settings) -> None:
    run(archive_once(settings))
    project(settings, postgres_projection, clickhouse_projection)


def unsealed(settings: Settings) -> Settings:
    """So that what comes is signed and not sealed."""
    return msgspec.structs.replace(settings, seal_events=100_000, seal_ms=10_000_000)


def test_all_that_is_left_is_whole(archived: Settings, writer: LogWriter) -> None:
    writer.history(40, 40)
    archive_and_project(archived)
    sealed = writer.position
    writer.history(55, 55)
    archive_and_project(unsealed(archived))
    report, counts = run(verified(archived))
    assert report.sentence() == (
        f"whole: {writer.position} events of 1 log, none missing, none changed"
    )
    copy = verifying.verify_archive(
        open_archive(archived.archive_url), archived.namespace, pinned(archived), live=True
    )
    assert copy.sentence() == (
        f"whole: {sealed} events of 1 log, none missing, none changed; "
        f"{writer.position - sealed} more are signed, but not sealed in this copy"
    )
    (tree,) = report.trees
    assert (tree.sealed, tree.newest_head, tree.live) == (sealed, writer.position, writer.position)
    assert counts == [
        Count("clickhouse", 0, writer.position, writer.position),
        Count("postgres", 0, writer.position, writer.position),
    ]


def test_each_sealed_size_has_a_head_that_segments_alone_can_try(
    archived: Settings, writer: LogWriter
) -> None:
    """Heads are of whatever was there when they were signed: mostly of more than is sealed."""
    writer.history(23, 23)
    run(archive_once(archived))
    store = open_archive(archived.archive_url)
    report = verifying.verify_archive(store, archived.namespace, pinned(archived))
    assert report.verdict == "whole", report.sentence()
    (tree,) = report.trees
    ends = [last for _, last in tree.manifests]
    assert len(ends) > 3
    assert set(ends) <= set(tree.roots)


def test_a_log_that_lost_its_signed_tail_is_incomplete(
    archived: Settings, writer: LogWriter
) -> None:
    writer.history(30, 30)
    archive_and_project(archived)
    backup = Backup(writer)
    lost_after = writer.position
    writer.history(40, 40)
    archive_and_project(unsealed(archived))
    end = writer.position
    backup.come_back()
    report, _ = run(verified(archived))
    assert report.verdict == "incomplete"
    worst = report.worst
    assert worst is not None
    assert (worst.position, worst.until) == (lost_after + 1, end)


def test_another_tail_than_was_signed_is_tampered(archived: Settings, writer: LogWriter) -> None:
    writer.history(30, 30)
    archive_and_project(archived)
    backup = Backup(writer)
    sealed = writer.position
    writer.history(40, 40)
    archive_and_project(unsealed(archived))
    backup.come_back()
    writer.history(60, 60)
    report, _ = run(verified(archived))
    worst = report.worst
    assert worst is not None
    assert (worst.verdict, worst.position) == ("tampered", sealed + 1)


def test_missing_rows_and_files_are_named(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, clickhouse: Client
) -> None:
    writer.history(30, 30)
    archive_and_project(archived)
    postgres.execute("DELETE FROM job_events WHERE position IN (3, 9)")
    clickhouse.command("DELETE FROM job_events WHERE position = 4")
    report, counts = run(verified(archived))
    assert [(each.store, each.expected - each.events) for each in counts] == [
        ("clickhouse", 1),
        ("postgres", 2),
    ]
    assert {each.verdict for each in report.findings} == {"incomplete"}
    store = open_archive(archived.archive_url)
    names = sorted(key for key in store.list("log/") if key.endswith(".json"))
    store.delete(names[-1])
    store.delete(names[-1].removesuffix(".json") + ".zst")
    report, _ = run(verified(archived))
    bounds = layout.range_of(names[-1].removesuffix(".json") + ".zst")
    assert any((each.position, each.until) == bounds for each in report.findings), report.findings


def test_a_segment_that_postgresql_forgot_is_named(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Readers ask PostgreSQL where the past is: a row that is gone hides a file that is there."""
    writer.history(23, 23)
    archive_and_project(archived)
    first, last = postgres.execute(
        "DELETE FROM segments WHERE first_position = (SELECT first_position FROM segments"
        " ORDER BY first_position OFFSET 1 LIMIT 1) RETURNING first_position, last_position"
    ).fetchone() or (0, 0)
    report, _ = run(verified(archived))
    assert (report.verdict, [(f.position, f.until) for f in report.findings]) == (
        "incomplete",
        [(first, last)],
    )
    assert "PostgreSQL does not know the segment" in report.findings[0].sentence


def test_what_readers_go_by_must_be_as_it_was_sealed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Readers ask Redis first, and then go where PostgreSQL says: neither is under the signed root."""
    writer.history(23, 23)
    archive_and_project(archived)

    def found() -> list[tuple[str, int]]:
        report, _ = run(verified(archived))
        return [(each.verdict, each.position) for each in report.findings]

    assert found() == []
    second = "first_position = (SELECT min(last_position) + 1 FROM segments)"
    (begin,) = postgres.execute(
        f"SELECT first_position FROM segments WHERE {second}"
    ).fetchone() or (0,)
    for change, back in (
        ("key = 'objects/' || key", "key = substr(key, 9)"),
        ("last_at = last_at + interval '1 day'", "last_at = last_at - interval '1 day'"),
        ("expired_at = now()", "expired_at = NULL"),
    ):
        postgres.execute(f"UPDATE segments SET {change} WHERE {second}")
        assert ("tampered", begin) in found(), change
        postgres.execute(f"UPDATE segments SET {back} WHERE {second}")
    entries = writer.client.execute_command("XRANGE", writer.stream, "-", "+")
    writer.client.delete(writer.stream)
    for number, (name, fields) in enumerate(entries):
        changed = [*fields[:-1], b"\x80"] if number == 5 else fields
        writer.client.execute_command("XADD", writer.stream, name, *changed)
    assert found() == [("tampered", 6)]


def test_both_lives_of_an_adopted_log_are_whole(archived: Settings, writer: LogWriter) -> None:
    writer.history(20, 20)
    run(archive_once(archived))
    backup = Backup(writer)
    writer.history(30, 30)
    archive_and_project(archived)
    sealed = writer.position
    writer.history(33, sealed + 3)
    lost = writer.position - sealed
    run(archive_once(unsealed(archived)))
    backup.come_back()
    writer.history(27, 27)
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    done = adopted(archived)
    archive_and_project(archived)
    report, _ = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    ends = f"{writer.position} events of 1 log, and {sealed} of 1 earlier life, none missing"
    assert ends in report.sentence()
    assert f"; {lost} more were signed, and lost before a log was adopted" in report.sentence()
    alone = triton_verify.check_archive(
        verifying.Source(open_archive(archived.archive_url)),
        pinned(archived),
        triton_verify.Options(),
    )
    assert (alone.verdict, alone.worst.position if alone.worst else 0) == ("incomplete", sealed + 1)
    assert "was lost before the log was adopted" in alone.sentence()
    assert {tree.epoch for tree in report.trees} == {done.previous_epoch, done.epoch}
    second = Tree(archived.namespace, 0, done.epoch)
    open_archive(archived.archive_url).delete(f"{second.prefix}adopted")
    report, _ = run(verified(archived))
    assert report.verdict == "cannot tell"


def test_events_are_proved_whether_sealed_or_fresh(archived: Settings, writer: LogWriter) -> None:
    """What is sealed has left Redis: it comes from the archive."""
    archived = msgspec.structs.replace(archived, keep_events=0)
    writer.history(30, 30)
    run(archive_once(archived))
    assert writer.client.xlen(writer.stream) < 5
    writer.history(45, 45)
    run(archive_once(unsealed(archived)))
    keys = [signer_of(archived).key]

    async def prove(positions: list[int]) -> list[proofs.Proof]:
        async with open_engines(archived) as (log, _, _):
            whole = History.over(log, open_past(archived))
            prover = Prover(whole, open_archive(archived.archive_url), 0, keys, patience=0)
            return [await prover.prove(position) for position in positions]

    positions = [1, 7, writer.position - 12, writer.position]
    for position, proof in zip(positions, run(prove(positions)), strict=True):
        assert proof.position == position
        report = triton_verify.check_proof(bytes(proof), pinned(archived))
        assert (report.verdict, report.position) == ("whole", position)
        assert report.size == writer.position
    with pytest.raises(NotFoundError, match=f"holds 1 to {writer.position}"):
        run(prove([writer.position + 1]))
    writer.history(writer.position + 5, writer.position + 5)
    with pytest.raises(EvidenceError, match="Is the archiver running"):
        run(prove([writer.position]))
