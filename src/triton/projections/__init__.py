"""The read side: projectors that fold the log into PostgreSQL and ClickHouse, and the proof that they did.

A projector is a catch-up reader with its own checkpoint (`projector`, `checkpoint`); what one batch becomes
is pure (`render`, `rows`, `fold`); `postgres` and `clickhouse` write it; `running` is the process, `lag`
says how far behind it is, `verify` folds the log again and compares.
"""

from triton.projections.running import run_projectors

__all__ = ["run_projectors"]
