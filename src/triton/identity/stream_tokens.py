"""Owns stream tokens: what they allow, how they are written and read. Pure.

A stream token lets who holds it follow some events for some minutes, and do nothing else. It is for browsers,
whose EventSource can send no header: it may stand in an address, so it is short-lived and narrow. It is a
JWT (HMAC-SHA-256) behind a mark by which it is told from other credentials. It can be used any number of
times until it expires: an EventSource repeats its address at each reconnect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import jwt
import msgspec

MARK: Final = "trs_"
#: Characters of a token at most: what proxies take in an address.
MAX_LENGTH: Final = 6_000
#: Jobs and batches of one token at most.
MOST: Final = 100
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "triton"
_NUMBER: Final = re.compile(r"[0-9]{1,9}")

#: Why a text is no token to follow by. `invalid`: not one of ours, or changed, or of another platform (all of
#: them must look alike). `expired`: it was one.
Refusal: TypeAlias = Literal["invalid", "expired"]


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be followed: events of one tenant; where something is named, only of these."""

    tenant: str
    jobs: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is all that its tenant has."""
        return not (self.jobs or self.batches or self.types)


class StreamToken(msgspec.Struct, frozen=True, kw_only=True):
    """`id` names it in logs and limits; `by` is who asked for it. Times in seconds since 1970."""

    id: str
    by: str
    scope: Scope
    issued_at: int
    expires_at: int


def write(token: StreamToken, platform: str, key_id: int, key: bytes) -> str:
    """The token under a key of 32 bytes. `platform` tells platforms apart that were given the same key."""
    claims = {
        "iss": _ISSUER,
        "aud": _audience(platform),
        "jti": token.id,
        "sub": token.by,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "scope": msgspec.to_builtins(token.scope),
    }
    return MARK + jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": str(key_id)})


def key_id(text: str) -> int | None:
    """Which key a text says it was written under; None for what is no token."""
    if not text.startswith(MARK) or len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        found = jwt.get_unverified_header(text[len(MARK) :]).get("kid")
    except jwt.InvalidTokenError:
        return None
    if not isinstance(found, str) or not _NUMBER.fullmatch(found):
        return None
    return int(found)


def read(text: str, platform: str, key: bytes) -> StreamToken | Refusal:
    """The token that was written under this key, if it still counts."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            text[len(MARK) :],
            key,
            algorithms=[_ALGORITHM],
            audience=_audience(platform),
            issuer=_ISSUER,
            options={"require": ["exp", "iat", "jti", "sub", "aud", "iss"], "strict_aud": True},
        )
        return StreamToken(
            id=claims["jti"],
            by=claims["sub"],
            scope=msgspec.convert(claims.get("scope"), Scope, strict=True),
            issued_at=claims["iat"],
            expires_at=claims["exp"],
        )
    except jwt.ExpiredSignatureError:
        return "expired"
    except (jwt.InvalidTokenError, msgspec.ValidationError):
        return "invalid"


def _audience(platform: str) -> str:
    return f"stream:{platform}"
