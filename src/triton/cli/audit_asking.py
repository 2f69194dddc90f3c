"""Owns `triton audit why`, `at` and `diff`: what the log says of the past, to who answers for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from triton.cli.audit_reading import audited
from triton.cli.options import Data, JobId, Json, State

if TYPE_CHECKING:
    from triton.audit.differences import Difference
    from triton.audit.instants import Instant
    from triton.audit.states import HeldQueue
    from triton.audit.timeline import JobsAt
    from triton.audit.why import Why
    from triton.history import History
    from triton.settings import Settings

_T = TypeVar("_T")
_WHEN: Final = "2026-01-31T12:00:00Z, 2h (ago), now, or a position: 1234, 0:1234."


Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why you ask; it is kept with the read.")
]
Limit = Annotated[int, typer.Option(min=1, help="So many jobs are listed at most.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the group `triton audit`."""
    for command in (why, at, diff):
        app.command()(command)


def why(
    job: JobId,
    reason: Reason = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say what led to a job, what happened to it, and what it led to, with positions."""
    from triton.audit.why import why as explain
    from triton.cli import output
    from triton.cli.target import engines

    found = ask(
        engines(data, "redis_url"),
        "why",
        {"job": job},
        reason,
        lambda history: explain(history, job),
    )
    if as_json:
        output.document(found)
    else:
        _say_why(found)


def at(
    instant: Annotated[str, typer.Argument(metavar="TIME|POSITION", help=_WHEN)],
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="One job, as it was then.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Jobs of this queue only.")] = None,
    status: Annotated[State | None, typer.Option(help="List the jobs in this state.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Jobs of this tenant only.")] = None,
    actor: Annotated[str | None, typer.Option(help="Jobs of this actor only.")] = None,
    limit: Limit = 20,
    reason: Reason = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show a job, the queues or the jobs of a state as they were at an instant, that included."""
    import msgspec

    from triton.audit.cuts import cut_of
    from triton.audit.timeline import Chosen, job_at, jobs_at
    from triton.cli import output
    from triton.cli.target import engines
    from triton.errors import ValidationError

    chosen = Chosen(
        status=status.value if status else None, queue=queue, tenant=tenant, actor=actor
    )
    given = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value}
    if job is not None and given:
        raise ValidationError("name one job, or filter all jobs, not both")
    when = instant_of(instant)
    asked = {"instant": when.text, **({"job": job} if job is not None else given)}
    if job is not None:
        name = job

        async def one(history: History) -> object:
            return await job_at(history, name, await cut_of(history, when, name))

        output.document(ask(engines(data, "redis_url"), "at", asked, reason, one))
        return

    async def many(history: History) -> JobsAt:
        return await jobs_at(history, await cut_of(history, when), chosen, limit=limit)

    found = ask(engines(data, "redis_url"), "at", asked, reason, many)
    if as_json:
        output.document(found)
    else:
        _say_jobs(found, listed=status is not None)


def diff(
    before: Annotated[str, typer.Argument(metavar="FROM", help=_WHEN)],
    after: Annotated[str, typer.Argument(metavar="TO", help="The same, later.")] = "now",
    limit: Limit = 20,
    reason: Reason = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say what changed between two instants: jobs, queues, and what else was done."""
    from triton.audit.cuts import cut_of
    from triton.audit.differences import difference
    from triton.cli import output
    from triton.cli.target import engines

    first, second = instant_of(before), instant_of(after)

    async def compare(history: History) -> Difference:
        cuts = await cut_of(history, first), await cut_of(history, second)
        return await difference(history, *cuts, limit=limit)

    asked = {"from": first.text, "to": second.text}
    found = ask(engines(data, "redis_url"), "diff", asked, reason, compare)
    if as_json:
        output.document(found)
    else:
        _say_difference(found)


def ask(
    settings: Settings,
    what: str,
    asked: dict[str, str],
    reason: str,
    question: Callable[[History], Awaitable[_T]],
) -> _T:
    """The answer to a question about the past; that it was asked is noted in the log."""
    return asyncio.run(audited(settings, what, asked, reason, question))


def instant_of(text: str) -> Instant:
    """An instant as a person writes it: also `2h`, and a time of their own zone. Raises ValidationError."""
    import time

    from triton.audit.instants import instant
    from triton.cli.arguments import moment

    asked = text.strip()
    if asked != "now" and not asked.replace(":", "").isdigit():
        asked = moment("the instant", asked)
    return instant(asked, time.time_ns() // 1000)


def _say_why(found: Why) -> None:
    from triton.cli import output

    output.line(f"{found.job}  {found.state}")
    for sentence in found.because:
        output.line(f"  {sentence}")
    if found.up:
        rows = [
            ("^" * one.depth, one.job, one.state, one.by, _place(one), one.text) for one in found.up
        ]
        output.table("\nWhat led to it", ("", "job", "state", "by", "position", "last"), rows)
    output.table(
        "\nWhat happened to it",
        ("position", "time", "what"),
        [(_place(one), one.at[:23], one.text) for one in found.story],
    )
    if found.queue:
        output.table(
            "\nWho held its queue meanwhile",
            ("position", "time", "what"),
            [(_place(one), one.at[:23], one.text) for one in found.queue],
        )
    if found.down:
        rows = [
            (">" * one.depth, one.job, one.state, one.parent, _place(one), one.text)
            for one in found.down
        ]
        output.table(
            "\nWhat it led to", ("", "job", "state", "because of", "position", "last"), rows
        )
    if found.down_cut:
        output.line("and more that is not shown")


def _say_jobs(found: JobsAt, *, listed: bool) -> None:
    from triton.cli import output
    from triton.job import STATES

    positions = ", ".join(f"{at}:{last}" for at, last in enumerate(found.as_of.positions))
    output.line(f"As of {found.as_of.at or 'the beginning'}, positions {positions}:")
    rows = [
        (queue.name, *(queue.states.get(state, 0) for state in STATES), _held(queue.held))
        for queue in found.queues
    ]
    heads = ("queue", *(f"{state}>" for state in STATES), "held")
    output.table("", heads, rows)
    if listed:
        columns = ("job", "state", "queue", "actor", "attempt>", "submitted", "position>")
        listing = [
            (one.job, one.state, one.queue, one.actor, one.attempt, one.submitted_at, _place(one))
            for one in found.jobs
        ]
        output.table("", columns, listing)
        if found.total > len(found.jobs):
            output.line(f"{found.total} in all; --limit shows more")
    output.expired(found.as_of.expired)
    if found.beheaded:
        output.warn(f"{found.beheaded} events are of jobs whose beginning expired: not counted")
    if found.unread:
        output.warn(f"{found.unread} events could not be read")


def _say_difference(found: Difference) -> None:
    from triton.cli import output

    output.line(f"From {found.before.at or 'the beginning'} to {found.after.at}:")
    output.expired(found.after.expired)
    ended = ", ".join(f"{number} {state}" for state, number in sorted(found.ended.items()))
    output.line(f"{found.new} new jobs; ended: {ended or 'none'}")
    rows = [
        (state, one.before, one.after, f"{one.after - one.before:+d}")
        for state, one in found.states.items()
    ]
    output.table("Jobs by state", ("state", "before>", "after>", "change>"), rows)
    queues = []
    for queue in found.queues:
        moved = ", ".join(
            f"{state} {one.before} -> {one.after}"
            for state, one in queue.states.items()
            if one.before != one.after
        )
        held = ""
        if queue.held_before != queue.held_after:
            held = f"{_held(queue.held_before) or 'open'} -> {_held(queue.held_after) or 'open'}"
        queues.append((queue.name, moved, held))
    output.table("Queues", ("queue", "jobs", "held"), queues)
    output.table("What happened", ("event", "times>"), list(found.events.items()))
    changed = [
        (one.job, one.before or "new", one.after, one.queue, one.updated_at, _place(one))
        for one in found.changed
    ]
    heads = ("job", "was", "is", "queue", "last event", "position")
    output.table(f"Jobs that changed ({found.total})", heads, changed)
    if found.total > len(changed):
        output.line(f"and {found.total - len(changed)} more; --limit shows them")


def _held(held: HeldQueue | None) -> str:
    if held is None:
        return ""
    return f"{held.state} by {held.by}" + (f": {held.reason}" if held.reason else "")


def _place(one: object) -> str:
    return f"{getattr(one, 'partition')}:{getattr(one, 'position')}"  # noqa: B009
