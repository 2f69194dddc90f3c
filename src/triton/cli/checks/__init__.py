"""What `triton doctor` looks at: one module per thing, each a function that yields findings."""

from triton.cli.checks.finding import Finding, Level

__all__ = ["Finding", "Level"]
