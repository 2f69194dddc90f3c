"""The archive in S3, against botocore's Stubber: which requests go out, what each answer becomes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from triton.archive import TooLargeError
from triton.archive import s3 as s3_module
from triton.archive.s3 import S3Archive, connect
from triton.errors import ConfigurationError, ConflictError, NotFoundError, UnavailableError


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "s3", region_name="eu-central-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def archive(client: Any) -> S3Archive:
    return S3Archive(client, "bucket", "some/prefix")


def body(data: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(data), len(data))}


def expected_put(data: bytes) -> dict[str, Any]:
    return {
        "Bucket": "bucket",
        "Key": "some/prefix/k",
        "Body": ANY,
        "ContentLength": len(data),
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
        "IfNoneMatch": "*",
    }


def test_a_put_is_conditional_and_carries_its_hash(archive: S3Archive, stub: Stubber) -> None:
    stub.add_response("put_object", {}, expected_put(b"one"))
    stored = archive.put_new("k", b"one")
    assert stored.sha256 == hashlib.sha256(b"one").hexdigest()


def test_a_key_that_exists_is_compared_by_content(archive: S3Archive, stub: Stubber) -> None:
    for there in (b"one", b"two"):
        stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
        stub.add_response("get_object", body(there))
    assert archive.put_new("k", b"one").size == 3
    with pytest.raises(ConflictError):
        archive.put_new("k", b"one")


def test_a_409_is_tried_again(
    archive: S3Archive, stub: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module.time, "sleep", lambda seconds: None)
    stub.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    stub.add_response("put_object", {}, expected_put(b"one"))
    archive.put_new("k", b"one")
    for _ in range(s3_module.CONFLICT_TRIES):
        stub.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    with pytest.raises(UnavailableError, match="busy"):
        archive.put_new("k", b"one")


def test_missing_keys_refusals_and_outages_are_told_apart(
    archive: S3Archive, stub: Stubber
) -> None:
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(NotFoundError):
        archive.read("k")
    stub.add_client_error("head_object", "404", http_status_code=404)
    assert not archive.exists("k")
    stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
    with pytest.raises(ConfigurationError, match="AWS credentials"):
        archive.read("k")
    stub.add_client_error("put_object", "SlowDown", http_status_code=503)
    with pytest.raises(UnavailableError, match="SlowDown"):
        archive.put_new("k", b"x")


def test_a_stream_that_breaks_off_is_an_outage_not_a_short_object(
    archive: S3Archive, stub: Stubber
) -> None:
    stub.add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"half"), 8)})
    with pytest.raises(UnavailableError, match="broke off"):
        archive.read("k")


def test_the_list_gives_keys_without_the_prefix(archive: S3Archive, stub: Stubber) -> None:
    asked = {"Bucket": "bucket", "Prefix": "some/prefix/a"}
    first = {
        "IsTruncated": True,
        "NextContinuationToken": "t",
        "Contents": [{"Key": "some/prefix/a/1"}],
    }
    second = {"IsTruncated": False, "Contents": [{"Key": "some/prefix/a/2"}]}
    stub.add_response("list_objects_v2", first, asked)
    stub.add_response("list_objects_v2", second, {**asked, "ContinuationToken": "t"})
    assert list(archive.list("a")) == ["a/1", "a/2"]


def test_too_many_bytes_never_reach_the_bucket(archive: S3Archive, stub: Stubber) -> None:
    with pytest.raises(TooLargeError):
        archive.put_content([b"x" * 10] * 3, max_bytes=25)


def test_another_server_is_addressed_by_path() -> None:
    ours = connect("http://127.0.0.1:9", "eu-central-1")
    assert ours.meta.config.s3["addressing_style"] == "path"
    assert connect(None, "eu-central-1").meta.endpoint_url.endswith("amazonaws.com")
    with pytest.raises(ConfigurationError):
        connect("no url", "eu-central-1")


def test_a_server_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = connect("http://127.0.0.1:1", "eu-central-1")
    client.meta.config.retries["total_max_attempts"] = 1
    with pytest.raises(UnavailableError, match="did not answer"):
        S3Archive(client, "bucket").read("k")


def test_a_range_is_asked_for_as_one_and_ends_with_the_object(
    archive: S3Archive, stub: Stubber
) -> None:
    asked = {"Bucket": "bucket", "Key": "some/prefix/k", "Range": "bytes=2-4"}
    stub.add_response("get_object", body(b"234"), asked)
    assert archive.read_range("k", 2, 3) == b"234"
    stub.add_client_error("get_object", "InvalidRange", http_status_code=416)
    assert archive.read_range("k", 10, 5) == b""
    assert archive.read_range("k", 4, 0) == b""
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(NotFoundError):
        archive.read_range("k", 0, 1)


def test_a_replacing_put_has_no_condition_but_carries_its_hash(
    archive: S3Archive, stub: Stubber
) -> None:
    expected = {
        "Bucket": "bucket",
        "Key": "some/prefix/k",
        "Body": b"one",
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(b"one").digest()).decode(),
    }
    stub.add_response("put_object", {}, expected)
    archive.replace("k", b"one")
