"""Owns what must follow when the running platform's log lost its tail: halt, names for the loss, adoption."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Final

import psycopg

from soak.evidence import Evidence
from soak.history import read_history
from soak.platform import PROJECTORS, Platform
from soak.rules import Objection
from soak.tail import Cut, cut
from triton.events.client import connect
from triton.stack.processes import Spec

_NAMED: Final = "losses are named"
_ADOPTED: Final = "adoption names what is lost"


def cut_and_adopt(
    platform: Platform, server: Spec, whole: Evidence, chance: Random
) -> Iterator[Cut | Objection]:
    """Cuts the file of the stopped server, starts it again, and does what an operator is told to do."""
    lost = cut(platform.aof, chance, event=True)
    platform.supervisor.spawn(server)
    named = _halted(platform)
    if not named:
        text = f"the projectors went on after {lost} bytes of the log's file were gone"
        yield Objection(rule=_NAMED, text=text)
    said = platform.triton("verify")
    if said.returncode == 0 or "its tail was lost" not in said.stderr:
        text = f"triton verify after {lost} bytes were gone: {said.stdout}{said.stderr}"
        yield Objection(rule=_NAMED, text=text)
    else:
        named.append("triton verify")
    adopted = platform.triton("log", "adopt", "--yes", "--reason", "the soak cut it")
    if adopted.returncode != 0:
        text = f"triton log adopt: {adopted.stdout}{adopted.stderr}"
        yield Objection(rule=_ADOPTED, text=text)
        return
    named.append("triton log adopt")
    settings = platform.settings
    with connect(settings.redis_url) as client:
        left = read_history(client, settings)
    missing, events = _missing(whole, {event.job for event in left}), len(whole.events) - len(left)
    yield from _compared(settings.database_url, missing, events)
    proof = platform.triton("verify")
    if proof.returncode != 0:
        text = f"triton verify afterwards: {proof.stdout}{proof.stderr}"
        yield Objection(rule=_ADOPTED, text=text)
    yield Cut(bytes=lost, events=events, jobs=len(missing), named_by=named)


def _missing(whole: Evidence, left: set[str]) -> set[str]:
    """The jobs that were accepted, and that the log does not know any more."""
    accepted = {asked.job for asked in whole.asked if asked.answer == "accepted"}
    return {job for job in accepted if job in whole.jobs} - left


def _compared(database_url: str, missing: set[str], events: int) -> Iterator[Objection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute("SELECT job FROM lost_events").fetchall()
    silent = missing - {job for (job,) in rows}
    if silent:
        yield Objection(rule=_ADOPTED, text=f"{len(silent)} jobs are gone and not named: {silent}")
    if len(rows) != events:
        text = f"{events} events are gone, and lost_events names {len(rows)}"
        yield Objection(rule=_ADOPTED, text=text)


def _halted(platform: Platform) -> list[str]:
    """The projectors that stop because of what they read before."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        platform.poll()
        found = [
            name
            for name in PROJECTORS
            if "log_forked" in platform.child(name).log.read_text(errors="replace")
        ]
        if found:
            return found
        time.sleep(0.05)
    return []
