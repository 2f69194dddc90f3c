"""Owns stream tokens: what they allow, how they are written and read. Pure.

A stream token lets who holds it follow some events for some minutes, and do nothing else. It is for browsers,
whose EventSource can send no header: it may stand in an address, so it is short-lived and narrow. It is a
JWT, signed with the keys that access tokens are signed with, behind a mark by which it is told from other
credentials; its type and audience keep the two apart. It can be used any number of
times until it expires or is taken back: an EventSource repeats its address at each reconnect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import jwt
import msgspec

from triton.identity.token_keys import TokenKey

MARK: Final = "trs_"
#: Characters of a token at most: what proxies take in an address.
MAX_LENGTH: Final = 6_000
#: Jobs and batches of one token at most.
MOST: Final = 100
TYPE: Final = "stream+jwt"
_ISSUER: Final = "triton"

#: Why a text is no token to follow by. `invalid`: not one of ours, or changed, or of another platform (all of
#: them must look alike). `expired`: it was one.
Refusal: TypeAlias = Literal["invalid", "expired"]


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be followed: events of one tenant; where something is named, only of these."""

    tenant: str
    jobs: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    #: Whether who made it may see queues.
    queues: bool = True

    @property
    def whole(self) -> bool:
        """Whether it is all that its tenant has."""
        return not (self.jobs or self.batches or self.types)


class StreamToken(msgspec.Struct, frozen=True, kw_only=True):
    """`id` names it in logs and limits; `by` is who asked for it, in which session where they logged in.
    Times in seconds since 1970."""

    id: str
    by: str
    scope: Scope
    issued_at: int
    expires_at: int
    session: str = ""

    @property
    def made_with(self) -> str:
        """What it ends with: `key:PREFIX`, `session:ID`, or empty."""
        if self.session:
            return f"session:{self.session}"
        return self.by if self.by.startswith("key:") else ""


def write(token: StreamToken, platform: str, key: TokenKey) -> str:
    """The token under a key. `platform` tells platforms apart that were given the same key."""
    claims: dict[str, Any] = {
        "iss": _ISSUER,
        "aud": _audience(platform),
        "jti": token.id,
        "sub": token.by,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "scope": msgspec.to_builtins(token.scope),
    }
    if token.session:
        claims["sid"] = token.session
    headers = {"kid": key.kid, "typ": TYPE}
    return MARK + jwt.encode(claims, key.signing, algorithm=key.algorithm, headers=headers)


def key_id(text: str) -> str | None:
    """Which key a text says it was written under; None for what is no token."""
    if not text.startswith(MARK) or len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        header = jwt.get_unverified_header(text[len(MARK) :])
    except jwt.InvalidTokenError:
        return None
    found = header.get("kid")
    return found if isinstance(found, str) and header.get("typ") == TYPE else None


def read(text: str, platform: str, key: TokenKey) -> StreamToken | Refusal:
    """The token that was written under this key, if it still counts. The key decides the algorithm."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            text[len(MARK) :],
            key.verifying,
            algorithms=[key.algorithm],
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
            session=msgspec.convert(claims.get("sid", ""), str, strict=True),
        )
    except jwt.ExpiredSignatureError:
        return "expired"
    except (jwt.InvalidTokenError, msgspec.ValidationError):
        return "invalid"


def _audience(platform: str) -> str:
    return f"stream:{platform}"
