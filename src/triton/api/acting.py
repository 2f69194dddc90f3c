"""Owns requeueing and cancelling all jobs of a filter: the dry run, and page after page of the real one.

The set comes from PostgreSQL. Before a job is touched its head is read, and it is left alone where it is not
as the dry run saw it; what the scripts then do is one atomic step per chunk, and idempotent.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from triton import keys
from triton.api import pages, selection
from triton.api.request_id import cause
from triton.api.requeueing import requeue
from triton.api.selection import Acted, Action, DryRun, JobFilter, Skipped, Token
from triton.api.services import Services
from triton.api.statements import sql
from triton.api.submission import fresh_body
from triton.audit.reasons import given
from triton.errors import ForbiddenError
from triton.events.client import send_async
from triton.events.envelope import to_datetime, to_microseconds
from triton.events.heads import read_many
from triton.events.replies import answers
from triton.events.scripts import CHUNK, Call
from triton.history.index import PROJECTOR
from triton.job import Head

#: The scripts' answers that mean: it is done.
_DONE: Final = frozenset({"ok", "cancelled", "requested"})
#: The others -> why the job was skipped.
_WHY: Final = {"missing": "gone", "already": "already", "ended": "ended", "held": "held"}


async def dry_run(services: Services, action: Action, chosen: JobFilter) -> DryRun:
    """What the filter matches. Raises UnavailableError."""
    values = selection.values_of(chosen, action)
    statements = (
        (_statement("selection_count", values), values),
        (_statement("selection_sample", values), {**values, "limit": selection.SAMPLE}),
        (sql("progress"), {"projector": PROJECTOR}),
    )
    counts, sample, progress = await services.jobs.at_once(statements, chosen.tenant)
    by_state = {row["state"]: row["count"] for row in counts}
    reached = {row["partition"]: row["position"] for row in progress}
    token = Token(
        action=action,
        filter=chosen,
        positions=[reached.get(p, 0) for p in range(services.settings.partitions)],
        epochs=selection.digest(_epochs(services)),
        count=sum(by_state.values()),
        op=f"{action}-{secrets.token_hex(8)}",
    )
    return DryRun(
        action=action,
        count=token.count,
        by_state=by_state,
        sample=[selection.sampled(row) for row in sample],
        token=selection.write(token),
    )


async def act(
    services: Services,
    action: Action,
    text: str,
    *,
    by: str,
    reason: str,
    limit: int,
    sees: Callable[[str], bool],
) -> Acted:
    """Acts on up to `limit` jobs. Raises ValidationError for the token, or where no reason is given,
    ConflictError for the token, ForbiddenError where it is of a tenant that is not seen; UnavailableError and
    RedisError midway: the same call again does what is missing."""
    token = selection.read(text, action, _epochs(services))
    # The token comes from outside: what it says is no more than what a filter says.
    if not sees(token.filter.tenant or ""):
        raise ForbiddenError("the token is of a dry run over other tenants: do one of your own")
    reason = given(reason)
    rows = await _page(services, token, pages.asked(limit))
    more, rows = len(rows) > limit, rows[:limit]
    ids = [row["job"] for row in rows]
    answered: dict[str, str] = {}
    for start in range(0, len(ids), CHUNK):
        answered |= await _chunk(services, token, ids[start : start + CHUNK], by, reason)
    kinds = Counter(answer in _DONE for answer in answered.values())
    skips = [
        Skipped(id=job, why=_WHY.get(answer, answer))
        for job, answer in answered.items()
        if answer not in _DONE
    ]
    following = None
    if more:
        last = rows[-1]
        after = pages.Keys(to_microseconds(last["submitted_at"]), last["job"])
        following = selection.write(msgspec.structs.replace(token, after=after))
    return Acted(
        action=action,
        count=token.count,
        done=kinds[True],
        skipped=kinds[False],
        skips=skips[: selection.NAMED],
        next=following,
    )


async def _page(services: Services, token: Token, limit: int) -> Sequence[Any]:
    values = {
        **selection.values_of(token.filter, token.action),
        "last_at": to_datetime(token.after.at) if token.after else None,
        "last_job": token.after.id if token.after else None,
        "by_birth": token.action == "cancel",
        "positions": token.positions,
        "limit": limit,
    }
    statements = [(_statement("selection_page", values), values)]
    (rows,) = await services.jobs.at_once(statements, token.filter.tenant)
    return rows


async def _chunk(
    services: Services, token: Token, ids: Sequence[str], by: str, reason: str
) -> dict[str, str]:
    """Each job's answer."""
    settings = services.settings
    found = await read_many(services.redis, settings.namespace, settings.partitions, ids)
    answered = dict.fromkeys(ids, "missing")
    wanted: dict[int, list[tuple[str, bytes]]] = {}
    states = selection.states_of(token.filter, token.action)
    for job, (head, body) in zip(ids, found, strict=True):
        if head is None:
            continue
        refusal = _refusal(token, head, states)
        if refusal:
            answered[job] = refusal
        else:
            wanted.setdefault(head.partition, []).append((job, fresh_body(body or b"")))
    groups = list(wanted.items())
    calls = [_call(services, token, partition, jobs, by, reason) for partition, jobs in groups]
    for (_, jobs), reply in zip(groups, await send_async(services.redis, calls), strict=True):
        answered |= zip((job for job, _ in jobs), answers(reply), strict=True)
    if token.action == "requeue":
        for job in [job for job, answer in answered.items() if answer == "missing"]:
            until = token.positions[keys.partition_of(job, settings.partitions)]
            answered[job] = await requeue(
                services, job, op=token.op, by=by, reason=reason, until=until
            )
    return answered


def _refusal(token: Token, head: Head, states: Sequence[str]) -> str:
    """Why a job is left alone; empty where it is as the dry run saw it."""
    if token.action == "requeue":
        seen = head.position <= token.positions[head.partition]
        return "" if seen and head.state in states else "changed"
    if head.state in states:
        return ""
    return "ended" if head.finished else "changed"


def _call(
    services: Services,
    token: Token,
    partition: int,
    jobs: Sequence[tuple[str, bytes]],
    by: str,
    reason: str,
) -> Call:
    prefix = keys.prefix(services.settings.namespace, partition)
    if token.action == "requeue":
        return services.scripts.requeue(
            prefix, jobs, op=token.op, by=by, reason=reason, cause=cause()
        )
    ids = [job for job, _ in jobs]
    return services.scripts.cancel(prefix, ids, op=token.op, by=by, reason=reason, cause=cause())


def _statement(name: str, values: dict[str, Any]) -> str:
    """Where only failed jobs are wanted, the table of those is read, and not the one of all."""
    found = sql(name)
    if values["status"] == ["failed"]:
        found = found.replace(
            "FROM job_states s JOIN", "FROM failed_jobs f JOIN job_states s USING (job) JOIN"
        )
    return found


def _epochs(services: Services) -> list[str]:
    return [services.hub.epoch(p) for p in range(services.settings.partitions)]
