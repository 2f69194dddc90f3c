"""An application for the stock `dramatiq` command: its actors note in a file what really ran, and die."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

import dramatiq
from dramatiq.middleware import AgeLimit, GroupCallbacks, Middleware, Retries
from dramatiq.rate_limits.backends import RedisBackend as RateLimits
from notes import note

from triton import TritonBroker, current_job, step

broker = TritonBroker()
for middleware in broker.middleware:
    if isinstance(middleware, Retries):
        middleware.min_backoff, middleware.max_backoff = 10, 50
if "+cluster:" not in broker.url:  # Dramatiq's own back ends do not speak to one
    broker.add_middleware(GroupCallbacks(RateLimits(url=broker.url)))


class Dies(Middleware):
    """Kills the process in a job's first attempt, where the job's option `dies` names this place."""

    def __init__(self, place: str) -> None:
        self._place = place

    def after_process_message(self, broker: object, message: Any, **_: object) -> None:
        self._die(message, self._place)

    def before_ack(self, broker: object, message: Any) -> None:
        self._die(message, self._place + " ack")

    def _die(self, message: Any, place: str) -> None:
        if message.options.get("dies") == place and message.claimed.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)


# Hooks that run after an actor run from the last middleware to the first.
broker.add_middleware(Dies("last"), before=AgeLimit)
broker.add_middleware(Dies("first"))
dramatiq.set_broker(broker)


@dramatiq.actor
def work(seconds: float, fails: bool = False) -> str:
    note("begin")
    current_job().progress(50, "half")
    current_job().output("working\n")
    time.sleep(seconds * float(os.environ.get("PACE", "1")))
    if fails and current_job().attempt == 1:
        raise ValueError("the first attempt")
    note("end")
    return "done"


@dramatiq.actor
def suicide() -> None:
    note("begin")
    os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor
def in_steps(count: int) -> list[int]:
    """Dies after each of its steps, once each."""
    values = []
    for number in range(count):
        values.append(step(f"step-{number}", noted, number))
        if current_job().attempt == number + 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return values


def noted(number: int) -> int:
    note(f"step-{number}")
    return number * 10


@dramatiq.actor(max_retries=0)
def keeps_the_interpreter(seconds: float) -> str:
    """No other thread of the process runs meanwhile: PyDLL does not let go of the interpreter."""
    note("begin")
    ctypes.PyDLL(None).usleep(ctypes.c_uint(int(seconds * 1_000_000)))
    note("end")
    return "done"


@dramatiq.actor(max_retries=0)
def keeps_it_until_told(path: str) -> str:
    """The same until somebody writes into the pipe at `path`."""
    gate = os.open(path, os.O_RDWR)
    note("begin")
    ctypes.PyDLL(None).read(gate, ctypes.create_string_buffer(1), 1)
    os.close(gate)
    note("end")
    return "done"


@dramatiq.actor
def member(*_: object) -> str:
    note("begin")
    return "done"


@dramatiq.actor
def told(*_: object) -> None:
    note("told")
