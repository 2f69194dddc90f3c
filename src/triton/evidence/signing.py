"""Owns who signs tree heads: a key made on first start, a key in a file, or a key inside KMS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from triton import disk
from triton.errors import ConfigurationError, UnavailableError
from triton.evidence.notes import Signer, VerifierKey, checked_name
from triton.setting_urls import path_of

#: The generated key's file, below the data folder.
KEY_FILE: Final = "signing-key.pem"

_KMS = re.compile(r"kms:(?P<id>(?:arn:[^:]*:kms:(?P<region>[^:]+):)?[^:].*)")
_ALGORITHM: Final = "ED25519_SHA_512"


class KeySigner(msgspec.Struct, frozen=True):
    """Signs with a key in memory."""

    key: VerifierKey
    private: Ed25519PrivateKey

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)


class KmsSigner(msgspec.Struct, frozen=True):
    """Signs inside AWS KMS: the private key never leaves it."""

    key: VerifierKey
    key_id: str
    client: Any

    def sign(self, message: bytes) -> bytes:
        answer = _ask(
            self.client.sign,
            KeyId=self.key_id,
            Message=message,
            MessageType="RAW",
            SigningAlgorithm=_ALGORITHM,
        )
        return bytes(answer["Signature"])


def open_signer(setting: str, name: str, data: Path) -> Signer:
    """The signer of TRITON_SIGNING_KEY: `file:///PATH`, `kms:KEY`, or empty for a key below `data`.

    `name` is what it signs as (TRITON_ORIGIN). Raises ConfigurationError, UnavailableError, EvidenceError.
    """
    checked_name(name)
    if not setting:
        return generated_signer(name, data / KEY_FILE)
    if match := _KMS.fullmatch(setting):
        return _kms_signer(name, match["id"], match["region"])
    if (path := path_of(setting)) is not None:
        return file_signer(name, path)
    raise ConfigurationError(
        f"TRITON_SIGNING_KEY is {setting!r}: expected file:///PATH of a PEM file, kms:KEY with the id or "
        "ARN of a key of AWS KMS, or nothing for a key that Triton makes",
        setting="signing_key",
    )


def file_signer(name: str, path: Path) -> Signer:
    """The signer of a PEM file (PKCS 8, not encrypted). Raises ConfigurationError."""
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(
            f"the signing key {path} cannot be read ({error.strerror}): check TRITON_SIGNING_KEY",
            setting="signing_key",
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"the signing key {path} is no unencrypted PEM private key ({error}): "
            "make one with `openssl genpkey -algorithm ed25519`",
            setting="signing_key",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(
            f"the signing key {path} is a {type(private).__name__}, expected Ed25519: "
            "make one with `openssl genpkey -algorithm ed25519`",
            setting="signing_key",
        )
    return KeySigner(VerifierKey(name, private.public_key().public_bytes_raw()), private)


def generated_signer(name: str, path: Path) -> Signer:
    """The signer of the key at `path`, which is made first where it is not there.

    It appears whole and readable by its owner only, or not at all; of two that make it, both use one.
    """
    if not path.exists():
        disk.make_folders(path.parent)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        disk.create_once(path, pem)
    return file_signer(name, path)


def kms_signer(name: str, key_id: str, client: Any) -> Signer:
    """The signer of a KMS key, through a boto3 client. Raises ConfigurationError, UnavailableError."""
    answer = _ask(client.get_public_key, KeyId=key_id)
    try:
        public = serialization.load_der_public_key(answer["PublicKey"])
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigurationError(
            f"the KMS key {key_id} is of the kind {answer.get('KeySpec')}, expected "
            "ECC_NIST_EDWARDS25519 with the usage SIGN_VERIFY",
            setting="signing_key",
        )
    return KmsSigner(VerifierKey(name, public.public_bytes_raw()), key_id, client)


def _kms_signer(name: str, key_id: str, region: str | None) -> Signer:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        client = boto3.client("kms", region_name=region)
    except BotoCoreError as error:
        raise ConfigurationError(
            f"AWS KMS cannot be used ({error}): give the key's ARN, or set AWS_REGION",
            setting="signing_key",
        ) from error
    return kms_signer(name, key_id, client)


def _ask(call: Any, **arguments: Any) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call(**arguments)
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError(
            f"AWS KMS did not do what it was asked for the signing key ({error}): check that the key is "
            "enabled and that kms:Sign and kms:GetPublicKey are allowed"
        ) from error
