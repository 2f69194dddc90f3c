"""S3 Object Lock: the evidence cannot be removed by who may write it, and all else can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from s3_bucket import Bucket
from triton.archive import open_archive
from triton.errors import ConfigurationError


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = Bucket(honest=True)
    yield server
    server.close()


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_evidence_is_locked_and_all_else_is_not(bucket: Bucket, mode: str) -> None:
    name = f"locked-{mode}"  # the servers of a process share what they hold
    bucket.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    url = f"s3://{name}/a?endpoint_url={bucket.endpoint}&region=us-east-1&lock_days=30&lock_mode={mode}"
    store = open_archive(url)
    evidence, document = "log/ns/p0/e/segments/1", "objects/1"
    for key in (evidence, document):
        store.put_new(key, b"content")
        store.put_new(key, b"content")
    found = bucket.client.head_object(Bucket=name, Key=f"a/{evidence}")
    assert found["ObjectLockMode"] == mode.upper()
    left = found["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)
    versions = bucket.client.list_object_versions(Bucket=name, Prefix="a/")["Versions"]
    named = {each["Key"]: each["VersionId"] for each in versions}
    bucket.client.delete_object(Bucket=name, Key=f"a/{document}", VersionId=named[f"a/{document}"])
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.client.delete_object(
            Bucket=name, Key=f"a/{evidence}", VersionId=named[f"a/{evidence}"]
        )
    assert store.read(evidence) == b"content"


@pytest.mark.parametrize(
    "asked", ["lock_days=0", "lock_mode=governance", "lock_days=3&lock_mode=x"]
)
def test_a_lock_that_means_nothing_is_refused(asked: str) -> None:
    with pytest.raises(ConfigurationError, match="lock_days"):
        open_archive(f"s3://locked/a?{asked}")
