"""Owns a rebuild from its begin to its end: each step of it as one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from triton.errors import ConflictError, ValidationError
from triton.events.client import connect_async
from triton.events.log import Checkpoint, Log
from triton.history import history_of
from triton.postgres import Connection, connected
from triton.projections.rebuild import shadow as shadows
from triton.projections.rebuild.clickhouse_tables import ClickHouseTables
from triton.projections.rebuild.fill import Reached, fill
from triton.projections.rebuild.postgres_tables import PostgresTables
from triton.projections.rebuild.shadow import Shadow
from triton.projections.rebuild.switch import BACK, FORTH, switch
from triton.projections.rebuild.target import Comparison, Target
from triton.projections.rebuild.telling import Filled, Plan, Progress, Standing, Status
from triton.settings import Settings

NAMES: Final = (PostgresTables.name, ClickHouseTables.name)
#: A fill ends when so few events are left: the cutover takes them in.
_NEAR: Final = 5_000
_ROUNDS: Final = 10


def _nobody(_: Progress) -> None:
    """Nobody is told."""


def target_of(name: str, settings: Settings) -> Target:
    """Raises ValidationError for a projection that there is not."""
    if name == PostgresTables.name:
        return PostgresTables()
    if name == ClickHouseTables.name:
        return ClickHouseTables(settings.clickhouse_url)
    raise ValidationError(f"there is no projection {name!r}: expected one of {', '.join(NAMES)}")


class Rebuild:
    """The rebuild of one projection. Every call checks the state, and may be repeated after a crash."""

    def __init__(self, log: Log, connection: Connection, database_url: str, target: Target) -> None:
        self._log = log
        self._connection = connection
        self._database_url = database_url
        self._target = target
        self._epochs: Mapping[int, str] = dict(enumerate(log.epochs))

    async def status(self) -> Status:
        live = await shadows.live_schema(self._connection)
        live_at = await shadows.positions(self._connection, live, self._target.name)
        shadow = await self._shadow()
        at = {}
        parked = 0
        if shadow is not None:
            at = await shadows.positions(self._connection, shadow.schema, shadow.name)
            parked = len(await shadows.parked(self._connection, shadow.schema, shadow.name))
        ends = await self._ends()
        return Status(
            name=self._target.name,
            state=shadow.state if shadow else None,
            parked=parked,
            partitions=[
                Standing(
                    partition=partition,
                    log=end,
                    live=live_at[partition].position if partition in live_at else 0,
                    shadow=(at[partition].position if partition in at else 0) if shadow else None,
                )
                for partition, end in ends.items()
            ],
        )

    async def plan(self) -> Plan:
        status = await self.status()
        return Plan(
            name=status.name,
            events=sum(one.log - (one.shadow or 0) for one in status.partitions),
            bytes=await self._target.sizes(self._connection),
            obstacles=await self._target.obstacles(self._connection),
            shadow=status.state,
        )

    async def fill(
        self,
        told: Callable[[Progress], None] = _nobody,
        *,
        restart: bool = False,
        batch: int | None = None,
    ) -> Filled:
        """Make the shadow if there is none, and fill it up to the end of the log, nearly. Goes on where it
        was left.

        Raises ConflictError where another process fills it, or where it was switched; LogError.
        """
        if restart:
            await self.drop(abandon=True)
        shadow = await self._made()
        if shadow.state not in ("filling", "ready"):
            raise ConflictError(_not_finalized(shadow))
        await self._up_to_date(shadow, told, batch)
        if shadow.state == "filling":
            ends = await self._ends()
            told(Progress(sum(ends.values()), sum(ends.values()), completing=True))
            await self._target.complete(self._connection, shadow)
            await self._up_to_date(shadow, told, batch)
            await shadows.become(self._connection, shadow, "ready")
        status = await self.status()
        assert status.state is not None, "the shadow that was just filled"
        return Filled(
            name=status.name,
            state=status.state,
            positions={one.partition: one.shadow or 0 for one in status.partitions},
            parked=status.parked,
        )

    async def compare(self) -> Comparison:
        """Bring the shadow up to the log, and compare it with the live tables."""
        shadow = await self._existing()
        if shadow.state not in ("ready", "previous"):
            raise ConflictError(
                f"the shadow of {shadow.name} is {shadow.state}: only a filled one can be compared"
            )
        await self._up_to_date(shadow, _nobody, None)
        return await self._target.compare(self._connection, shadow)

    async def cutover(self, *, accept_parked: bool = False) -> dict[int, int]:
        """Put the shadow in the live tables' place; they become the shadow. Answers the positions."""
        shadow = await self._existing()
        if shadow.state == "ready":
            await self._up_to_date(shadow, _nobody, None)
        return await self._switch(accept_parked=accept_parked)

    async def rollback(self, *, accept_parked: bool = False) -> dict[int, int]:
        """Bring what was live before up to the log, and put it back in its place."""
        shadow = await self._existing()
        if shadow.state == "previous":
            await self._up_to_date(shadow, _nobody, None)
        return await self._switch(back=True, accept_parked=accept_parked)

    async def drop(self, *, abandon: bool = False) -> bool:
        """Drop what was live before a cutover; with `abandon` also a shadow that was not switched. False
        where there is none. Raises ConflictError."""
        async with self._connection.transaction():
            await shadows.lock(self._connection)
            shadow = await self._shadow()
            if shadow is None:
                return False
            if abandon and shadow.state == "previous":
                raise ConflictError(_not_finalized(shadow))
            if not abandon and shadow.state != "previous":
                raise ConflictError(
                    f"the shadow of {shadow.name} is {shadow.state}: it was not switched, so finalizing "
                    "would throw the "
                    "rebuild away; say --abandon for that"
                )
            if shadow.state in ("cutting", "returning"):
                raise ConflictError(_not_finalized(shadow))
            await self._target.drop(self._connection, shadow)
            await shadows.drop(self._connection, shadow)
        return True

    async def _switch(self, *, back: bool = False, accept_parked: bool) -> dict[int, int]:
        return await switch(
            self._connection,
            self._log,
            self._epochs,
            self._target,
            BACK if back else FORTH,
            accept_parked=accept_parked,
        )

    async def _made(self) -> Shadow:
        async with self._connection.transaction():
            await shadows.lock(self._connection)
            shadow = await self._shadow()
            if shadow is None:
                shadow = await shadows.make(self._connection, self._target.name)
                await self._target.make(self._connection, shadow)
        return shadow

    async def _up_to_date(
        self, shadow: Shadow, told: Callable[[Progress], None], batch: int | None
    ) -> None:
        """Up to where the log ended a moment ago; what comes after that is little."""
        for _ in range(_ROUNDS):
            ends = await self._ends()
            at = await shadows.positions(self._connection, shadow.schema, shadow.name)
            self._check_life(shadow, at)
            await fill(
                self._log,
                self._epochs,
                self._database_url,
                self._target,
                shadow,
                ends,
                _reporting(at, ends, told),
                batch=batch,
            )
            left = sum((await self._ends()).values()) - sum(ends.values())
            if left <= _NEAR:
                return

    def _check_life(self, shadow: Shadow, at: Mapping[int, Checkpoint]) -> None:
        """Raises ConflictError for a shadow of a log that is no more."""
        for partition, checkpoint in at.items():
            if checkpoint.epoch == self._epochs.get(partition):
                continue
            way = (
                f"there is no way back: `triton projections finalize {shadow.name}`"
                if shadow.state == "previous"
                else f"begin again: `triton projections rebuild {shadow.name} --restart`"
            )
            raise ConflictError(
                f"the shadow of {shadow.name} was filled from epoch {checkpoint.epoch} of partition "
                f"{partition}, and the log has begun another one since (it was adopted or restored); {way}"
            )

    async def _ends(self) -> dict[int, int]:
        return {
            partition: await self._log.position(partition)
            for partition in range(self._log.partitions)
        }

    async def _shadow(self) -> Shadow | None:
        return await shadows.find(self._connection, self._target.name)

    async def _existing(self) -> Shadow:
        shadow = await self._shadow()
        if shadow is None:
            name = self._target.name
            raise ConflictError(
                f"there is no shadow of {name}: begin with `triton projections rebuild {name}`"
            )
        return shadow


def _reporting(
    begin: Mapping[int, Checkpoint], ends: Mapping[int, int], told: Callable[[Progress], None]
) -> Reached:
    at = {one: begin[one].position if one in begin else 0 for one in ends}
    total = sum(ends.values())

    def reached(partition: int, position: int) -> None:
        at[partition] = position
        told(Progress(sum(at.values()), total))

    return reached


def _not_finalized(shadow: Shadow) -> str:
    name = shadow.name
    if shadow.state == "previous":
        return (
            f"{name} was switched and not finalized: say `triton projections finalize {name}` (or rollback) "
            "before the next rebuild"
        )
    word = "cutover" if shadow.state == "cutting" else "rollback"
    return f"a {word} of {name} was begun and not ended: `triton projections {word} {name}` ends it"


@asynccontextmanager
async def open_rebuild(settings: Settings, name: str) -> AsyncIterator[Rebuild]:
    """What a rebuild of this projection needs. Raises ValidationError, UnavailableError."""
    target = target_of(name, settings)
    try:
        async with (
            connect_async(settings.redis_url) as client,
            connected(settings.database_url) as connection,
        ):
            history = await history_of(client, settings)
            yield Rebuild(history, connection, settings.database_url, target)
    finally:
        await asyncio.to_thread(target.close)
