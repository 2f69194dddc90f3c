"""Delivery: a Dramatiq broker whose every message is a job with a full history."""

from triton.broker.broker import TritonBroker
from triton.broker.context import Job, astep, current_job, step
from triton.broker.interrupts import CancelRequested, LeaseLost, Snooze, SoftTimeLimit
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
