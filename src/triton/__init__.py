"""The public names of Triton, and nothing else."""

from triton.broker import (
    CancelRequested,
    Job,
    LeaseLost,
    Snooze,
    TritonBroker,
    TritonResultBackend,
    current_job,
)

__version__ = "0.1.0"

__all__ = [
    "CancelRequested",
    "Job",
    "LeaseLost",
    "Snooze",
    "TritonBroker",
    "TritonResultBackend",
    "current_job",
]
