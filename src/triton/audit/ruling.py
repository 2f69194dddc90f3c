"""Owns placing and lifting holds and setting retention: a row in PostgreSQL, and its event in the log.

A hold holds from its row on, and is lifted only after its event is written: where something fails between the
two, what is held stays held, and the same call again does the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from triton.audit.rules import Hold, Retention, Scope
from triton.audit.statements import sql
from triton.errors import ConflictError, NotFoundError, ValidationError
from triton.events.types import AdministrativeData, HoldLifted, HoldPlaced, RetentionSet
from triton.postgres import Connection

#: Writes an administrative event: data, operation id, tenant. Answers its position.
Note: TypeAlias = Callable[[AdministrativeData, str, str], Awaitable[int]]


async def place(
    connection: Connection, note: Note, hold: str, scope: Scope, value: str, *, by: str, reason: str
) -> int:
    """Place a hold under a name; again is no error. Answers the position of its event.

    Raises ConflictError where the name is of another hold, or of one that was lifted.
    """
    if not hold or not value:
        raise ValidationError("a hold has a name, and is on a tenant, a queue or a job")
    async with connection.transaction():
        await connection.execute(sql("rules_lock"))
        values = {"hold": hold, "scope": scope, "value": value, "reason": reason, "by": by}
        cursor = await connection.execute(sql("hold_place"), values)
        found = await cursor.fetchone()
        if found != (scope, value, False):
            raise ConflictError(
                f"there is a hold {hold!r} already, or there was one: give this one another name",
                hold=hold,
            )
    tenant = value if scope == "tenant" else ""
    event = HoldPlaced(hold=hold, scope=scope, value=value, reason=reason)
    return await note(event, f"hold:{hold}", tenant)


async def lift(connection: Connection, note: Note, hold: str, *, by: str, reason: str) -> int:
    """Lift a hold. Answers the position of its event. Raises NotFoundError where nothing is held by it."""
    cursor = await connection.execute(sql("hold_find"), {"hold": hold})
    found = await cursor.fetchone()
    if found is None:
        raise NotFoundError(f"there is no hold {hold!r}, or it was lifted before", hold=hold)
    scope, value = found
    event = HoldLifted(hold=hold, scope=scope, value=value, reason=reason)
    position = await note(event, f"lift:{hold}", value if scope == "tenant" else "")
    await connection.execute(sql("hold_lift"), {"hold": hold, "by": by, "reason": reason})
    return position


async def holds(connection: Connection, *, lifted: bool = False) -> list[Hold]:
    """The holds, oldest first; with `lifted` also those that were lifted."""
    cursor = await connection.execute(sql("holds"), {"lifted": lifted})
    return [Hold(*row) for row in await cursor.fetchall()]


async def retain(
    connection: Connection, note: Note, rule: Retention, *, op: str, by: str, reason: str
) -> int:
    """Say how long events are kept. Answers the position of its event."""
    if rule.days < 0:
        raise ValidationError(f"{rule.days} days are none: give 1 or more, or 0 for ever")
    values = {"tenant": rule.tenant, "queue": rule.queue, "days": rule.days}
    async with connection.transaction():
        await connection.execute(sql("rules_lock"))
        cursor = await connection.execute(
            sql("retention_set"), {**values, "by": by, "reason": reason}
        )
        row = await cursor.fetchone()
        before = row[0] if row else -1
        # In the transaction: a rule that is not in the log is none.
        event = RetentionSet(
            tenant=rule.tenant, queue=rule.queue, days=rule.days, before=before, reason=reason
        )
        return await note(event, op, rule.tenant)


async def retention(connection: Connection) -> list[Retention]:
    """What was said of how long events are kept."""
    cursor = await connection.execute(sql("retention"))
    return [Retention(*row) for row in await cursor.fetchall()]
