"""An application whose job streams its output: each piece says when it was put out."""

from __future__ import annotations

import os
import time

import dramatiq

from bench.apps.record import URL
from triton import TritonBroker, current_job

broker = TritonBroker(url=os.environ[URL])
dramatiq.set_broker(broker)


@dramatiq.actor
def talk(rate: int, seconds: float) -> None:
    """So many pieces a second; 0 is as fast as it can."""
    job = current_job()
    begin = time.monotonic()
    said = 0
    while time.monotonic() < begin + seconds:
        job.output(f"{time.monotonic_ns()};")
        said += 1
        if rate:
            time.sleep(max(0.0, begin + said / rate - time.monotonic()))
