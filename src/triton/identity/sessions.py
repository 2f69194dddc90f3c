"""Owns sessions: login, refresh, logout. Each is in PostgreSQL, and each act an event of the log.

A refresh token is used once and brings the next. One that comes a second time was copied, by whoever came
first or second: then the session ends, and both have to log in.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import uuid_utils

from triton.errors import ForbiddenError, TooManyLoginsError, UnauthenticatedError
from triton.events.types import LoginAccepted, LoginBlocked, LoginRefused, SessionEnded
from triton.identity import throttle
from triton.identity.asking import Connection, Pool, row, rows, transaction
from triton.identity.networks import network_of
from triton.identity.noting import SYSTEM, Note
from triton.identity.passwords import Passwords
from triton.identity.tokens import AccessTokens

#: Seconds before a refusal is answered, at least: an account with an old, slower hash takes no longer than
#: one that does not exist.
FLOOR: Final = 0.4
_REFRESH: Final = re.compile(r"trr_[A-Za-z0-9_-]{43}", re.ASCII)
_WRONG: Final = "login or password is wrong, or the account is disabled"
_OVER: Final = "the refresh token does not count any more: log in"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What a login and a refresh bring."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105
    #: Seconds for which the access token counts, and the refresh token.
    expires_in: int
    refresh_expires_in: int

    def __repr__(self) -> str:
        return "Pair(...)"


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    refresh_ms: int
    session_ms: int


class Sessions:
    """Everybody's sessions, for one process."""

    def __init__(
        self,
        pool: Pool,
        note: Note,
        passwords: Passwords,
        tokens: AccessTokens,
        lifetimes: Lifetimes,
        limits: throttle.Limits,
        *,
        forget: Callable[[str], None],
        floor: float = FLOOR,
    ) -> None:
        """`forget` is told each session that ended: what this process remembers of it counts no more."""
        self._pool = pool
        self._note = note
        self._passwords = passwords
        self._tokens = tokens
        self._lifetimes = lifetimes
        self._limits = limits
        self._forget = forget
        self._floor = floor

    async def login(self, login: str, password: str, address: str) -> Pair:
        """Raises UnauthenticatedError, the same for all reasons; TooManyLoginsError, UnavailableError."""
        begun = asyncio.get_running_loop().time()
        login, network = login.strip().lower(), network_of(address)
        async with transaction(self._pool) as connection:
            blocked = await throttle.count(connection, self._limits, login, network)
            known = await row(connection, "login_find", login=login)
        user, tenant = (known["id"], known["tenant"]) if known else ("", "")
        if blocked is not None:
            await self._blocked(blocked, user, tenant, network)
        checked = await self._passwords.check(known["password_hash"] if known else None, password)
        if known is None or not checked.right or known["disabled"]:
            why = "unknown" if known is None else "password" if not checked.right else "disabled"
            refused = LoginRefused(why=why, user=user, network=network)
            await self._note(refused, op=_op("login"), by=SYSTEM, tenant=tenant)
            passed = asyncio.get_running_loop().time() - begun
            await asyncio.sleep(max(0.0, self._floor - passed))
            raise UnauthenticatedError(_WRONG)
        session = str(uuid_utils.uuid7())
        async with transaction(self._pool) as connection:
            done = await row(
                connection,
                "login_done",
                user=user,
                checked=known["password_hash"],
                hash=checked.upgraded,
            )
            if done is not None:
                await throttle.forgive(connection, login, network)
                await rows(connection, "session_add", session=session, user=user)
                await rows(connection, "sessions_forget", session_ms=self._lifetimes.session_ms)
                pair = await self._pair(connection, user, session)
                # Before the commit: a login that is not in the log is none.
                accepted = LoginAccepted(user=user, session=session, network=network)
                await self._note(accepted, op=f"login:{session}", by=f"user:{user}", tenant=tenant)
                return pair
        # A new password ends all sessions, and must not meet one that began with the old one a moment later.
        return await self.login(login, password, address)

    async def confirm(self, user: Mapping[str, Any], password: str, address: str) -> None:
        """That who is logged in knows the password. Raises ForbiddenError, TooManyLoginsError."""
        login, network = user["login"], network_of(address)
        async with transaction(self._pool) as connection:
            blocked = await throttle.count(connection, self._limits, login, network)
        if blocked is not None:
            await self._blocked(blocked, user["id"], user["tenant"], network)
        if not (await self._passwords.check(user["password_hash"], password)).right:
            refused = LoginRefused(why="password", user=user["id"], network=network)
            await self._note(refused, op=_op("login"), by=SYSTEM, tenant=user["tenant"])
            raise ForbiddenError("the current password is another one")
        async with transaction(self._pool) as connection:
            await throttle.forgive(connection, login, network)

    async def refresh(self, token: str, address: str) -> Pair:
        """The next pair. Raises UnauthenticatedError, UnavailableError."""
        if _REFRESH.fullmatch(token) is None:
            raise UnauthenticatedError(_OVER)
        sha256 = _digest(token)
        async with transaction(self._pool) as connection:
            used = await row(connection, "refresh_use", sha256=sha256)
            if used is not None:
                return await self._next(connection, used["session"], expired=used["expired"])
            copied = await row(connection, "refresh_find", sha256=sha256)
        if copied is not None:
            await self.end(copied["session"], "reuse", by=SYSTEM, address=address)
        raise UnauthenticatedError(_OVER)

    async def end(self, session: str, why: str, *, by: str, address: str = "") -> None:
        """No token of a session counts any more; again is no error. First the row, then the event: what is
        to end ends also where nobody can write down that it did. Raises UnavailableError, RedisError."""
        try:
            async with transaction(self._pool) as connection:
                known = await row(connection, "session_find", session=session)
                await rows(connection, "session_end", session=session, why=why)
        finally:
            self._forget(session)
        if known is not None and not known["ended"]:
            await self._ended(known["user"], known["tenant"], session, why, by, address)

    async def end_all(
        self, connection: Connection, user: str, tenant: str, why: str, *, by: str, but: str = ""
    ) -> list[str]:
        """All sessions of a user but one, in the connection's transaction; answers which."""
        found = await rows(connection, "sessions_end", user=user, why=why, but=but)
        for one in found:
            await self._ended(user, tenant, one["id"], why, by, "")
        return [one["id"] for one in found]

    async def _next(self, connection: Connection, session: str, *, expired: bool) -> Pair:
        known = await row(connection, "session_find", session=session)
        if expired or known is None or known["ended"] or known["disabled"]:
            raise UnauthenticatedError(_OVER)
        old = await row(
            connection, "session_old", session=session, session_ms=self._lifetimes.session_ms
        )
        if old is not None:
            raise UnauthenticatedError("the session is too old to be refreshed: log in")
        return await self._pair(connection, known["user"], session)

    async def _pair(self, connection: Connection, user: str, session: str) -> Pair:
        token = f"trr_{secrets.token_urlsafe(32)}"
        lifetime = self._lifetimes.refresh_ms
        await rows(
            connection,
            "refresh_add",
            sha256=_digest(token),
            session=session,
            lifetime_ms=lifetime,
        )
        return Pair(
            access_token=await asyncio.to_thread(self._tokens.issue, user, session),
            refresh_token=token,
            expires_in=self._tokens.lifetime_ms // 1000,
            refresh_expires_in=lifetime // 1000,
        )

    async def _blocked(
        self, blocked: throttle.Blocked, user: str, tenant: str, network: str
    ) -> None:
        if blocked.began:
            event = LoginBlocked(of=blocked.of, seconds=blocked.seconds, user=user, network=network)
            await self._note(event, op=_op("blocked"), by=SYSTEM, tenant=tenant)
        raise TooManyLoginsError(
            f"too many wrong passwords: try again in {blocked.seconds} seconds",
            retry_after=blocked.seconds,
        )

    async def _ended(
        self, user: str, tenant: str, session: str, why: str, by: str, address: str
    ) -> None:
        event = SessionEnded(user=user, session=session, why=why, network=network_of(address))
        await self._note(event, op=f"ended:{session}", by=by, tenant=tenant)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _op(what: str) -> str:
    return f"{what}:{uuid_utils.uuid7()}"
