"""Owns the lines of jobs that were submitted in a batch, for PostgreSQL's COPY. Pure.

Nearly all jobs come this way: so values are made text by the column, not one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from triton.events.types import Submitted
from triton.projections.lines import Fields, escaped, escaped_json, is_plain
from triton.projections.render import Body, bodies_of, clean_text, data_lines
from triton.projections.stamps import stamp

#: The columns of `sql/copy_states.sql` after the job, as a fold calls them.
_COLUMNS: Final = (
    *("state", "attempt", "version", "position", "percent", "stage", "worker", "deaths"),
    *("cancel_requested", "reason", "due", "started", "finished", "at", "error", "result"),
)
_TEXTS: Final = ("stage", "worker", "reason")
_TIMES: Final = ("due", "started", "finished", "at")
_JSON: Final = ("error", "result")
_values: Final = itemgetter(*_COLUMNS)
_LINE: Final = "\t".join(["%s"] * (1 + len(_COLUMNS))) + "\n"
_NULL: Final = b"\\N"


class Birth(NamedTuple):
    """A job.submitted, the fields of its line, and the state that it and what came after it made."""

    data: Submitted
    fields: Fields
    state: dict[str, Any]


def submission_lines(births: Sequence[Birth], partition: int) -> bytes:
    """For `sql/copy_submissions.sql`."""
    bodies = bodies_of([born.data.body for born in births])
    end = b"%d\n" % partition
    return b"".join(
        [_submission(born, body, end) for born, body in zip(births, bodies, strict=True)]
    )


def _submission(born: Birth, body: Body | None, end: bytes) -> bytes:
    _, job, _, _, _, at, by, tenant, queue, causation, correlation, trace, _, _ = born.fields
    args, kwargs = (body.args, body.kwargs) if body else (None, None)
    return b"\t".join(
        (
            *(job, tenant, queue, _actor(born.data.actor), b"%d" % born.data.priority),
            *(at, by, causation, correlation, trace),
            _NULL if args is None else escaped_json(args),
            _NULL if kwargs is None else escaped_json(kwargs),
            end,
        )
    )


@lru_cache(maxsize=1024)
def _actor(name: str) -> bytes:
    return escaped(clean_text(name).encode())


def state_lines(births: Sequence[Birth]) -> bytes:
    """For `sql/copy_states.sql`."""
    columns: dict[str, Sequence[Any]] = dict(
        zip(_COLUMNS, zip(*[_values(born.state) for born in births], strict=True), strict=True)
    )
    for name in _TEXTS:
        columns[name] = _texts(columns[name])
    for name in _JSON:
        columns[name] = _json(columns[name])
    shown = {at: stamp(at) for at in set().union(*(columns[name] for name in _TIMES))}
    shown[0] = "\\N"
    for name in _TIMES:
        columns[name] = list(map(shown.__getitem__, columns[name]))
    jobs = [born.fields[1].decode() for born in births]
    return "".join(map(_LINE.__mod__, zip(jobs, *columns.values(), strict=True))).encode()


def _texts(column: Sequence[str]) -> Sequence[str]:
    every = "".join(column)
    if every.isascii() and is_plain(every.encode()):
        return column
    return [escaped(clean_text(one).encode()).decode() for one in column]


def _json(column: Sequence[Any]) -> Sequence[str]:
    lines = escaped_json(data_lines(column)).decode().split("\n")[:-1]
    # A value that JSON cannot hold (NaN) is none, as in a patch.
    return ["\\N" if line == "null" else line for line in lines]
