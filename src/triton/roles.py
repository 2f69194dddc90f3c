"""Owns the roles that one process each can play: api, projector, worker, relay. `triton up` runs them."""

from __future__ import annotations

import asyncio
import signal
import threading

from triton.settings import Settings
from triton.worker import run_worker

__all__ = ["run_api", "run_projector", "run_relay", "run_worker"]


def run_api(settings: Settings) -> None:
    """Serve HTTP until SIGTERM or SIGINT. Raises StartupError when the port is taken."""
    from triton.api.server import serve

    serve(settings)


def run_projector(settings: Settings) -> None:
    """Project the log into PostgreSQL and ClickHouse until SIGTERM or SIGINT."""
    from triton.projections import run_projectors

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run_projectors(settings, stop)

    asyncio.run(until_signalled())


def run_relay(settings: Settings) -> None:
    """Turn the rows of an application's outbox into jobs until SIGTERM or SIGINT."""
    from triton.outbox.relay import Relay

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Relay(settings, stop).run()
