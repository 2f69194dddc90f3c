"""Owns `triton replay --handler`: what a new version of an actor would have made of past jobs."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from triton.cli.exits import NO
from triton.errors import ErasedError, TritonError, ValidationError

if TYPE_CHECKING:
    from triton.events.entries import Entry
    from triton.retroactive.account import Recorded
    from triton.retroactive.choosing import Choice
    from triton.retroactive.difference import Compared, Report
    from triton.settings import Settings

#: Differing jobs that the table shows at most, and characters of a value.
_SHOWN: Final = 20
_WIDTH: Final = 60


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    handlers: Sequence[str]
    jobs: str = ""
    limit: int = 100
    #: Seconds per job.
    time_limit: float = 60.0
    #: Recorded steps answer as they did.
    recorded_steps: bool = True
    ignored: Sequence[str] = ()
    #: Names of variables that the handler's process may see.
    environment: Sequence[str] = ()
    allow_network: bool = False


def try_out(chosen: Settings, wanted: Wanted, *, as_json: bool) -> None:
    """Runs, prints, and ends with status 1 where anything came out otherwise or could not be tried."""
    from triton.cli import output
    from triton.retroactive.difference import FIELDS

    if unknown := set(wanted.ignored) - set(FIELDS):
        raise ValidationError(
            f"--ignore is {', '.join(sorted(unknown))}, expected some of {', '.join(FIELDS)}"
        )
    for name in wanted.environment:
        if name not in os.environ:
            raise ValidationError(f"--env names {name}, which is not set")
    handlers = [_handler(text) for text in wanted.handlers]
    choice = _choice(wanted.jobs)
    reports = [_try_one(chosen, wanted, choice, *handler) for handler in handlers]
    same = all(not report.problem and not report.differing for report in reports)
    if as_json:
        output.document({"same": same, "handlers": [_summary(report) for report in reports]})
    else:
        for report in reports:
            _show(report)
    if not same:
        raise typer.Exit(NO)


def _try_one(chosen: Settings, wanted: Wanted, choice: Choice, module: str, actor: str) -> Report:
    from triton.retroactive.account import Setup
    from triton.retroactive.bed import try_handler
    from triton.retroactive.difference import Report
    from triton.retroactive.running import Trial, TrialError

    handler = f"{module}:{actor}"
    setup = Setup(module=module, actor=actor, allow_network=wanted.allow_network)
    named = {name: os.environ[name] for name in wanted.environment}
    done: list[Compared] = []
    skipped: Counter[str] = Counter()
    with Trial(setup, limit=wanted.time_limit, inherited=os.environ, environment=named) as trial:
        try:
            ready = trial.begin()
            if not choice.actor:
                choice = msgspec.structs.replace(choice, actor=frozenset({ready.actor}))
            recorded, left_out = asyncio.run(_recorded(chosen, choice, wanted.limit))
            skipped.update(left_out)
            inputs = _inputs(chosen, recorded, skipped, steps=wanted.recorded_steps)
            try_handler(trial, inputs, ignored=wanted.ignored, told=done.append)
        except TrialError as error:
            return Report(handler=handler, problem=str(error), jobs=done, skipped=dict(skipped))
    return Report(
        handler=handler, actor=ready.actor, closed=ready.closed, jobs=done, skipped=dict(skipped)
    )


async def _recorded(
    chosen: Settings, choice: Choice, limit: int
) -> tuple[list[Recorded], dict[str, int]]:
    from triton.cli.open_log import open_log
    from triton.events.client import connect_async
    from triton.retroactive.bed import gather

    client = connect_async(chosen.redis_url)
    try:
        log = await open_log(client, chosen)

        async def entries() -> AsyncIterator[Entry]:
            for partition in range(log.partitions):
                first = await log.first_position(partition)
                async for entry in log.entries(partition, max(1, first)):
                    yield entry

        recorded, left_out = await gather(entries, choice, limit)
        return recorded, dict(left_out)
    finally:
        await client.aclose()


def _inputs(
    chosen: Settings, recorded: Sequence[Recorded], skipped: Counter[str], *, steps: bool
) -> list[Recorded]:
    """The jobs with all that is archived or sealed; one whose input is gone is left out, and counted."""
    from triton.erasure.keyring import keyring_of
    from triton.erasure.reading import Reader
    from triton.payloads import Payloads
    from triton.retroactive.bed import fetched

    payloads, keyring = Payloads.of(chosen), keyring_of(chosen)
    reader = Reader(keyring)
    found = []
    for one in recorded:
        try:
            found.append(fetched(one, payloads, reader, steps=steps))
        except ErasedError:
            skipped["personal data that was erased"] += 1
        except TritonError as error:
            skipped[f"cannot be read: {error.message}"] += 1
    keyring.close()
    return found


def _handler(text: str) -> tuple[str, str]:
    module, colon, actor = text.partition(":")
    if not colon or not module or not actor:
        raise ValidationError(
            f"--handler is {text!r}, expected MODULE:ACTOR, like shop.tasks:send_mail"
        )
    return module, actor


def _choice(text: str) -> Choice:
    from datetime import datetime

    from triton.cli.arguments import moment
    from triton.events.envelope import to_microseconds
    from triton.retroactive.choosing import choice_of

    def at(name: str, value: str) -> int:
        return to_microseconds(datetime.fromisoformat(moment(name, value)))

    return choice_of(text, at)


def _summary(report: Report) -> dict[str, Any]:
    was, now = report.seconds()
    return {
        **msgspec.to_builtins(report),
        "tried": len(report.jobs),
        "differing": report.differing,
        "changed": report.changed(),
        "outcomes": report.outcomes(),
        "seconds": {"was": was, "is": now},
    }


def _show(report: Report) -> None:
    from triton.cli import output

    if report.problem:
        output.warn(report.problem)
    actor = f" as {report.actor}" if report.actor else ""
    output.line(
        f"{report.handler}{actor}: {len(report.jobs)} jobs run again, {report.differing} came out otherwise"
    )
    for why, count in report.skipped.items():
        output.line(f"  left out: {count} ({why})")
    if not report.jobs:
        return
    output.line(f"  isolation: {report.closed}")
    was, now = report.seconds()
    output.line(f"  attempts took {was:.2f} s then, {now:.2f} s now")
    rows = sorted(report.outcomes().items(), key=lambda pair: -pair[1])
    output.table("Outcomes", ("then -> now", "jobs>"), rows)
    differing = [job for job in report.jobs if job.changes]
    if not differing:
        return
    output.table("Differences", ("what", "jobs>"), sorted(report.changed().items()))
    title = f"{min(_SHOWN, len(differing))} of {len(differing)} jobs"
    columns = ("job", "what", "then", "now")
    output.table(title, columns, [row for job in differing[:_SHOWN] for row in _rows(job)])


def _rows(job: Compared) -> list[tuple[object, ...]]:
    return [
        (
            job.job if at == 0 else "",
            change.field,
            _short(change.was),
            _short(change.is_)
            + (f": {job.said}" if change.field == "outcome" and job.said else ""),
        )
        for at, change in enumerate(job.changes)
    ]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
