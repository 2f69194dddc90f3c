"""Uploads: raw and as a form, streamed, limited, and nothing kept of one that fails."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from live_api import LiveApi

from eventually import eventually
from triton.archive import open_archive
from triton.documents import repository
from triton.extraction.model import Lineage

DOCUMENTS = "/api/v1/documents"
LIMIT = 1_000_000


def objects(api: LiveApi) -> list[str]:
    return list(open_archive(api.settings.archive_url).list())


def incoming(api: LiveApi) -> list[Path]:
    return list((Path(urlsplit(api.settings.archive_url).path) / ".incoming").iterdir())


@pytest.mark.parametrize("size", [0, 1, 300_000, LIMIT])
def test_a_raw_upload_is_stored_under_its_hash(api: LiveApi, size: int) -> None:
    data = os.urandom(size)
    answer = api.http.post(
        DOCUMENTS,
        params={"filename": "Bericht ü.pdf"},
        content=data,
        headers={"Content-Type": "application/pdf"},
    )
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert (shown["size"], shown["filename"]) == (size, "Bericht ü.pdf")
    assert shown["media_type"] == "application/pdf"
    key = f"objects/sha256/{shown['sha256'][:2]}/{shown['sha256'][2:4]}/{shown['sha256']}"
    assert open_archive(api.settings.archive_url).read(key) == data
    read = api.http.get(answer.headers["location"])
    assert (read.status_code, read.json()) == (200, shown)


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_form_upload_takes_the_field_file_byte_by_byte(api: LiveApi, size: int) -> None:
    data = (b"\r\n--boundary\r\n" + os.urandom(size))[: max(size, 0)]
    answer = api.http.post(
        DOCUMENTS,
        data={"note": "before", "other": "x" * 1000},
        files={"ignored": ("a.txt", b"not this"), "file": ("notes.md", data, "text/markdown")},
    )
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert (shown["filename"], shown["media_type"]) == ("notes.md", "text/markdown")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\report.docx", "report.docx"),
        ("a\r\nX-Evil: 1.pdf", "aX-Evil: 1.pdf"),
        ("..", "document"),
        ("", "document"),
        ("n" * 300 + ".pdf", "n" * 251 + ".pdf"),
    ],
)
def test_a_file_name_is_a_name_and_no_path(api: LiveApi, given: str, kept: str) -> None:
    answer = api.http.post(DOCUMENTS, params={"filename": given}, content=b"x")
    assert answer.json()["filename"] == kept


def test_a_type_that_a_client_sends_by_default_is_none(api: LiveApi) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/octet-stream"):
        answer = api.http.post(DOCUMENTS, content=b"x", headers={"Content-Type": kind})
        assert answer.json()["media_type"] == ""


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize("form", [True, False], ids=["form", "raw"])
def test_too_large_is_413_and_leaves_nothing(api: LiveApi, announced: bool, form: bool) -> None:
    before = objects(api)
    data = os.urandom(LIMIT + 100_000)
    request = (
        httpx.Request("POST", api.url + DOCUMENTS, files={"file": ("big", data)})
        if form
        else httpx.Request("POST", api.url + DOCUMENTS, content=data)
    )
    body = request.read()
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    headers = {"Content-Type": request.headers.get("content-type", "application/pdf")}
    answer = api.http.post(DOCUMENTS, content=body if announced else pieces, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["details"]["max_bytes"] == LIMIT
    assert objects(api) == before
    eventually(lambda: not incoming(api))


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"no boundary at all", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            422,
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 20_000, 400),
    ],
)
def test_a_form_that_is_none_is_refused_and_leaves_nothing(
    api: LiveApi, kind: str, body: bytes, status: int
) -> None:
    before = objects(api)
    answer = api.http.post(DOCUMENTS, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert objects(api) == before


def test_an_upload_that_breaks_off_leaves_nothing(api: LiveApi) -> None:
    before = objects(api)
    with socket.create_connection(api.listener.getsockname()) as raw:
        raw.sendall(
            f"POST {DOCUMENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n".encode()
            + b"x" * 400_000
        )
        eventually(lambda: incoming(api))
    eventually(lambda: not incoming(api))
    assert objects(api) == before


def test_a_document_is_its_tenant_s(api: LiveApi) -> None:
    mine = api.http.post(DOCUMENTS, params={"tenant": "acme"}, content=b"x").json()
    assert api.http.get(f"{DOCUMENTS}/{mine['id']}").status_code == 404
    assert api.http.get(f"{DOCUMENTS}/{mine['id']}?tenant=acme").json() == mine


def test_documents_are_listed_newest_first_and_to_their_tenant_alone(api: LiveApi) -> None:
    made = [
        api.http.post(
            DOCUMENTS, params={"tenant": "lists", "filename": f"{n}.txt"}, content=b"%d" % (n % 2)
        ).json()
        for n in range(5)
    ]
    found: list[object] = []
    params: dict[str, str] = {"tenant": "lists", "limit": "2"}
    while True:
        page = api.http.get(DOCUMENTS, params=params).json()
        found += page["documents"]
        if page["next"] is None:
            break
        params["next"] = page["next"]
    assert found == made[::-1]
    assert api.http.get(DOCUMENTS, params={**params, "limit": "1"}).json()["next"] is None

    def chosen(**more: str) -> list[str]:
        answer = api.http.get(DOCUMENTS, params={"tenant": "lists", **more})
        return [one["filename"] for one in answer.json()["documents"]]

    assert chosen(sha256=made[0]["sha256"]) == ["4.txt", "2.txt", "0.txt"]
    assert chosen(filename="1.txt") == ["1.txt"]
    assert api.http.get(DOCUMENTS, params={"tenant": "others"}).json()["documents"] == []
    for bad in ("x", "WzIzMDU4NDMwMDkyMTM2OTM5NTIsIngiXQ", "WzEsImFcdTAwMDAiXQ"):
        assert api.http.get(DOCUMENTS, params={"next": bad}).status_code == 422, bad


def test_what_was_taken_from_a_document_is_paged_in_its_order(api: LiveApi) -> None:
    whose = {"tenant": "lineage"}
    document = api.http.post(DOCUMENTS, params=whose, content=b"text").json()
    rows = [
        Lineage(page, start, start + 4, "page" if start == 0 else "heading", "text", "1")
        for page in (1, 2)
        for start in (0, 7)
    ]
    with psycopg.connect(api.settings.database_url) as connection:
        for job in ("job:a", "job:b"):
            repository.add_lineage(
                connection,
                rows,
                tenant="lineage",
                document=document["id"],
                document_sha256=document["sha256"],
                job=job,
                attempt=1,
                at=datetime.now(UTC),
            )
    home = f"{DOCUMENTS}/{document['id']}/lineage"
    whole = api.http.get(home, params=whose).json()
    assert whole["next"] is None
    assert [(one["job"], one["page"], one["start"]) for one in whole["lineage"]] == [
        (job, row.page, row.start) for job in ("job:a", "job:b") for row in rows
    ]
    found: list[object] = []
    params = {**whose, "limit": "3"}
    while True:
        page = api.http.get(home, params=params).json()
        found += page["lineage"]
        if page["next"] is None:
            break
        params["next"] = page["next"]
    assert found == whole["lineage"]
    assert len(api.http.get(home, params={**whose, "job": "job:b"}).json()["lineage"]) == 4
    assert api.http.get(home, params={"tenant": "others"}).status_code == 404
    for bad in ("WzEsIjdwYWdlIl0", "WzEsIi0xOnBhZ2U6aiJd", "WzQyOTQ5NjcyOTYsIjE6cGFnZTpqIl0"):
        assert api.http.get(home, params={**whose, "next": bad}).status_code == 422, bad
