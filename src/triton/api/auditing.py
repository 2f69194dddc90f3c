"""Owns how the API answers auditors: who may ask, and that each question is an event of the log."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from triton.api.request_id import current_request
from triton.api.services import Services
from triton.audit.noting import note
from triton.errors import ForbiddenError
from triton.events.types import AuditRead
from triton.history import History
from triton.identity.principal import Principal

T = TypeVar("T")


async def audited(
    services: Services,
    identity: Principal,
    what: str,
    asked: Mapping[str, str | None],
    reason: str,
    question: Callable[[History], Awaitable[T]],
) -> T:
    """The answer to a question, after a note of it is in the log. Raises ForbiddenError."""
    check(services)
    answer = await question(services.log(0))
    read = AuditRead(
        what=what,
        filter={name: value for name, value in asked.items() if value is not None},
        reason=reason,
    )
    await note(
        services.redis,
        services.scripts,
        services.settings.namespace,
        read,
        op=uuid.uuid4().hex,
        by=identity.by,
        tenant=identity.tenant,
        correlation=current_request(),
    )
    return answer


def check(services: Services) -> None:
    """Raises ForbiddenError. Without authentication everybody is an auditor, or nobody is."""
    if not services.settings.audit_api:
        raise ForbiddenError(
            "the audit is not answered over this API (TRITON_AUDIT_API is off): run `triton audit`"
        )
