"""Owns the actors of a soak. Each notes in a file what really ran, apart from all that Triton records."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dramatiq

import triton
from soak.kinds import NOTES, QUEUE, SLOW
from soak.records import Journal, Note, now

#: Milliseconds between two attempts.
_BACKOFF: dict[str, Any] = {"min_backoff": 50, "max_backoff": 400}
_journals: dict[int, Journal] = {}


def _note(word: Literal["begin", "end", "raised", "step", "dies"]) -> None:
    pid = os.getpid()
    if pid not in _journals:
        _journals[pid] = Journal(Path(os.environ[NOTES]))
    job = triton.current_job()
    _journals[pid].write(Note(word=word, job=job.id, attempt=job.attempt, pid=pid, at=now()))


@contextmanager
def noted() -> Iterator[int]:
    """Notes the beginning and the end; answers the attempt."""
    _note("begin")
    try:
        yield triton.current_job().attempt
    except BaseException:
        _note("raised")
        raise
    _note("end")


@dramatiq.actor(queue_name=QUEUE, **_BACKOFF)
def quick(*_: Any) -> str:
    with noted():
        return "done"


@dramatiq.actor(queue_name=QUEUE, **_BACKOFF)
def large(text: str) -> str:
    """Arguments and result go through the archive."""
    with noted():
        return text


@dramatiq.actor(queue_name=QUEUE, **_BACKOFF)
def succeeded(_data: dict[str, Any], _result: Any) -> None:
    with noted():
        pass


@dramatiq.actor(queue_name=SLOW, **_BACKOFF)
def long(seconds: float) -> float:
    with noted():
        for percent in range(0, 100, 10):
            triton.current_job().progress(percent, "working")
            triton.current_job().output(f"{percent}\n")
            time.sleep(seconds / 10)
        return seconds


@dramatiq.actor(queue_name=SLOW, **_BACKOFF)
def busy(seconds: float) -> None:
    with noted():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(10_000))


@dramatiq.actor(queue_name=QUEUE, max_retries=1, **_BACKOFF)
def failing() -> None:
    with noted():
        raise ValueError("it always fails")


@dramatiq.actor(queue_name=QUEUE, max_retries=20, **_BACKOFF)
def flaky(failures: int) -> None:
    with noted() as attempt:
        if attempt <= failures:
            raise ConnectionError(f"attempt {attempt}")


@dramatiq.actor(queue_name=QUEUE, max_retries=20, **_BACKOFF)
def stepping(failures: int) -> None:
    """Three durable steps; each writes a note when its function really runs."""
    with noted() as attempt:
        for name in ("one", "two", "three"):
            triton.step(name, _note, "step")
            if name == "two" and attempt <= failures:
                raise ConnectionError("between two steps")


@dramatiq.actor(queue_name=QUEUE, **_BACKOFF)
def snoozing(delay: int) -> None:
    with noted() as attempt:
        if attempt == 1:
            raise triton.Snooze(delay)


@dramatiq.actor(queue_name=SLOW, **_BACKOFF)
def patient(seconds: float) -> None:
    """Somebody cancels it while it waits or runs."""
    with noted():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)


@dramatiq.actor(queue_name=SLOW, **_BACKOFF)
def killer(times: int) -> None:
    with noted() as attempt:
        if attempt <= times:
            _note("dies")
            os.kill(os.getpid(), signal.SIGKILL)
