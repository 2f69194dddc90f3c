"""Triton beside its peers and its limits, in one table: `python -m bench` (see docs/benchmarks.md)."""
