"""A backup is taken while the log grows, is sealed and trimmed; of it a platform is made in empty engines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import psycopg
import pytest
from archiving import archive_once, head_in, trees_in, with_archive
from log_writer import LogWriter
from projecting import project, run
from test_audit_verify import verified

from triton import keys
from triton.archive import open_archive
from triton.backup import database, keyfiles, manifest, restoring, taking
from triton.errors import ConflictError, NotFoundError
from triton.evidence.layout import Tree
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings

PROJECTORS = ("postgres", "clickhouse")


@pytest.fixture
def own(own_stores: Settings, tmp_path: Path) -> Settings:
    """A platform of this test alone."""
    return placed(own_stores, tmp_path)


def placed(settings: Settings, folder: Path) -> Settings:
    """With archive and keys below a folder."""
    made = with_archive(settings, folder)
    return msgspec.structs.replace(
        made,
        signing_key=(folder / "key.pem").as_uri(),  # where signer_of makes it
        tenant_keys=(folder / "tenant-keys.json").as_uri(),
        subject_keys=(folder / "subject-keys").as_uri(),
    )


def aside(do: Callable[[], Any]) -> None:
    """Do something while another event loop waits."""
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


def lose(settings: Settings, writer: LogWriter) -> None:
    """Every engine's data."""
    for name in list(writer.client.scan_iter(writer.prefix + "*")):
        writer.client.delete(name)
    database = psycopg.conninfo.conninfo_to_dict(settings.database_url)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(settings.database_url, dbname="triton")
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {database}".encode())
    base, _, tables = settings.clickhouse_url.rpartition("/")
    with clickhouse_connect.get_client(dsn=f"{base}/triton") as client:
        client.command(f"DROP DATABASE {tables} SYNC")
        client.command(f"CREATE DATABASE {tables}")


def records(writer: LogWriter) -> dict[bytes, Any]:
    return dict(writer.client.execute_command("XRANGE", writer.stream, "-", "+"))


def test_a_backup_under_load_is_the_platform_again(
    own: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    folder, apart = tmp_path / "backup", tmp_path / "apart"
    (tmp_path / "tenant-keys.json").write_text("a ring")
    (tmp_path / "subject-keys/keys/ab").mkdir(parents=True)
    (tmp_path / "subject-keys/keys/ab/abc").write_bytes(b"a key")
    archive = open_archive(own.archive_url)
    writer.history(seed=1, events=60)
    project(own)
    run(archive_once(own, projectors=PROJECTORS))
    project(own)
    writer.history(seed=2, events=80)
    with clickhouse_connect.get_client(dsn=own.clickhouse_url) as client:
        client.command("INSERT INTO clinical (tenant, member, value) VALUES ('t', 7, 1.5)")
    before = {writer.submit() for _ in range(3)}
    during: set[str] = set()
    seen: dict[bytes, Any] = {}

    def told(what: str) -> None:
        """Whatever is copied next is copied beside a log that moves on."""
        during.add(writer.submit())
        seen.update(records(writer))
        if what == "the log":
            # What the copy of the archive does not have leaves Redis now, and content that jobs name comes.
            aside(lambda: project(own))
            aside(lambda: run(archive_once(own, projectors=PROJECTORS)))
            archive.put_content(b"a payload")

    made = run(taking.take(own, folder, subject_keys=apart, told=told))
    assert manifest.check(folder) == made
    (part,) = made.partitions
    assert 60 <= part.archived < 80 <= part.end
    first = int(next(iter(records(writer))).partition(b"-")[0])
    assert first > part.archived + 1, "nothing was trimmed meanwhile: an easy case"
    with pytest.raises(ConflictError, match="not empty"):
        run(taking.take(own, folder))
    writer.run(5)
    run(archive_once(own))  # a head of what the backup does not know
    lose(own, writer)

    new = placed(own, tmp_path / "new")
    keyfiles.load(new, folder)
    keyfiles.copy_subjects(apart, keyfiles.subjects_of(new))
    assert (tmp_path / "new/tenant-keys.json").read_text() == "a ring"
    assert (tmp_path / "new/subject-keys/keys/ab/abc").read_bytes() == b"a key"
    assert not list(folder.rglob("abc"))

    (done,) = run(
        restoring.fill(new, folder, made, by="user:tester", reason="a test", patience=20.0)
    )
    assert (done.plan.end, done.plan.remade, done.plan.lost_from) == (part.end, 0, 0)
    # Every entry is as it was, and every job that was acknowledged before waits again.
    restored = records(writer)
    assert restored == {name: seen[name] for name in restored}
    assert max(int(name.partition(b"-")[0]) for name in restored) == part.end
    ready = {
        job.decode() for job in writer.client.zrange(keys.ready(writer.prefix, "default"), 0, -1)
    }
    assert before <= ready
    assert len(during & ready) >= 3
    assert (
        open_archive(new.archive_url).read(
            next(iter(open_archive(new.archive_url).list("objects/")))
        )
        == b"a payload"
    )
    with clickhouse_connect.get_client(dsn=new.clickhouse_url) as client:
        assert client.query("SELECT member, value FROM clinical").result_rows == [(7, 1.5)]

    # It goes on, and all of it can be proved.
    while claimed := writer.claim(10):
        assert claimed
    project(new)
    run(archive_once(new, projectors=PROJECTORS))
    report = verify(new)
    assert report.ok, render(report)
    proof, counts = run(verified(new))
    assert proof.findings == [], proof.sentence()
    assert {one[2:] for one in counts} == {(writer.position, writer.position)}
    new_tree = Tree(new.namespace, 0, done.epoch)
    assert new_tree in trees_in(open_archive(new.archive_url))
    assert head_in(open_archive(new.archive_url), new_tree, new).size == writer.position


def test_the_tools_of_postgresql_fit_the_server() -> None:
    """pg_restore of a newer version sets what an older server does not know; an older one reads no newer."""
    assert [database.best({15, 16, 18}, server) for server in (16, 17, 18, 19)] == [16, 18, 18, 18]


def test_what_is_no_whole_backup_is_refused(
    own: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    writer.run(3)
    folder = tmp_path / "backup"
    with pytest.raises(ConflictError, match="inside of the backup"):
        run(taking.take(own, folder, subject_keys=folder / "subjects"))
    apart = tmp_path / "apart"
    made = run(taking.take(own, folder, archive=False, subject_keys=apart))
    assert apart.is_dir(), "whoever restores names it, also where there is no key yet"
    with pytest.raises(ConflictError, match="not empty"):
        run(restoring.fill(own, folder, made, by="user:tester", reason="a test"))
    (tail,) = (folder / "log").rglob("*.zst")
    tail.write_bytes(tail.read_bytes()[:-1])
    with pytest.raises(ConflictError, match="not as it was written"):
        manifest.check(folder)
    tail.unlink()
    with pytest.raises(ConflictError, match="missing"):
        manifest.check(folder)
    (folder / manifest.FILE).unlink()
    with pytest.raises(NotFoundError, match="no whole backup"):
        manifest.check(folder)
