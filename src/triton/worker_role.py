"""Owns how a process becomes the worker role: its command line, and what must be known before.

Loads nothing of what runs jobs: the process is replaced by one that does.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

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


def check_modules(settings: Settings) -> None:
    """Raises ConfigurationError for a module with actors whose top package is nowhere: without an import,
    which is the workers'."""
    for name in settings.module_names():
        package = name.partition(".")[0]
        # A worker looks into the folder that it runs in too, as `python -m` would.
        if not (_found(package) or PathFinder.find_spec(package, [""])):
            raise no_module(name, f"No module named {package!r}")


def _found(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        # Such as `__main__`, which has none: an import will say.
        return package in sys.modules


def no_module(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the module {name!r} of TRITON_MODULES cannot be imported: {why}; "
        "give importable names, comma-separated",
        module=name,
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
    check_modules(settings)
    # A worker process cannot tell: it writes through a pipe of its parent.
    chosen = format_for(settings, sys.stderr)
    os.environ.update(msgspec.structs.replace(settings, log_format=chosen).environment())
    argv = command(settings)
    os.execv(argv[0], argv)  # noqa: S606
