"""Owns waiting in tests: poll until true, with a deadline; never a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], *, timeout: float = 30.0, interval: float = 0.02) -> T:
    """The first true value that `check` returns.

    An AssertionError from `check` counts as "not yet". Raises AssertionError with the last state
    (what it returned, or what it asserted) after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        state: object
        try:
            value = check()
        except AssertionError as error:
            state = error
        else:
            if value:
                return value
            state = value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not true after {timeout} s; the last state was: {state!r}")
        time.sleep(interval)
