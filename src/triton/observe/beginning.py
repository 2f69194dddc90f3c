"""Owns what each role does first: its log, its thresholds, its traces."""

from __future__ import annotations

import math

from triton.observe import tracing
from triton.observe.logs import configure
from triton.observe.slow import calls
from triton.settings import Settings


def begin(role: str, settings: Settings) -> None:
    """This process plays a role from now on: see `configure`, `calls` and `tracing.start`."""
    configure(role, settings)
    calls.seconds = settings.slow_query_ms / 1000 or math.inf
    tracing.start(role, settings)
