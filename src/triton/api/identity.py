"""Owns who a request comes from. The only place that knows: authentication will answer here."""

from __future__ import annotations

from typing import Final, NamedTuple

from fastapi import Request

from triton.submit import DEFAULT_TENANT

ANONYMOUS: Final = "user:anonymous"


class Identity(NamedTuple):
    """`by` is the actor of the events that the request causes: `user:NAME` or `key:ID`."""

    by: str
    tenant: str


async def identify(_: Request) -> Identity:
    """The identity of a request. Without authentication everyone is the same one."""
    return Identity(by=ANONYMOUS, tenant=DEFAULT_TENANT)
