"""Delivery: a Dramatiq broker whose every message is a job with a full history."""

from triton.broker.broker import TritonBroker
from triton.broker.context import (
    CancelRequested,
    Job,
    LeaseLost,
    Snooze,
    SoftTimeLimit,
    astep,
    current_job,
    step,
)
from triton.broker.limits import TimeLimits
from triton.broker.results import TritonResultBackend

__all__ = [
    "CancelRequested",
    "Job",
    "LeaseLost",
    "Snooze",
    "SoftTimeLimit",
    "TimeLimits",
    "TritonBroker",
    "TritonResultBackend",
    "astep",
    "current_job",
    "step",
]
