"""Owns a worker process's application: a broker from the settings, and the modules with the actors.

The stock `dramatiq` command runs it: `dramatiq triton.worker:setup`.
"""

from __future__ import annotations

import importlib
import os
import sys

import dramatiq
from dramatiq.middleware import AsyncIO

from triton.broker import TritonBroker
from triton.errors import ConfigurationError
from triton.settings import Settings, load


def broker_of(settings: Settings) -> TritonBroker:
    """The broker that the settings describe; not yet connected."""
    return TritonBroker(
        url=settings.redis_url or None,
        namespace=settings.namespace,
        partitions=settings.partitions,
        lease_ms=settings.lease_ms,
        max_deaths=settings.max_deaths,
        completed_ttl_ms=settings.completed_ttl_ms,
        failed_ttl_ms=settings.failed_ttl_ms,
    )


def setup() -> None:
    """What the `dramatiq` command calls in each of its processes: broker first, then the actors."""
    settings = load()
    broker = broker_of(settings)
    broker.add_middleware(AsyncIO())
    dramatiq.set_broker(broker)
    load_actors(settings)


def load_actors(settings: Settings) -> None:
    """Import the modules that declare actors. Raises ConfigurationError naming the one that fails."""
    if "" not in sys.path:
        # A module beside the user's shell is found as `python -m` would find it.
        sys.path.insert(0, "")
    for name in settings.module_names():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"the module {name!r} of TRITON_MODULES cannot be imported: {error}; "
                "give importable names, comma-separated",
                module=name,
            ) from error


def command(settings: Settings, *, shutdown_ms: int = 4000) -> tuple[str, ...]:
    """The command line of the worker role; running jobs get `shutdown_ms` at its end."""
    return (
        sys.executable,
        "-m",
        "dramatiq",
        "triton.worker:setup",
        "--processes",
        str(settings.worker_processes),
        "--threads",
        str(settings.worker_threads),
        "--worker-shutdown-timeout",
        str(shutdown_ms),
    )


def run_worker(settings: Settings) -> None:
    """Become the worker role. Does not return."""
    os.environ.update(settings.environment())
    argv = command(settings, shutdown_ms=60_000)
    os.execv(argv[0], argv)  # noqa: S606
