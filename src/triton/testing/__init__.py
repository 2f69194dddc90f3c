"""For tests of applications: actors run in this process on a real engine, and their events are asserted."""

from triton.testing.jobs import Jobs, jobs_in_process
from triton.testing.server import valkey

__all__ = ["Jobs", "jobs_in_process", "valkey"]
