"""Owns the actors that the tests of the command line submit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dramatiq

import triton


@dramatiq.actor(actor_name="cli.count", queue_name="cli", max_retries=0)
def count(to: int, seconds: float = 0.0) -> dict[str, Any]:
    """Reports progress `to` times, so many seconds apart, and puts out each number."""
    job = triton.current_job()
    for number in range(1, to + 1):
        time.sleep(seconds)
        job.progress(100.0 * number / to, f"{number} of {to}")
        job.output(f"number {number}\n")
        if job.cancelled:
            raise triton.CancelRequested
    return {"counted": to}


@dramatiq.actor(actor_name="cli.fail", queue_name="cli", max_retries=0)
def fail(reason: str) -> None:
    raise ValueError(reason)


@dramatiq.actor(actor_name="cli.wait", queue_name="cli", max_retries=0)
def wait(path: str) -> None:
    """Puts out a line again and again until the file is there."""
    while not Path(path).exists():
        triton.current_job().output("still waiting\n")
        time.sleep(0.05)
