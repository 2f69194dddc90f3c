"""Actors of the global broker, as `triton worker` loads them."""

from __future__ import annotations

import time

import dramatiq
from notes import note


@dramatiq.actor
def work(seconds: float) -> str:
    note("begin")
    time.sleep(seconds)
    note("end")
    return "done"
