"""Owns a worker process's application: a broker from the settings, and the modules with the actors.

The stock `dramatiq` command runs it: `dramatiq triton.worker:setup`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback

import dramatiq
from dramatiq import Middleware, Worker
from dramatiq.broker import Broker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO

from triton.archive import open_archive
from triton.broker import TritonBroker
from triton.broker.drain import Drain
from triton.errors import ConfigurationError, UnavailableError
from triton.observe import tracing
from triton.observe.beginning import begin
from triton.observe.signs import REDIS, signs
from triton.settings import Settings, load
from triton.worker_role import check_url, no_module


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
    """What the `dramatiq` command calls in each of its processes: broker first, then the actors.

    Ends the process with one sentence where a setting is missing or wrong.
    """
    try:
        settings = load()
        begin("worker", settings)
        # From now on, although the thread that tells of it begins with the first queue.
        signs.part(REDIS)
        signs.beat_apart()
        check_url(settings)
        broker = broker_of(settings)
        broker.add_middleware(AsyncIO())
        broker.add_middleware(Drain(settings.drain_ms))
        if tracing.active() is not None:
            broker.add_middleware(_LastSpans())
        dramatiq.set_broker(broker)
        load_actors(settings)
        check_stores(settings, broker)
    except ConfigurationError as error:
        raise SystemExit(f"triton: {error.message}") from None


class _LastSpans(Middleware):
    """Sends what was not sent yet: Dramatiq's processes end without what the SDK waits for."""

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        tracing.flush()


def check_stores(settings: Settings, broker: TritonBroker) -> None:
    """Raises ConfigurationError for a log or an archive that is not as the settings say. One that is away is
    waited for."""
    with contextlib.suppress(ConnectionClosed, UnavailableError):
        broker.open()
    # What an s3:// needs is looked up at its first use: that takes a second, and most jobs never get there.
    if settings.archive_url and not settings.archive_url.startswith("s3://"):
        open_archive(settings.archive_url)


def load_actors(settings: Settings) -> None:
    """Import the modules that declare actors. Raises ConfigurationError naming the one that fails; what a
    module's own code raised is told with its traceback first."""
    if "" not in sys.path:
        # A module beside the user's shell is found as `python -m` would find it.
        sys.path.insert(0, "")
    for name in settings.module_names():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise no_module(name, str(error)) from error
        except Exception as error:
            traceback.print_exception(error)
            said = traceback.format_exception_only(error)[-1].strip()
            raise ConfigurationError(
                f"the module {name!r} of TRITON_MODULES cannot be imported, its code raised {said}",
                module=name,
            ) from error
