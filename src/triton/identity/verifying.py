"""Owns telling who holds a key or token: the row in PostgreSQL, remembered for a moment, and when keys were
last used."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
import psycopg
from psycopg.rows import DictRow

from triton.errors import UnauthenticatedError, UnavailableError
from triton.identity import api_keys
from triton.identity.asking import Pool, row, rows, transaction
from triton.identity.permissions import Role, permitted
from triton.identity.principal import Principal, principal_of
from triton.identity.remembering import Remembered
from triton.identity.tokens import AccessTokens
from triton.observe.logger import get_logger

#: Seconds for which what was read is believed where PostgreSQL does not answer.
STALE: Final = 60.0
#: Seconds between two writes of when keys were last used.
USED_EVERY: Final = 30.0
_log: Final = get_logger("triton.identity")


class _Key(msgspec.Struct, frozen=True):
    sha256: bytes
    principal: Principal
    #: Why it does not count any more; empty where it does.
    over: str


class _Session(msgspec.Struct, frozen=True):
    user: str
    role: Role
    tenant: str
    over: bool


class Verifier:
    """Knows whose a key or token is, for one process. What was revoked counts for `fresh` seconds at most."""

    def __init__(self, pool: Pool, tokens: AccessTokens, *, fresh: float) -> None:
        self._pool = pool
        self._tokens = tokens
        self.keys: Remembered[_Key] = Remembered(self._find, fresh=fresh, stale=STALE)
        self.sessions: Remembered[_Session] = Remembered(self._session, fresh=fresh, stale=STALE)
        self._used: dict[str, datetime] = {}

    async def principal(self, credential: str) -> Principal:
        """Who holds an API key or access token. Raises UnauthenticatedError, UnavailableError."""
        if credential.startswith(api_keys.MARK):
            return await self.key(credential)
        return await self.token(credential)

    async def token(self, text: str) -> Principal:
        """Whose access token it is, with what they may now. Raises as `principal`."""
        claims = self._tokens.read(text)
        known = await self.sessions.get(claims.session)
        if known is None or known.over or known.user != claims.user:
            raise UnauthenticatedError("the session of this access token has ended: log in")
        return principal_of(
            f"user:{known.user}",
            known.role,
            known.tenant,
            expires_at_ms=claims.expires_at_ms,
            user=known.user,
            session=claims.session,
        )

    async def key(self, text: str) -> Principal:
        """Who holds this key. Raises UnauthenticatedError, which says what is wrong with it only to who holds
        it; UnavailableError."""
        prefix = api_keys.prefix_of(text)
        found = await self.keys.get(prefix) if prefix else None
        if found is None or not hmac.compare_digest(found.sha256, api_keys.digest(text)):
            raise UnauthenticatedError(
                "this API key is not known: make one with `triton keys create`"
            )
        if over := _over(found):
            raise UnauthenticatedError(f"the API key {api_keys.MARK}{prefix} {over}")
        self._used[prefix] = datetime.now(UTC)
        return found.principal

    async def counts(self, source: str) -> bool:
        """Whether a key (`key:PREFIX`) or session (`session:ID`) still lets somebody in. Raises
        UnavailableError."""
        kind, _, name = source.partition(":")
        if kind == "session":
            session = await self.sessions.get(name)
            return session is not None and not session.over
        key = await self.keys.get(name)
        return key is not None and not _over(key)

    async def run(self) -> None:
        """Write down now and then when keys were last used, until cancelled."""
        try:
            while True:
                await asyncio.sleep(USED_EVERY)
                await self.write_used()
        finally:
            with contextlib.suppress(UnavailableError):
                await self.write_used()

    async def write_used(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with transaction(self._pool) as connection:
                await rows(connection, "key_used", prefixes=list(used), times=list(used.values()))
        except (psycopg.Error, UnavailableError) as error:
            self._used = used | self._used
            _log.warning("key_uses_not_written", reason=str(error))

    async def _find(self, prefix: str) -> _Key | None:
        async with transaction(self._pool) as connection:
            found = await row(connection, "key_find", prefix=prefix)
        return _key_of(found) if found else None

    async def _session(self, session: str) -> _Session | None:
        async with transaction(self._pool) as connection:
            found = await row(connection, "session_find", session=session)
        if found is None:
            return None
        over = found["ended"] or found["disabled"]
        return _Session(found["user"], Role(found["role"]), found["tenant"], over)


def _over(key: _Key) -> str:
    """Why it does not count now; empty where it does."""
    ends = key.principal.expires_at_ms
    return key.over or ("has expired" if ends and ends <= time.time() * 1000 else "")


def _key_of(found: DictRow) -> _Key:
    expires = found["expires_at"]
    principal = principal_of(
        f"key:{found['prefix']}",
        Role(found["role"]),
        found["tenant"],
        scopes=tuple(found["scopes"]),
        expires_at_ms=int(expires.timestamp() * 1000) if expires else None,
        user=found["owner"],
    )
    if found["owner"]:
        # Its owner's standing may have changed since it was made.
        bound = permitted(Role(found["owner_role"]), found["owner_tenant"])
        principal = msgspec.structs.replace(principal, permissions=principal.permissions & bound)
    over = "was revoked" if found["revoked"] else "belongs to nobody who may use it any more"
    if found["owner"] and found["owner_tenant"] not in ("", found["tenant"]):
        return _Key(bytes(found["sha256"]), principal, "belongs to another tenant than its owner")
    return _Key(
        bytes(found["sha256"]), principal, over if found["revoked"] or found["disabled"] else ""
    )
