"""Signing keys: made once, read from files, held by KMS, and followed from one to the next."""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from triton.archive import ArchiveStore, open_archive
from triton.errors import ConfigurationError, EvidenceError, UnavailableError
from triton.evidence import keyring, notes
from triton.evidence.signing import KEY_FILE, generated_signer, kms_signer, open_signer

NAME = "example.com/triton"


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return open_archive((tmp_path / "archive").as_uri())


def test_processes_that_start_together_make_one_private_key(tmp_path: Path) -> None:
    path = tmp_path / "data" / KEY_FILE
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: generated_signer(NAME, path).key, range(8)))
    assert len(keys) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [KEY_FILE]
    assert open_signer("", NAME, tmp_path / "data").key in keys


def test_a_key_from_a_file_signs(tmp_path: Path) -> None:
    generated = generated_signer(NAME, tmp_path / "key.pem")
    signer = open_signer((tmp_path / "key.pem").as_uri(), NAME, tmp_path)
    assert signer.key == generated.key
    note = notes.sign("text\n", [signer])
    assert notes.verify(note, [generated.key]) == [generated.key]


def test_a_wrong_setting_or_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected file:///PATH"):
        open_signer("/etc/key.pem", NAME, tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_signer((tmp_path / "none.pem").as_uri(), NAME, tmp_path)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(ConfigurationError, match="no unencrypted PEM"):
        open_signer((tmp_path / "text.pem").as_uri(), NAME, tmp_path)
    (tmp_path / "ec.pem").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ConfigurationError, match="expected Ed25519"):
        open_signer((tmp_path / "ec.pem").as_uri(), NAME, tmp_path)
    with pytest.raises(EvidenceError, match="no name for a key"):
        open_signer("", "with space", tmp_path)


class Kms(BaseHTTPRequestHandler):
    """As much of AWS KMS as signing asks, on the wire: boto3 checks both directions by its model."""

    private = Ed25519PrivateKey.generate()
    denied = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        public = self.private.public_key()
        if self.denied:
            self._answer(400, {"__type": "DisabledException", "message": "the key is disabled"})
        elif self.headers["X-Amz-Target"] == "TrentService.GetPublicKey":
            der = public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            key = {"PublicKey": base64.b64encode(der).decode(), "KeySpec": "ECC_NIST_EDWARDS25519"}
            self._answer(200, {"KeyId": body["KeyId"], **key})
        else:
            assert self.headers["X-Amz-Target"] == "TrentService.Sign"
            assert (body["MessageType"], body["SigningAlgorithm"]) == ("RAW", "ED25519_SHA_512")
            signature = self.private.sign(base64.b64decode(body["Message"]))
            self._answer(200, {"Signature": base64.b64encode(signature).decode()})

    def _answer(self, status: int, body: dict[str, str]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kms_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Kms) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_key_in_kms_signs(kms_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client(
        "kms",
        region_name="eu-central-1",
        endpoint_url=kms_url,
        aws_access_key_id="id",
        aws_secret_access_key="none",
    )
    signer = kms_signer(NAME, "alias/triton", client)
    note = notes.sign("text\n", [signer])
    assert notes.verify(note, [signer.key]) == [signer.key]
    monkeypatch.setattr(Kms, "denied", True)
    with pytest.raises(UnavailableError, match="disabled"):
        signer.sign(b"text")


def test_keys_follow_one_another(store: ArchiveStore, tmp_path: Path) -> None:
    signers = [generated_signer(NAME, tmp_path / f"{number}.pem") for number in range(3)]
    keys = tuple(signer.key for signer in signers)
    assert keyring.settle(store, "ns", signers[0]).keys == keys[:1]
    assert keyring.settle(store, "ns", signers[0]).keys == keys[:1]
    with pytest.raises(ConfigurationError, match="rotate-key"):
        keyring.settle(store, "ns", signers[1])
    keyring.rotate(store, "ns", signers[0], signers[1])
    keyring.rotate(store, "ns", signers[0], signers[1])  # a repeat changes nothing
    keyring.rotate(store, "ns", signers[1], signers[2])
    assert keyring.settle(store, "ns", signers[2]).keys == keys
    with pytest.raises(ConfigurationError):
        keyring.settle(store, "ns", signers[0])  # who was replaced signs no more
    with pytest.raises(ConfigurationError, match="cannot follow"):
        keyring.rotate(store, "ns", signers[2], signers[0])
    assert keyring.read(store, "ns").newest == signers[2].key
    assert keyring.read(store, "other").keys == ()


def test_a_key_that_the_old_key_did_not_announce_is_refused(
    store: ArchiveStore, tmp_path: Path
) -> None:
    first, thief = (generated_signer(NAME, tmp_path / f"{number}.pem") for number in range(2))
    ring = keyring.settle(store, "ns", first)
    text = keyring.text_of("ns", [first.key, thief.key])
    with pytest.raises(EvidenceError, match="do not trust it"):
        keyring.follow(ring, "ns", bytes(notes.sign(text, [thief])))
    with pytest.raises(EvidenceError, match="do not trust it"):
        keyring.follow(ring, "ns", bytes(notes.sign(text, [first])))
    with pytest.raises(EvidenceError, match="another namespace"):
        keyring.follow(ring, "ns2", bytes(notes.sign(text, [first, thief])))
    assert keyring.follow(ring, "ns", bytes(notes.sign(text, [first, thief]))).newest == thief.key
