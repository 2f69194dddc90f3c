"""Owns how often a password may be wrong: counted for the account and for the network, by all processes.

A try is counted before the password is looked at, and forgiven when it was right. What nobody is called
counts as what somebody is, so the limit tells nobody which accounts there are.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from triton.identity.asking import Connection, rows


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Wrong passwords within `window_ms`."""

    account: int
    network: int
    window_ms: int


class Blocked(NamedTuple):
    """No password is looked at for `seconds`; `began` says that it was this try that began it."""

    of: Literal["account", "network"]
    seconds: int
    began: bool


async def count(connection: Connection, limits: Limits, login: str, network: str) -> Blocked | None:
    """Count a try. The connection's transaction ends before the password is looked at."""
    account, place = _digest("account", login), _digest("network", network)
    subjects = [account, place] if network else [account]
    found = await rows(connection, "login_counted", subjects=subjects, window_ms=limits.window_ms)
    by = {bytes(row["subject"]): row for row in found}
    wanted: tuple[tuple[Literal["account", "network"], bytes, int], ...] = (
        ("account", account, limits.account),
        ("network", place, limits.network),
    )
    for of, subject, most in wanted:
        one = by.get(subject)
        if one is not None and one["failures"] > most:
            return Blocked(of, max(1, one["seconds"]), one["failures"] == most + 1)
    return None


async def forgive(connection: Connection, login: str, network: str) -> None:
    """The password was right."""
    await rows(
        connection,
        "login_forgiven",
        account=_digest("account", login),
        network=_digest("network", network),
    )


def _digest(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{name}".encode(errors="replace")).digest()
