"""Owns the first process of the worker role: Dramatiq's own command, whose log is told as Triton's."""

from __future__ import annotations

import sys

from dramatiq.cli import main

from triton.observe.logs import configure
from triton.settings import load

if __name__ == "__main__":
    configure("worker", load())
    sys.exit(main())
