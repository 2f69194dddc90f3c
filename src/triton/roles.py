"""Owns the roles that one process each can play: api, projector, worker. `triton up` runs them all."""

from __future__ import annotations

import asyncio
import signal

from triton.settings import Settings
from triton.worker import run_worker

__all__ = ["run_api", "run_projector", "run_worker"]


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
