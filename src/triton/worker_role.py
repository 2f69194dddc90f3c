"""Owns how a process becomes the worker role: its command line, and what must be known before.

Loads nothing of what runs jobs: the process is replaced by one that does.
"""

from __future__ import annotations

import os
import sys

import msgspec

from triton.errors import ConfigurationError
from triton.settings import Settings


def check_url(settings: Settings) -> None:
    """Raises ConfigurationError where it is not said which Redis to work for."""
    if not settings.redis_url:
        # Never a server that merely happens to listen where Redis usually does.
        raise ConfigurationError(
            "TRITON_REDIS_URL is not set, and a worker starts no engines by itself: set it, or run "
            "`triton up`, which starts all of them",
            setting="redis_url",
        )


def command(settings: Settings) -> tuple[str, ...]:
    """The command line of the worker role."""
    return (
        sys.executable,
        "-m",
        "triton.worker_command",
        "triton.worker:setup",
        # In each of its processes `setup` does that.
        "--skip-logging",
        "--processes",
        str(settings.worker_processes),
        "--threads",
        str(settings.worker_threads),
        "--worker-shutdown-timeout",
        str(settings.drain_ms),
    )


def run_worker(settings: Settings) -> None:
    """Become the worker role. Does not return. Raises ConfigurationError where no Redis is named."""
    from triton.observe.logs import format_for

    check_url(settings)
    # A worker process cannot tell: it writes through a pipe of its parent.
    chosen = format_for(settings, sys.stderr)
    os.environ.update(msgspec.structs.replace(settings, log_format=chosen).environment())
    argv = command(settings)
    os.execv(argv[0], argv)  # noqa: S606
