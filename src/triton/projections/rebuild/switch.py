"""Owns putting a shadow in the live projection's place, and back: all of it in one transaction.

The live checkpoints are held first, so that nobody projects meanwhile; the shadow takes in what is missing;
then tables and checkpoints change places. A store without transactions is told apart by what it says of its
own tables: there the start is recorded before, and a switch that was begun is only ever continued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import psycopg
from psycopg import sql as text

from triton.errors import ConflictError, LogForkedError, UnavailableError
from triton.events.log import Checkpoint
from triton.postgres import Connection
from triton.projections.projector import Source
from triton.projections.rebuild.exchange import exchange
from triton.projections.rebuild.fill import project
from triton.projections.rebuild.shadow import (
    Shadow,
    State,
    become,
    find,
    lock,
    parked,
    positions,
)
from triton.projections.rebuild.target import Target

#: Milliseconds to wait for the projectors' batches that are under way, and for tables that somebody reads:
#: less than what PostgreSQL takes to call it a deadlock and to end one of the two.
_ROWS_MS: Final = 15_000
_TABLES_MS: Final = 800
#: So often a switch is tried while somebody reads.
_ATTEMPTS: Final = 30
_PAUSE: Final = 0.25


class Way(msgspec.Struct, frozen=True):
    """Forth or back: the state before, while it is under way in a store without transactions, and after."""

    begin: State
    under_way: State
    end: State


FORTH: Final = Way("ready", "cutting", "previous")
BACK: Final = Way("previous", "returning", "ready")


async def switch(
    connection: Connection,
    source: Source,
    epochs: Mapping[int, str],
    target: Target,
    way: Way,
    *,
    accept_parked: bool = False,
) -> dict[int, int]:
    """Switch; answers the position of each partition from which the live one goes on.

    Raises ConflictError for a shadow that is not in the right state, or has other tables or more parked
    events than the live one; LogForkedError; UnavailableError where tables stay in use.
    """
    switching = _Switching(connection, source, epochs, target, way, accept_parked)
    if not target.transactional:
        async with connection.transaction():
            await switching.begin()
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_PAUSE)
        try:
            async with connection.transaction():
                return await switching.run()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    raise UnavailableError(
        f"the tables of {target.name} stayed in use for {_ATTEMPTS} attempts: look into pg_stat_activity "
        "for a long "
        "query or transaction, and try again"
    )


class _Switching:
    def __init__(
        self,
        connection: Connection,
        source: Source,
        epochs: Mapping[int, str],
        target: Target,
        way: Way,
        accept_parked: bool,
    ) -> None:
        self._connection = connection
        self._source = source
        self._epochs = epochs
        self._target = target
        self._way = way
        self._accept_parked = accept_parked

    async def begin(self) -> None:
        """Record where the live tables are complete, unless a switch that was begun did."""
        shadow = await self._found()
        if shadow.state == self._way.under_way:
            return
        await self._check(shadow)
        begun, live = (
            text.Identifier(shadow.schema, "begun"),
            text.Identifier(shadow.live, "checkpoints"),
        )
        await self._connection.execute(text.SQL("DELETE FROM {}").format(begun))
        await self._connection.execute(
            text.SQL("INSERT INTO {} SELECT * FROM {} WHERE projector = %s").format(begun, live),
            (shadow.name,),
        )
        await become(self._connection, shadow, self._way.under_way)

    async def run(self) -> dict[int, int]:
        connection = self._connection
        await connection.execute(f"SET LOCAL lock_timeout = {_ROWS_MS}".encode())
        shadow = await self._found()
        live = await positions(connection, shadow.live, shadow.name, held=True)
        await self._drain(shadow, live)
        await self._check(shadow)
        before = None
        if not self._target.transactional:
            before = await positions(connection, shadow.schema, shadow.name, table="begun")
        await connection.execute(f"SET LOCAL lock_timeout = {_TABLES_MS}".encode())
        await self._target.switch(connection, shadow, forth=self._way is FORTH)
        await exchange(connection, shadow, before)
        await become(connection, shadow, self._way.end)
        now = await positions(connection, shadow.live, shadow.name)
        return {partition: checkpoint.position for partition, checkpoint in now.items()}

    async def _found(self) -> Shadow:
        await lock(self._connection)
        shadow = await find(self._connection, self._target.name)
        wanted = (self._way.begin, self._way.under_way)
        if shadow is None or shadow.state not in wanted:
            raise ConflictError(_unfit(self._target.name, shadow))
        return shadow

    async def _drain(self, shadow: Shadow, live: Mapping[int, Checkpoint]) -> None:
        """Let the shadow take in exactly what only the live one has seen."""
        at = await positions(self._connection, shadow.schema, shadow.name)
        ends = {}
        for partition, checkpoint in live.items():
            found = at.get(partition)
            if found is None or found.position < checkpoint.position:
                ends[partition] = checkpoint.position
            if found is not None and found.epoch != checkpoint.epoch:
                raise LogForkedError(
                    f"the shadow of {shadow.name} was filled from epoch {found.epoch} of partition "
                    f"{partition}, the "
                    f"live one is in {checkpoint.epoch}: start afresh with `triton projections rebuild "
                    f"{shadow.name} --restart`",
                    partition=partition,
                    position=found.position,
                )
        await project(self._connection, self._source, self._epochs, self._target, shadow, ends)

    async def _check(self, shadow: Shadow) -> None:
        if not await self._target.fits(self._connection, shadow):
            raise ConflictError(
                f"the shadow of {shadow.name} has other columns, indexes or triggers than the live tables: "
                "a migration "
                f"ran since it was made; start afresh with `triton projections rebuild {shadow.name} "
                "--restart`"
            )
        if obstacles := await self._target.obstacles(self._connection):
            raise ConflictError(
                f"the tables of {shadow.name} cannot be switched: {'; '.join(obstacles)}"
            )
        new = await parked(self._connection, shadow.schema, shadow.name)
        new -= await parked(self._connection, shadow.live, shadow.name)
        if new and not self._accept_parked:
            partition, position = min(new)
            raise ConflictError(
                f"the shadow of {shadow.name} put {len(new)} events aside that the live one has applied, "
                "the first at "
                f"position {position} of partition {partition}: see {shadow.schema}.parked_events, and say "
                "--accept-parked if that is right"
            )


def _unfit(name: str, shadow: Shadow | None) -> str:
    again = f"`triton projections rebuild {name}`"
    match shadow.state if shadow else None:
        case None:
            return f"there is no shadow of {name}: begin with {again}"
        case "filling":
            return f"the shadow of {name} is not filled yet: {again} goes on with it"
        case "ready":
            return f"{name} was not switched, so there is nothing to go back to"
        case "previous":
            return f"{name} was switched already: `rollback` goes back, `finalize` drops what was live before"
        case "cutting":
            return f"a cutover of {name} was begun and not ended: `triton projections cutover {name}` ends it"
        case _:
            return (
                f"a rollback of {name} was begun and not ended: `triton projections rollback {name}` "
                "ends it"
            )
