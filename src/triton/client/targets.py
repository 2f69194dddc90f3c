"""Owns what can be followed and from where: a job, several jobs, or all that fit filters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from triton.client.calls import job_path

Values: TypeAlias = str | Sequence[str]
#: A cursor, `now`, `earliest`, or a time (with a zone, or RFC 3339).
From: TypeAlias = str | datetime | None


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Events that fit each kind of filter that is given: any of its values."""

    job: Values = ()
    queue: Values = ()
    actor: Values = ()
    type: Values = ()
    batch: Values = ()
    correlation_id: Values = ()

    def params(self) -> dict[str, list[str]]:
        given = msgspec.structs.asdict(self)
        named = {("job_id" if name == "job" else name): _listed(given[name]) for name in given}
        return {name: values for name, values in named.items() if values}


#: A job's id, several ids, filters, or None: every job.
Target: TypeAlias = str | Sequence[str] | Filters | None


class Opening(msgspec.Struct, frozen=True):
    """What a stream asks for: its path, its parameters, and the cursor that it begins after.

    `whole`: the job's history from its first event, for which `triton.hello` has the cursor.
    """

    path: str
    params: dict[str, Any]
    cursor: str = ""
    whole: bool = False


def opening_of(target: Target, begin: From) -> Opening:
    """Raises ValueError for no job at all, or a time without a zone."""
    if isinstance(begin, datetime):
        if begin.tzinfo is None:
            raise ValueError(f"{begin} has no time zone: from_ takes one that has")
        begin = begin.isoformat()
    if isinstance(target, str) and not _is_time(begin):
        whole = begin == "earliest"
        cursor = "" if begin in (None, "now", "earliest") else begin
        return Opening(job_path(target, "/subscribe"), {}, cursor or "", whole)
    if not isinstance(target, Filters | str) and target is not None and not target:
        raise ValueError("there is no job to follow: give at least one, or None for every job")
    if isinstance(target, Filters):
        params: dict[str, Any] = dict(target.params())
    else:
        params = {} if target is None else {"job_id": _listed(target)}
    if begin is not None:
        params["from"] = begin
    return Opening("/events/subscribe", params)


def _is_time(begin: str | None) -> bool:
    # A cursor begins with a letter: the version of its format, in base64.
    return begin is not None and begin[:1].isdigit()


def _listed(values: Values) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
