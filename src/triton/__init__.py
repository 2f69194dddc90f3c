"""The public names of Triton, and nothing else. They are loaded when they are first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triton.broker import (
        CancelRequested,
        Job,
        LeaseLost,
        Snooze,
        SoftTimeLimit,
        TimeLimits,
        TritonBroker,
        TritonResultBackend,
        astep,
        current_job,
        step,
    )
    from triton.erasure.personal import Personal

__version__ = "0.1.0"

__all__ = [
    "CancelRequested",
    "Job",
    "LeaseLost",
    "Personal",
    "Snooze",
    "SoftTimeLimit",
    "TimeLimits",
    "TritonBroker",
    "TritonResultBackend",
    "astep",
    "current_job",
    "step",
]


def __getattr__(name: str) -> Any:
    # The engines' own processes import this package too, and need no Dramatiq.
    if name == "Personal":
        return import_module("triton.erasure.personal").Personal
    if name in __all__:
        return getattr(import_module("triton.broker"), name)
    if name == "retry":
        return import_module("triton.retry")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
