"""Owns how the parts of identity are put together from the settings, for one API process."""

from __future__ import annotations

import asyncio
import time

import msgspec

from triton.errors import ConfigurationError
from triton.events.types import TokenKeyMade
from triton.identity import throttle, token_keys
from triton.identity.asking import Pool
from triton.identity.noting import SYSTEM, Note
from triton.identity.passwords import Passwords
from triton.identity.sessions import Lifetimes, Sessions
from triton.identity.token_keys import TokenKeys
from triton.identity.tokens import LEEWAY, AccessTokens
from triton.identity.verifying import Verifier
from triton.settings import Settings


class Accounts(msgspec.Struct, frozen=True):
    """What the routes of users, keys and sessions work with."""

    pool: Pool
    note: Note
    passwords: Passwords
    sessions: Sessions
    verifier: Verifier
    #: Organizations that were seen there: none ever goes away.
    there: set[str] = msgspec.field(default_factory=set)


def access_tokens(settings: Settings) -> AccessTokens:
    """The tokens of this platform. Raises ConfigurationError for a setting that names no folder."""
    keys = TokenKeys(
        token_keys.folder_of(settings),
        settings.token_algorithm,
        lifetime=settings.access_token_ms / 1000 + LEEWAY,
    )
    return AccessTokens(keys, f"triton/{settings.namespace}", lifetime_ms=settings.access_token_ms)


def stream_keys(settings: Settings) -> TokenKeys:
    """The same keys for stream tokens, which count longer. Raises ConfigurationError as `access_tokens`."""
    folder = token_keys.folder_of(settings)
    return TokenKeys(folder, settings.token_algorithm, lifetime=settings.stream_token_ms / 1000)


async def first_token_key(settings: Settings, note: Note) -> None:
    """Makes the key of access tokens where there is none, and writes its event. Where the folder cannot be
    written this is left to the first login, which says so. Raises RedisError."""
    folder, algorithm = token_keys.folder_of(settings), settings.token_algorithm
    try:
        kid = await asyncio.to_thread(
            token_keys.make, folder, algorithm, int(time.time()), only_first=True
        )
    except ConfigurationError:
        return
    if kid:
        made = TokenKeyMade(key=kid, algorithm=algorithm, reason="there was none")
        await note(made, op=f"token-key:{kid}", by=SYSTEM, tenant="")


def accounts_of(
    settings: Settings, pool: Pool, note: Note, tokens: AccessTokens, verifier: Verifier
) -> Accounts:
    passwords = Passwords(settings.password_kib)
    sessions = Sessions(
        pool,
        note,
        passwords,
        tokens,
        Lifetimes(refresh_ms=settings.refresh_token_ms, session_ms=settings.session_ms),
        throttle.Limits(
            account=settings.login_failures,
            network=settings.login_failures_network,
            window_ms=settings.login_window_ms,
        ),
        forget=verifier.sessions.forget,
    )
    return Accounts(pool, note, passwords, sessions, verifier)
