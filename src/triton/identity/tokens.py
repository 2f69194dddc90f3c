"""Owns access tokens: JWTs (RFC 9068's form) that say who and which session, and nothing of what they may.

What a person may is looked up (and remembered for seconds), so a role that changed counts at once and not
when the token expires.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

import jwt
import msgspec

from triton.errors import UnauthenticatedError
from triton.identity.token_keys import TokenKeys

TYPE: Final = "at+jwt"
AUDIENCE: Final = "triton"
#: Seconds by which the clocks of two API processes may differ.
LEEWAY: Final = 10
#: Characters of a token at most.
MOST: Final = 4096
_REQUIRED: Final = ("exp", "iat", "nbf", "iss", "aud", "sub", "sid", "jti")


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    user: str
    session: str
    expires_at_ms: int


class AccessTokens:
    """Makes and reads the tokens of one platform; `issuer` names it, so that another's do not count here."""

    def __init__(
        self,
        keys: TokenKeys,
        issuer: str,
        *,
        lifetime_ms: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lifetime_ms = lifetime_ms
        self._keys = keys
        self._issuer = issuer
        self._clock = clock

    def issue(self, user: str, session: str) -> str:
        """Raises ConfigurationError where there is no key."""
        key = self._keys.signing()
        now = self._clock()
        return jwt.encode(
            {
                "iss": self._issuer,
                "aud": AUDIENCE,
                "sub": user,
                "sid": session,
                "iat": int(now),
                "nbf": int(now),
                "exp": int(now + self.lifetime_ms / 1000),
                "jti": secrets.token_urlsafe(12),
            },
            key.signing,
            algorithm=key.algorithm,
            headers={"kid": key.kid, "typ": TYPE},
        )

    def read(self, token: str) -> Claims:
        """Raises UnauthenticatedError. The key decides the algorithm, never the token."""
        if len(token) > MOST:
            raise _invalid()
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.verifying(header.get("kid"))
            if key is None or header.get("typ") != TYPE or header.get("alg") != key.algorithm:
                raise _invalid()
            found = jwt.decode(
                token,
                key.verifying,
                algorithms=[key.algorithm],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": list(_REQUIRED), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise UnauthenticatedError("the access token has expired: refresh it") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _invalid() from error
        user, session, expires = found["sub"], found["sid"], found["exp"]
        if not (isinstance(user, str) and isinstance(session, str)):
            raise _invalid()
        return Claims(user, session, int(expires) * 1000)


def _invalid() -> UnauthenticatedError:
    return UnauthenticatedError("the access token does not count here: log in")
