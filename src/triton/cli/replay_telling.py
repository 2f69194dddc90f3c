"""Owns how a replay is shown: the log's states and events as tables, one job event by event, both as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from triton import job_view
from triton.cli import output
from triton.cli.live import Event as Told
from triton.cli.replay_fold import Folded
from triton.cli.viewers import event_lines
from triton.events.envelope import Event
from triton.events.render import show
from triton.job import Head

#: Jobs that the table shows at most.
_SHOWN: Final = 20


def tell_log_as_json(folded: Folded) -> None:
    output.document(
        {
            "partitions": [msgspec.to_builtins(one) for one in folded.ranges],
            "events": folded.types.total(),
            "types": dict(folded.types),
            "states": dict(_states(folded)),
            "events_of_jobs_without_beginning": folded.beheaded,
            "jobs": [msgspec.Raw(_view(head)) for head in folded.heads],
        }
    )


def tell_log(folded: Folded, first: int) -> None:
    """`first` is the position from which on events were counted."""
    since = f" folded; below is what happened from {first} on" if first > 1 else ""
    for one in folded.ranges:
        output.line(f"partition {one.partition}: positions {one.first} to {one.last}{since}")
        if one.expired:
            gone = f"positions 1 to {one.expired} of partition {one.partition}"
            output.warn(f"{gone} have expired: they are not in this")
    output.table("Jobs by state", ("state", "jobs>"), sorted(_states(folded).items()))
    output.table("Events by type", ("event", "events>"), sorted(folded.types.items()))
    shown = folded.heads[-_SHOWN:]
    columns = ("job", "state", "progress>", "actor", "attempt>", "version>", "position>")
    output.table(f"The last {len(shown)} jobs", columns, [_row(head) for head in shown])
    if folded.beheaded:
        output.warn(
            f"{folded.beheaded} events are of jobs whose beginning is not kept any more; they are not folded"
        )


def tell_event(namespace: str, event: Event, head: Head | None, *, as_json: bool) -> None:
    """An event of a job, with the state after it."""
    state = head.state if head else "unknown"
    raw = show(event, f"/triton/{namespace}").json
    if as_json:
        output.json_line({"event": msgspec.Raw(raw), "state": state})
        return
    for line in event_lines(msgspec.json.decode(raw, type=Told)):
        output.line(f"{event.position:>8}  {state:<10}  {line}")


def tell_head(head: Head, *, as_json: bool) -> None:
    """The job after its last event."""
    view = _view(head)
    if as_json:
        output.json_line({"job": msgspec.Raw(view)})
    else:
        output.document(view)


def _states(folded: Folded) -> Counter[str]:
    return Counter(head.state for head in folded.heads)


def _row(head: Head) -> tuple[object, ...]:
    progress = f"{head.percent:.0f} %"
    return (head.job, head.state, progress, head.actor, head.attempt, head.version, head.position)


def _view(head: Head) -> bytes:
    return job_view.to_json(job_view.from_head(head, None))
