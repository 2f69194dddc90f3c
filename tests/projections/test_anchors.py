"""Signed heads are told to others: a webhook gets the newest, and witnesses sign those of what is sealed."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from archiving import archive_once, archiving, signer_of, trees_in, with_archive
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_writer import LogWriter
from projecting import run

from triton.archive import open_archive
from triton.audit import verifying
from triton.errors import ConfigurationError
from triton.evidence import notes, tree
from triton.evidence.notes import COSIGNATURE, VerifierKey
from triton.evidence.witnesses import parse_witnesses
from triton.settings import Settings
from triton.verifier.triton_verify import Report, parse_key

_TIME = 1_800_000_000


class Witness:
    """Signs as C2SP's tlog-witness says: what goes on from the last head that it signed."""

    def __init__(self) -> None:
        self.secret = Ed25519PrivateKey.generate()
        public = self.secret.public_key().public_bytes_raw()
        self.key = VerifierKey("witness.example", public, COSIGNATURE)
        self.size, self.root = 0, tree.EMPTY_ROOT
        #: Statuses, in order; and the bodies that were posted elsewhere.
        self.answers: list[int] = []
        self.posted: list[bytes] = []

    def judge(self, body: bytes) -> tuple[int, bytes]:
        begin, _, note = body.partition(b"\n\n")
        old, *proof = begin.decode().split("\n")
        head = notes.parse_head(notes.parse_note(note).text)
        size = int(old.removeprefix("old "))
        if size != self.size:
            return 409, f"{self.size}\n".encode()
        hashes = [base64.b64decode(line) for line in proof]
        empty = size == 0 and not hashes
        goes_on = empty or tree.verify_consistency(size, head.size, hashes, self.root, head.root)
        if not goes_on:
            return 422, b""
        self.size, self.root = head.size, head.root
        message = f"cosignature/v1\ntime {_TIME}\n{head}".encode()
        value = self.key.id + _TIME.to_bytes(8) + self.secret.sign(message)
        return 200, f"— {self.key.name} {notes.encode(value)}\n".encode()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def url(witness: Witness) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = 200, b""
            if self.path == "/w/add-checkpoint":
                status, answer = witness.judge(body)
                witness.answers.append(status)
            else:
                witness.posted.append(body)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def anchored(settings: Settings, tmp_path: Path, witness: Witness, url: str) -> Settings:
    named = {"witnesses": f"{witness.key} {url}/w/", "heads_webhook": f"{url}/heads"}
    return with_archive(settings, tmp_path, **named)


def judged(settings: Settings, *more: object) -> Report:
    pinned = [parse_key(str(key)) for key in (signer_of(settings).key, *more)]
    archive = open_archive(settings.archive_url)
    return verifying.verify_archive(archive, settings.namespace, pinned)


def grow(settings: Settings, writer: LogWriter, jobs: int) -> None:
    for _ in range(jobs):
        writer.run()
    run(archive_once(settings))


def test_a_witness_signs_what_is_sealed_and_its_signature_is_kept(
    anchored: Settings, writer: LogWriter, witness: Witness
) -> None:
    grow(anchored, writer, 4)
    first = witness.size
    assert first > 0
    # Another process does not know what the witness signed, and is told.
    grow(anchored, writer, 5)
    assert witness.size > first
    assert witness.answers == [200, 409, 200]
    # What it signed goes into the archive with the heads of the next segment.
    grow(msgspec.structs.replace(anchored, witnesses=""), writer, 2)
    report = judged(anchored, witness.key)
    assert report.verdict == "whole", report.sentence()
    assert report.trees[0].witnesses == {"witness.example": witness.size}
    stranger = msgspec.structs.replace(witness.key, name="nobody.example")
    assert judged(anchored, stranger).verdict == "cannot tell"


def test_who_posts_heads_posts_the_newest_one(
    anchored: Settings, writer: LogWriter, witness: Witness
) -> None:
    grow(anchored, writer, 1)
    archive = open_archive(anchored.archive_url)
    (at,) = trees_in(archive)
    assert witness.posted == [archive.read(f"{at.prefix}checkpoint")]


def test_a_witness_of_another_history_signs_nothing_and_stops_nothing(
    anchored: Settings, writer: LogWriter, witness: Witness
) -> None:
    witness.size, witness.root = 3, b"\1" * 32
    grow(anchored, writer, 4)
    assert witness.answers == [409, 422]
    witness.size = 1000
    grow(anchored, writer, 4)
    assert witness.answers[2:] == [409]

    async def at_once() -> int:
        async with archiving(anchored) as made:
            return made.sealer.sealed

    assert run(at_once()) == writer.position
    assert judged(anchored).verdict == "whole"


@pytest.mark.parametrize("text", ["nonsense", "{log} https://w.example", "{key}", "{key} ftp://w"])
def test_a_witness_that_is_none_is_a_mistake_in_a_setting(text: str, witness: Witness) -> None:
    log = msgspec.structs.replace(witness.key, kind=notes.ED25519)
    with pytest.raises(ConfigurationError, match="TRITON_WITNESSES"):
        parse_witnesses(text.format(key=witness.key, log=log))
