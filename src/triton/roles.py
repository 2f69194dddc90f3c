"""Owns the roles that one process each can play: api, projector, archiver, worker, relay."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable

from triton.observe.beginning import beating, playing
from triton.observe.signs import signs
from triton.settings import Settings
from triton.worker_role import run_worker

__all__ = ["run_api", "run_archiver", "run_projector", "run_relay", "run_worker"]


def run_api(settings: Settings) -> None:
    """Serve HTTP until SIGTERM or SIGINT. Raises StartupError when the port is taken."""
    from triton.api.server import serve
    from triton.identity.first_start import ensure_admin

    with playing("api", settings):
        if settings.auth == "required" and settings.database_url and settings.redis_url:
            ensure_admin(settings)
        serve(settings)


def run_projector(settings: Settings) -> None:
    """Project the log into PostgreSQL and ClickHouse until SIGTERM or SIGINT."""
    from triton.projections import run_projectors

    with playing("projector", settings):
        asyncio.run(_until_signalled(run_projectors, settings))


def run_archiver(settings: Settings) -> None:
    """Seal the log into the archive, sign tree heads and trim Redis until SIGTERM or SIGINT."""
    from triton.archiving.running import run_archiver as archive

    with playing("archiver", settings):
        asyncio.run(_until_signalled(archive, settings))


def run_relay(settings: Settings) -> None:
    """Turn the rows of an application's outbox into jobs until SIGTERM or SIGINT."""
    from triton.outbox.relay import Relay

    with playing("relay", settings):
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        signs.beat_apart()
        Relay(settings, stop).run()


async def _until_signalled(
    role: Callable[[Settings, asyncio.Event], Awaitable[None]], settings: Settings
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    signing = asyncio.ensure_future(beating())
    try:
        await role(settings, stop)
    finally:
        signing.cancel()
