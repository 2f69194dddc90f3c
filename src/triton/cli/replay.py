"""Owns `triton replay`: the log itself, folded again to what was true at any position."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from triton.cli import replay_options as asked
from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triton.history import History
    from triton.settings import Settings


def replay(
    first: asked.First = 1,
    last: asked.Last = None,
    job: asked.Job = None,
    partition: asked.Partition = None,
    handler: asked.Handler = None,
    jobs: asked.Jobs = "",
    dry_run: asked.DryRun = False,
    limit: asked.Limit = 100,
    time_limit: asked.TimeLimit = "60s",
    run_steps: asked.RunSteps = False,
    ignore: asked.Ignore = None,
    env: asked.Env = None,
    allow_network: asked.AllowNetwork = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Fold the log again and print each job's state; with --handler, try an actor's new version on past jobs.

    Without --handler: the states now, or at any position. With it the new version runs over past jobs, and
    what comes out otherwise is printed.

    Reads the log: Redis, and the archive for what left it; what the stores show is not asked. The fold begins
    with the log itself, so states are whole wherever --from is.
    """
    from triton.cli.target import engines

    if not handler:
        chosen = engines(data, "redis_url")
        asyncio.run(_replay(chosen, first, last, job, partition, as_json=as_json))
        return
    from triton.cli.arguments import milliseconds
    from triton.cli.retroactive import Wanted, try_out
    from triton.errors import ValidationError

    if not dry_run:
        raise ValidationError("--handler needs --dry-run: running past jobs for real is requeue's")
    wanted = Wanted(
        handlers=handler,
        jobs=jobs,
        limit=limit,
        time_limit=milliseconds("--time-limit", time_limit) / 1000,
        recorded_steps=not run_steps,
        ignored=ignore or (),
        environment=env or (),
        allow_network=allow_network,
    )
    try_out(engines(data, "redis_url"), wanted, as_json=as_json)


async def _replay(
    chosen: Settings,
    first: int,
    last: int | None,
    job: str | None,
    partition: int | None,
    *,
    as_json: bool,
) -> None:
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async

    client = connect_async(chosen.redis_url)
    try:
        log = await open_log(client, chosen)
        wanted = _partitions(
            log.partitions, job, partition, positions=first > 1 or last is not None
        )
        if job is None:
            await _whole(log, wanted, first, last, as_json=as_json)
        else:
            await _one(log, job, first, last, as_json=as_json)
    finally:
        await client.aclose()


def _partitions(
    count: int, job: str | None, asked_for: int | None, *, positions: bool
) -> Sequence[int]:
    """Which to fold of a log's `count`; `positions` says whether positions were given, which only one has."""
    from triton import keys
    from triton.errors import ValidationError

    if job is not None:
        return [keys.partition_of(job, count)]
    if asked_for is None:
        if count > 1 and positions:
            raise ValidationError(
                f"This log has {count} partitions, each with its own positions: say which one "
                "with --partition"
            )
        return range(count)
    if asked_for >= count:
        raise ValidationError(
            f"--partition is {asked_for}, expected 0 to {count - 1}: the log has no other"
        )
    return [asked_for]


async def _whole(
    log: History, partitions: Sequence[int], first: int, last: int | None, *, as_json: bool
) -> None:
    from triton.cli.replay_fold import fold_log
    from triton.cli.replay_telling import tell_log, tell_log_as_json

    folded = await fold_log(log, partitions, first=first, last=last)
    if as_json:
        tell_log_as_json(folded)
    else:
        tell_log(folded, first)


async def _one(log: History, job: str, first: int, last: int | None, *, as_json: bool) -> None:
    """Its events from `first` on as they are read, then what it is. Raises NotFoundError."""
    from triton.cli.replay_fold import fold_job
    from triton.cli.replay_telling import tell_event, tell_head
    from triton.errors import NotFoundError

    head, found = None, False
    async for event, head in fold_job(log, job, last=last):
        if event.position >= first:
            found = True
            tell_event(log.namespace, event, head, as_json=as_json)
    if head is not None:
        tell_head(head, as_json=as_json)
    elif not found:
        raise NotFoundError(f"the log has no event of job {job!r} there", job=job)
