"""The archiver on an S3 server over HTTP: the same archive as in a folder, and no harm from its failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from archiving import archive_once, head_in, records_in, trees_in, with_archive
from log_writer import LogWriter
from projecting import run

from s3_bucket import Bucket
from triton.archive import open_archive
from triton.archiving.running import run_archiver
from triton.errors import ConfigurationError
from triton.events.entries import dense
from triton.settings import Settings


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(params=[True])
def bucket(request: pytest.FixtureRequest, namespace: str) -> Iterator[Bucket]:
    made = Bucket(honest=request.param)
    made.client.create_bucket(Bucket=namespace)
    yield made
    made.close()


@pytest.fixture
def archived(settings: Settings, tmp_path: Path, bucket: Bucket) -> Settings:
    url = f"s3://{settings.namespace}/a?endpoint_url={bucket.endpoint}&region=us-east-1"
    return msgspec.structs.replace(with_archive(settings, tmp_path), archive_url=url)


def records_of(writer: LogWriter) -> list[bytes]:
    raw = writer.client.execute_command("XRANGE", writer.stream, "-", "+")
    return [entry.record() for entry in dense(0, 0, raw)]


def test_the_log_is_archived_and_signed(archived: Settings, writer: LogWriter) -> None:
    writer.history(23, 23)
    records = records_of(writer)
    run(archive_once(archived))
    archive = open_archive(archived.archive_url)
    (tree,) = trees_in(archive)
    assert records_in(archive, tree) == records
    assert head_in(archive, tree, archived).size == len(records)


def test_requests_that_fail_before_or_after_they_are_done_do_no_harm(
    archived: Settings, writer: LogWriter, bucket: Bucket
) -> None:
    """botocore repeats them; a repeat of a put that was done is refused, and then compared."""
    writer.history(12, 12)
    records = records_of(writer)
    bucket.failing += [(503, "before"), (0, "before"), (500, "after"), (0, "before")] * 6
    run(archive_once(archived))
    assert not bucket.failing
    archive = open_archive(archived.archive_url)
    (tree,) = trees_in(archive)
    assert records_in(archive, tree) == records


@pytest.mark.parametrize("bucket", [False], indirect=True)
def test_a_store_that_ignores_conditions_is_refused_and_nothing_is_trimmed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.history(12, 12)
    with pytest.raises(ConfigurationError, match="If-None-Match"):
        asyncio.run(run_archiver(archived, asyncio.Event()))
    assert len(records_of(writer)) == writer.position
    assert postgres.execute("SELECT count(*) FROM segments").fetchone() == (0,)
