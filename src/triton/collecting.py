"""Owns how often a process looks for garbage in cycles.

A page of the log is ten thousands of lists and tuples, all of them free of cycles. By its defaults Python
looks for cycles among them several times a page, and through all that the process ever loaded every few
pages: a third of a projector's time, and pauses of many milliseconds for whoever waits for an event.
"""

from __future__ import annotations

import gc


def collect_rarely(every: int = 200_000) -> None:
    """From here on once in so many objects, and never again through those that are there now. For the whole
    process; one whose work leaves cycles behind takes a smaller number."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(every, 20, 20)
