"""Owns the actors of the platform that the tests of faults on a cluster hurt."""

from __future__ import annotations

import time

import dramatiq

import triton


@dramatiq.actor(min_backoff=50, max_backoff=400)
def work(number: int) -> int:
    triton.current_job().progress(50, "half")
    time.sleep(0.005)
    return number
