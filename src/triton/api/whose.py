"""Owns whose rows PostgreSQL shows to the request that this task answers.

What a request may see is decided by who asks. This is the lock behind it: whatever is read on the way, also
deep in the readers of the log that all tenants share, is read in the name of that tenant.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

_TENANT: Final[ContextVar[str | None]] = ContextVar("triton_whose", default=None)


def answer_as(tenant: str | None) -> None:
    """From now on this task reads the rows of `tenant`; None is all tenants, for who is of the platform."""
    _TENANT.set(tenant or None)


def narrowed(tenant: str | None) -> str | None:
    """The tenant whose rows are read where those of `tenant` are wanted; None is all, as far as they may be
    seen. What is wanted of another tenant stays that: the API decided it."""
    return _TENANT.get() if tenant is None else tenant
