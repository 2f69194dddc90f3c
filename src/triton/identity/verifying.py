"""Owns telling who holds a key: the row in PostgreSQL, remembered for a moment, and when it was last used."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from triton.errors import UnauthenticatedError, UnavailableError
from triton.identity import api_keys
from triton.identity.permissions import Role, permitted
from triton.identity.principal import Principal, principal_of
from triton.identity.remembering import Remembered
from triton.identity.statements import sql

#: Seconds for which what was read is believed where PostgreSQL does not answer.
STALE: Final = 60.0
#: Seconds between two writes of when keys were last used.
USED_EVERY: Final = 30.0
#: Seconds that a request waits for a connection.
_WAIT: Final = 2.0

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]
_log: Final = structlog.get_logger("triton.identity")


class _Key(msgspec.Struct, frozen=True):
    sha256: bytes
    principal: Principal
    #: Why it does not count any more; empty where it does.
    over: str


class Verifier:
    """Knows whose a key is, for one process. A key that was revoked counts for `fresh` seconds at most."""

    def __init__(self, pool: Pool, *, fresh: float) -> None:
        self._pool = pool
        self.keys: Remembered[_Key] = Remembered(self._find, fresh=fresh, stale=STALE)
        self._used: dict[str, datetime] = {}

    async def key(self, text: str) -> Principal:
        """Who holds this key. Raises UnauthenticatedError, which says what is wrong with it only to who holds
        it; UnavailableError."""
        prefix = api_keys.prefix_of(text)
        found = await self.keys.get(prefix) if prefix else None
        if found is None or not hmac.compare_digest(found.sha256, api_keys.digest(text)):
            raise UnauthenticatedError(
                "this API key is not known: make one with `triton keys create`"
            )
        ends = found.principal.expires_at_ms
        over = found.over or ("has expired" if ends and ends <= time.time() * 1000 else "")
        if over:
            raise UnauthenticatedError(f"the API key {api_keys.MARK}{prefix} {over}")
        self._used[prefix] = datetime.now(UTC)
        return found.principal

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
        values = {"prefixes": list(used), "times": list(used.values())}
        try:
            async with self._pool.connection(timeout=_WAIT) as connection:
                await connection.execute(sql("key_used"), values)
        except (psycopg.Error, PoolTimeout) as error:
            self._used = used | self._used
            _log.warning("when keys were used is not written", reason=str(error))

    async def _find(self, prefix: str) -> _Key | None:
        rows = await self.rows("key_find", {"prefix": prefix})
        return _key_of(rows[0]) if rows else None

    async def rows(self, statement: str, values: dict[str, Any]) -> list[DictRow]:
        """What a statement answers. Raises UnavailableError."""
        try:
            async with self._pool.connection(timeout=_WAIT) as connection:
                return await (await connection.execute(sql(statement), values)).fetchall()
        except psycopg.errors.UndefinedTable as error:
            raise UnavailableError(
                "PostgreSQL has no tables of identities yet: run `triton migrate up`"
            ) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise UnavailableError(
                "PostgreSQL, which knows the API keys, does not answer; try again"
            ) from error


def _key_of(row: DictRow) -> _Key:
    expires = row["expires_at"]
    principal = principal_of(
        f"key:{row['prefix']}",
        Role(row["role"]),
        row["tenant"],
        scopes=tuple(row["scopes"]),
        expires_at_ms=int(expires.timestamp() * 1000) if expires else None,
        user=row["owner"],
    )
    if row["owner"]:
        # Its owner's standing may have changed since it was made.
        bound = permitted(Role(row["owner_role"]), row["owner_tenant"])
        principal = msgspec.structs.replace(principal, permissions=principal.permissions & bound)
    over = "was revoked" if row["revoked"] else "belongs to nobody who may use it any more"
    if row["owner"] and row["owner_tenant"] not in ("", row["tenant"]):
        return _Key(bytes(row["sha256"]), principal, "belongs to another tenant than its owner")
    return _Key(bytes(row["sha256"]), principal, over if row["revoked"] or row["disabled"] else "")
