"""Submitting jobs inside an application's own PostgreSQL transaction: rows now, jobs after the commit."""

from triton.outbox.enqueue import aenqueue, enqueue, statement

__all__ = ["aenqueue", "enqueue", "statement"]
