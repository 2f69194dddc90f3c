"""Owns `triton replay`: the log itself, folded again to what was true at any position."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.events.envelope import Event
    from triton.history import History
    from triton.job import Head
    from triton.settings import Settings

#: Jobs that the table shows at most.
_SHOWN: Final = 20


def replay(
    first: Annotated[
        int, typer.Option("--from", min=1, metavar="POS", help="Show what happened from here on.")
    ] = 1,
    last: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="POS", help="The state as it was here, not as it is."),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="One job, event by event.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="Of a log with several, where positions are given.")
    ] = None,
    handler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:ACTOR",
            help="Run this version of an actor over past jobs instead; may be given several times.",
        ),
    ] = None,
    jobs: Annotated[
        str,
        typer.Option(
            metavar="FILTER",
            help="Which, for --handler: status=failed,queue=mail|orders,since=2d, or ids. Default: all of "
            "its actor.",
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="What --handler is: nothing leaves, nothing is written."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="With --handler: the newest so many.")] = 100,
    time_limit: Annotated[
        str, typer.Option(metavar="DURATION", help="With --handler: for each job.")
    ] = "60s",
    run_steps: Annotated[
        bool,
        typer.Option("--run-steps", help="With --handler: run durable steps again, too."),
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="With --handler: outcome, result, messages, steps, output or progress.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --handler: a variable that it may see."),
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="With --handler: do not refuse connections.")
    ] = False,
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

    if handler:
        from triton.cli.arguments import milliseconds
        from triton.cli.retroactive import Wanted, try_out
        from triton.errors import ValidationError

        if not dry_run:
            raise ValidationError(
                "--handler needs --dry-run: running past jobs for real is requeue's"
            )
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
        return
    asyncio.run(_replay(engines(data, "redis_url"), first, last, job, partition, as_json=as_json))


class Fold:
    """The heads of all jobs after the events that were taken."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        #: Events of jobs whose beginning is not kept any more.
        self.beheaded = 0
        self.events = 0

    def take(self, event: Event) -> Head | None:
        """The job's head after the event; None where its first events are not kept any more, and for
        an administrative event."""
        from triton.events.types import Submitted
        from triton.job import evolve

        head = self.heads.get(event.job)
        self.events += 1
        if not event.job:
            return None
        if head is None and not isinstance(event.data, Submitted):
            self.beheaded += 1
            return None
        head = self.heads[event.job] = evolve(head, event)
        return head


async def _replay(
    chosen: Settings,
    first: int,
    last: int | None,
    job: str | None,
    partition: int | None,
    *,
    as_json: bool,
) -> None:
    from triton import keys
    from triton.cli.open_log import open_log
    from triton.errors import NotFoundError, ValidationError
    from triton.events.client import connect_async

    client = connect_async(chosen.redis_url)
    try:
        log = await open_log(client, chosen)
        if job is not None:
            partition = keys.partition_of(job, log.partitions)
        elif partition is None and log.partitions > 1 and (first > 1 or last is not None):
            raise ValidationError(
                f"This log has {log.partitions} partitions, each with its own positions: say which one "
                "with --partition"
            )
        if partition is not None and partition >= log.partitions:
            raise ValidationError(
                f"--partition is {partition}, expected 0 to {log.partitions - 1}: the log has no other"
            )
        wanted = range(log.partitions) if partition is None else [partition]
        if job is None:
            await _all(log, wanted, first, last, as_json=as_json)
        elif not await _one(log, job, first, last, as_json=as_json):
            raise NotFoundError(f"the log has no event of job {job!r} there", job=job)
    finally:
        await client.aclose()


async def _events(log: History, partition: int, last: int | None) -> AsyncIterator[Event]:
    """Every event of the partition that is kept, up to a position."""
    first = max(1, await log.first_position(partition))
    async for event in log.events(partition, first, last):
        yield event


async def _one(log: History, job: str, first: int, last: int | None, *, as_json: bool) -> bool:
    """The job event by event, each with the state after it; whether there was one."""
    import msgspec

    from triton.cli import output
    from triton.cli.live import Event as Told
    from triton.cli.viewers import event_lines
    from triton.events.render import show

    fold, found = Fold(), False
    async for entry in log.job_entries(job, until=last):
        event = entry.event()
        head = fold.take(event)
        if event.position < first:
            continue
        found = True
        state = head.state if head else "unknown"
        raw = show(event, f"/triton/{log.namespace}").json
        if as_json:
            output.json_line({"event": msgspec.Raw(raw), "state": state})
        else:
            told = msgspec.json.decode(raw, type=Told)
            for line in event_lines(told):
                output.line(f"{event.position:>8}  {state:<10}  {line}")
    if job not in fold.heads:
        return found
    view = _view(fold.heads[job])
    if as_json:
        output.json_line({"job": msgspec.Raw(view)})
    else:
        output.document(view)
    return True


async def _all(
    log: History, partitions: Sequence[int], first: int, last: int | None, *, as_json: bool
) -> None:
    import msgspec

    from triton.cli import output

    fold, ranges = Fold(), []
    types: Counter[str] = Counter()
    touched: dict[str, None] = {}
    for partition in partitions:
        oldest, position = 0, 0
        async for event in _events(log, partition, last):
            position = event.position
            oldest = oldest or position
            if fold.take(event) is not None and position >= first:
                touched[event.job] = None
            if position >= first:
                types[event.type] += 1
        ranges.append(
            {
                "partition": partition,
                "epoch": log.epochs[partition],
                "first": oldest,
                "last": position,
                "expired": await log.expired(partition),
            }
        )
    heads = [fold.heads[job] for job in touched]
    states = Counter(head.state for head in heads)
    if as_json:
        output.document(
            {
                "partitions": ranges,
                "events": types.total(),
                "types": dict(types),
                "states": dict(states),
                "events_of_jobs_without_beginning": fold.beheaded,
                "jobs": [msgspec.Raw(_view(head)) for head in heads],
            }
        )
        return
    since = f" folded; below is what happened from {first} on" if first > 1 else ""
    for one in ranges:
        output.line(
            f"partition {one['partition']}: positions {one['first']} to {one['last']}{since}"
        )
        if one["expired"]:
            gone = f"positions 1 to {one['expired']} of partition {one['partition']}"
            output.warn(f"{gone} have expired: they are not in this")
    output.table("Jobs by state", ("state", "jobs>"), sorted(states.items()))
    output.table("Events by type", ("event", "events>"), sorted(types.items()))
    columns = ("job", "state", "progress>", "actor", "attempt>", "version>", "position>")
    output.table(
        f"The last {min(_SHOWN, len(heads))} jobs", columns, [_row(h) for h in heads[-_SHOWN:]]
    )
    if fold.beheaded:
        output.warn(
            f"{fold.beheaded} events are of jobs whose beginning is not kept any more; they are not folded"
        )


def _row(head: Head) -> tuple[object, ...]:
    progress = f"{head.percent:.0f} %"
    return (head.job, head.state, progress, head.actor, head.attempt, head.version, head.position)


def _view(head: Head) -> bytes:
    from triton import job_view

    return job_view.to_json(job_view.from_head(head, None))
