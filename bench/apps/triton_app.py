"""The no-op application on Triton."""

from __future__ import annotations

import os

import dramatiq

from bench.apps.record import URL, recorder
from triton import TritonBroker

broker = TritonBroker(url=os.environ[URL])
dramatiq.set_broker(broker)
record = recorder()


@dramatiq.actor
def job(sent: float) -> None:
    record(sent)
