"""An application whose jobs tell their progress, a few times a second: each says when."""

from __future__ import annotations

import os
import time

import dramatiq

from bench.apps.record import URL
from bench.live.sides import PAD, stamp
from triton import TritonBroker, current_job

broker = TritonBroker(url=os.environ[URL])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="telling")
def tell(times: int, every: float) -> None:
    """So many times, and so many seconds from one to the next."""
    job = current_job()
    begin = time.monotonic()
    for count in range(times):
        time.sleep(max(0.0, begin + count * every - time.monotonic()))
        job.progress(count % 100, stamp(PAD))
