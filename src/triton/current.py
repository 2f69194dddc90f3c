"""Owns which job the calling code runs for: in an actor's thread, or in a coroutine of one."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from triton.broker.proxy import JobProxy

current_proxy: Final[ContextVar[JobProxy | None]] = ContextVar("triton_current_proxy", default=None)
