"""Owns the order of things: recorded jobs in, a report out for each handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from dramatiq import Message

from triton.erasure.reading import Reader
from triton.events.entries import Entry
from triton.payloads import Payloads
from triton.references import reference_in, resolved
from triton.retroactive.account import Recorded, Sent, sent_of
from triton.retroactive.choosing import Choice
from triton.retroactive.difference import Compared, compared
from triton.retroactive.recorded import Finding, Gathering
from triton.retroactive.running import Trial


async def gather(
    entries: Callable[[], AsyncIterator[Entry]], choice: Choice, limit: int
) -> tuple[list[Recorded], Mapping[str, int]]:
    """The newest chosen jobs, oldest first, and how many others were chosen, by why they are left out."""
    finding = Finding(choice, limit)
    async for entry in entries():
        finding.take(entry)
    jobs = finding.jobs()
    gathering = Gathering(jobs)
    if jobs:
        async for entry in entries():
            gathering.take(entry)
    return gathering.recorded(), {why: n for why, n in finding.skipped.items() if n}


def fetched(recorded: Recorded, payloads: Payloads, reader: Reader, *, steps: bool) -> Recorded:
    """With everything in it that is in the archive, and what is sealed in plain; without its recorded steps
    where they run again.

    Raises NotFoundError, UnavailableError, DecodeError, ErasedError.
    """
    job, account = recorded.task.job, recorded.account
    message: Message[Any] = Message.decode(recorded.task.body)
    reference = reference_in(message.kwargs)
    body = recorded.task.body
    if reference is not None:
        body = resolved(message, payloads.fetch(reference)).encode()
    known = {
        name: reader.step(job, name, _value(result, payloads))
        for name, result in account.steps.items()
    }
    task = msgspec.structs.replace(
        recorded.task, body=reader.body(job, body), steps=known if steps else {}
    )
    account = msgspec.structs.replace(
        account,
        steps=known,
        result=reader.result(job, _value(account.result, payloads)),
        sent=[_sent(sent, payloads, reader) for sent in account.sent],
        output="".join(reader.at(job, chunk, "output") for chunk in account.chunks),
        chunks=(),
        progress=account.progress
        and (account.progress[0], reader.at(job, account.progress[1], "stage")),
    )
    return Recorded(task=task, account=account)


def try_handler(
    trial: Trial,
    recorded: Sequence[Recorded],
    *,
    ignored: Collection[str] = (),
    told: Callable[[Compared], None] = lambda _: None,
) -> list[Compared]:
    """Run every recorded job and compare. A process that dies ends one job only. Raises TrialError."""
    jobs = []
    for one in recorded:
        jobs.append(compared(one, trial.run(one.task), ignored))
        told(jobs[-1])
    return jobs


def _value(value: object, payloads: Payloads) -> object:
    reference = reference_in(value)
    return value if reference is None else msgspec.msgpack.decode(payloads.fetch(reference))


def _sent(sent: Sent, payloads: Payloads, reader: Reader) -> Sent:
    """A recorded message, with its arguments as they were sent."""
    if not sent.job:
        return sent
    message: Message[Any] = Message.decode(sent.body)
    reference = reference_in(message.kwargs)
    if reference is not None:
        message = resolved(message, payloads.fetch(reference))
    body = reader.body(sent.job, message.encode())
    return sent_of(body, sent.actor, sent.queue, delayed=sent.delayed)
