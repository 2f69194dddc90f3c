"""Owns the keys that sign access tokens: a folder with one file for each, which every API process reads.

    <folder>/<seconds since 1970>-<8 hex digits>.EdDSA     or .RS256 (PKCS #8 PEM), .HS256 (32 bytes)

The name without its ending is the key's id (`kid`), and it says when the key was made. A new key is used for
signing a minute later, when every process has read it; the ones before go on verifying until nothing that
they signed can count any more. So a rotation is one new file.
"""

from __future__ import annotations

import fcntl
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from triton import disk
from triton.errors import ConfigurationError
from triton.setting_urls import path_of
from triton.settings import Settings

#: Seconds after which a process reads the folder again, and after which a new key signs.
REREAD: Final = 20.0
SETTLED: Final = 60
_NAME: Final = re.compile(r"([0-9]{1,12})-([0-9a-f]{8})\.(EdDSA|RS256|HS256)", re.ASCII)
_SECRET: Final = 32


class TokenKey(msgspec.Struct, frozen=True):
    """One key. Each verifies its own algorithm and no other."""

    kid: str
    made: int
    algorithm: str
    signing: Any
    verifying: Any

    def __repr__(self) -> str:
        return f"TokenKey({self.kid}, {self.algorithm})"


class TokenKeys:
    """The keys of one folder, for one process. `lifetime` are the seconds for which a token counts."""

    def __init__(
        self,
        folder: Path,
        algorithm: str,
        *,
        lifetime: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._algorithm = algorithm
        self._lifetime = lifetime
        self._clock = clock
        self._keys: list[TokenKey] = []
        self._read_at = -REREAD

    def signing(self) -> TokenKey:
        """The newest key that all processes know; where there is none one is made.

        Raises ConfigurationError."""
        keys = self._known()
        if not keys:
            make(self.folder, self._algorithm, int(self._clock()), only_first=True)
            keys = self._read()
        settled = [key for key in keys if key.made + SETTLED <= self._clock()]
        return settled[-1] if settled else keys[0]

    def verifying(self, kid: object) -> TokenKey | None:
        """The key with this id, as long as what it signed may count."""
        if not isinstance(kid, str):
            return None
        for keys in (self._known, self._read_again):
            found = keys()
            for at, key in enumerate(found):
                if key.kid == kid:
                    return None if self._over(found[at + 1 :]) else key
        return None

    def published(self) -> list[dict[str, Any]]:
        """The public keys as JSON Web Keys (RFC 7517), of those that verify; a secret is none of them."""
        keys = self._known()
        return [
            _jwk(key)
            for at, key in enumerate(keys)
            if key.algorithm in _KINDS and not self._over(keys[at + 1 :])
        ]

    def _over(self, later: list[TokenKey]) -> bool:
        """Whether a key was followed so long ago that its last token has expired."""
        return any(key.made + 2 * SETTLED + self._lifetime < self._clock() for key in later)

    def _known(self) -> list[TokenKey]:
        return self._keys if time.monotonic() - self._read_at < REREAD else self._read()

    def _read_again(self) -> list[TokenKey]:
        """For an id that is not known: a key may be seconds old. Made-up ids cause a read a second."""
        return self._read() if time.monotonic() - self._read_at > 1.0 else []

    def _read(self) -> list[TokenKey]:
        self._read_at = time.monotonic()
        self._keys = read(self.folder)
        return self._keys


def folder_of(settings: Settings) -> Path:
    """Raises ConfigurationError for a setting that names no folder."""
    if not settings.token_keys:
        return Path(settings.data).absolute() / "token-keys"
    folder = path_of(settings.token_keys)
    if folder is None:
        raise ConfigurationError(
            f"TRITON_TOKEN_KEYS is {settings.token_keys!r}: expected file:///folder",
            setting="token_keys",
        )
    return folder


def read(folder: Path) -> list[TokenKey]:
    """The keys of a folder, the oldest first. Raises ConfigurationError for one that cannot be read."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        try:
            signing, verifying = _loaded(name[3], path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read as a key for access tokens ({type(error).__name__}): put it back "
                "from its backup, or remove it; then who is logged in by it logs in again",
                setting="token_keys",
            ) from error
        found.append(TokenKey(f"{name[1]}-{name[2]}", int(name[1]), name[3], signing, verifying))
    return sorted(found, key=lambda key: (key.made, key.kid))


def make(folder: Path, algorithm: str, now: int, *, only_first: bool = False) -> str:
    """A new key's id; with `only_first` no key and "" where there is one already.

    Raises ConfigurationError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if only_first and read(folder):
                return ""
            kid = f"{now}-{secrets.token_hex(4)}"
            disk.create_once(folder / f"{kid}.{algorithm}", _new(algorithm))
    except OSError as error:
        raise ConfigurationError(
            f"no key for access tokens can be made in {folder} ({error.strerror}): let TRITON_TOKEN_KEYS "
            "name a folder that the API may write, or put a key there",
            setting="token_keys",
        ) from error
    return kid


def _new(algorithm: str) -> bytes:
    if algorithm == "HS256":
        return secrets.token_bytes(_SECRET)
    private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


_KINDS: Final[Mapping[str, type]] = {
    "EdDSA": ed25519.Ed25519PrivateKey,
    "RS256": rsa.RSAPrivateKey,
}


def _jwk(key: TokenKey) -> dict[str, Any]:
    form = jwt.get_algorithm_by_name(key.algorithm)
    found = type(form).to_jwk(key.verifying, as_dict=True)
    public = {name: value for name, value in found.items() if name != "key_ops"}
    return {**public, "kid": key.kid, "alg": key.algorithm, "use": "sig"}


def _loaded(algorithm: str, content: bytes) -> tuple[Any, Any]:
    """What signs and what verifies. Raises ValueError for a key of another algorithm, or a short secret."""
    if algorithm == "HS256":
        if len(content) < _SECRET:
            raise ValueError("too short")
        return content, content
    private = serialization.load_pem_private_key(content, password=None)
    if not isinstance(private, _KINDS[algorithm]):
        raise ValueError("a key of another algorithm")  # noqa: TRY004
    return private, private.public_key()
