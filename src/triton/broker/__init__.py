"""Delivery: a Dramatiq broker whose every message is a job with a full history."""

from triton.broker.broker import TritonBroker
from triton.broker.context import (
    CancelRequested,
    Job,
    LeaseLost,
    Snooze,
    astep,
    current_job,
    step,
)
from triton.broker.results import TritonResultBackend

__all__ = [
    "CancelRequested",
    "Job",
    "LeaseLost",
    "Snooze",
    "TritonBroker",
    "TritonResultBackend",
    "astep",
    "current_job",
    "step",
]
