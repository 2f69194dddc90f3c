"""The archive on an S3 server over HTTP: one that honours conditions, and a look-alike that ignores them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_bucket import Bucket
from triton.archive import ArchiveStore, open_archive
from triton.archive.probing import RACERS, check_creates_once, probe
from triton.errors import ConfigurationError, ConflictError, NotFoundError


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(params=[True, False], ids=["honest", "lying"])
def bucket(request: pytest.FixtureRequest, namespace: str) -> Iterator[Bucket]:
    made = Bucket(honest=request.param)
    made.client.create_bucket(Bucket=namespace)
    yield made
    made.close()


@pytest.fixture
def archive(bucket: Bucket, namespace: str) -> ArchiveStore:
    return open_archive(f"s3://{namespace}/a?endpoint_url={bucket.endpoint}&region=us-east-1")


honest = pytest.mark.parametrize("bucket", [True], indirect=True)
lying = pytest.mark.parametrize("bucket", [False], indirect=True)


@honest
def test_of_racing_writers_exactly_one_wins(archive: ArchiveStore) -> None:
    found = probe(archive)
    assert (found.winners, found.kept, found.refused, found.ranged) == (1, True, True, True)
    check_creates_once(archive)
    assert list(archive.list()) == []


@lying
def test_a_look_alike_that_ignores_the_condition_is_seen_and_refused(archive: ArchiveStore) -> None:
    found = probe(archive)
    assert found.winners == RACERS
    assert not found.creates_once
    with pytest.raises(ConfigurationError, match="If-None-Match"):
        check_creates_once(archive)
    assert list(archive.list()) == []


@honest
def test_objects_are_read_whole_by_range_and_replaced(archive: ArchiveStore) -> None:
    data = bytes(range(256)) * 4000
    archive.put_new("log/x", data)
    assert archive.put_new("log/x", data).size == len(data)
    with pytest.raises(ConflictError):
        archive.put_new("log/x", data + b"more")
    assert archive.read("log/x") == data
    assert archive.read_range("log/x", 1000, 300) == data[1000:1300]
    assert archive.read_range("log/x", len(data) - 3, 10) == data[-3:]
    assert archive.read_range("log/x", len(data), 10) == b""
    assert archive.read_range("log/x", 5, 0) == b""
    with pytest.raises(NotFoundError):
        archive.read_range("log/none", 0, 1)
    archive.replace("log/newest", b"one")
    archive.replace("log/newest", b"two")
    assert archive.read("log/newest") == b"two"
    assert list(archive.list("log/")) == ["log/newest", "log/x"]


@honest
def test_the_same_bytes_from_many_writers_are_one_object(archive: ArchiveStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        stored = set(pool.map(lambda _: archive.put_new("k", b"same"), range(8)))
    assert len(stored) == 1
