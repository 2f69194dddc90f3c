"""The no-op application on Dramatiq's own RedisBroker."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.apps.record import URL, recorder

broker = RedisBroker(url=os.environ[URL])
dramatiq.set_broker(broker)
record = recorder()


@dramatiq.actor
def job(sent: float) -> None:
    record(sent)
