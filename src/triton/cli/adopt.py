"""Owns `triton adopt`: taking the waiting messages of another broker over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from triton.cli.exits import INTERRUPTED, NO
from triton.cli.options import Data, Json
from triton.errors import UnavailableError

if TYPE_CHECKING:
    import threading

    from triton.adoption.redis_queue import Moved, RedisQueues

#: Seconds between two rounds of --follow.
_PAUSE: Final = 0.5
_PAUSE_AWAY: Final = 2.0

app = typer.Typer(no_args_is_help=True, help="Take the queues of another broker over.")


@app.callback()
def root() -> None:
    """Take the queues of another broker over."""


@app.command()
def redis(
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="Redis of Dramatiq's RedisBroker.")
    ],
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue; repeat it for more. Default: all.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="The RedisBroker's `namespace`.")] = "dramatiq",
    dead_after: Annotated[
        float,
        typer.Option(min=1.0, help="Seconds without a heartbeat after which its workers are dead."),
    ] = 60.0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until ctrl-C, for senders not yet changed.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Move the messages of a RedisBroker into Triton, delayed and abandoned ones too.

    A message's id becomes the job's id, and it leaves the old queue after it is a job: stop and repeat this
    as you like. Exit 1 where messages stayed behind: run it again when no worker holds them.
    """
    from redis.exceptions import RedisError

    from triton.adoption.redis_queue import RedisQueues
    from triton.cli import output
    from triton.cli.interrupt import Interrupt
    from triton.cli.target import engines
    from triton.submitter import Submitter

    submitter = Submitter(engines(data, "redis_url"))
    queues = RedisQueues(source, submitter, namespace=prefix, dead_after_ms=int(dead_after * 1000))
    total: dict[str, Moved] = {}
    with Interrupt() as interrupt:
        interrupt.raising = False
        away = _move(queues, queue, total, follow=follow, stop=interrupt.asked)
        try:
            queues.close()
        except RedisError as error:
            away = away or _away(error)
        finally:
            submitter.close()
    found = list(total.values())
    if as_json:
        output.document({"queues": found})
    elif found or not away:
        _show(found)
    if away:
        raise away
    if interrupt.asked.is_set() and not follow:
        raise typer.Exit(INTERRUPTED)
    if any(each.held or each.left for each in found):
        raise typer.Exit(NO)


def _move(
    queues: RedisQueues,
    chosen: list[str] | None,
    total: dict[str, Moved],
    *,
    follow: bool,
    stop: threading.Event,
) -> UnavailableError | None:
    """Moves once, or until `stop`; counts into `total`. Answers what was away in the end."""
    from redis.exceptions import RedisError

    from triton.adoption.redis_queue import Moved

    away: UnavailableError | None = None
    while not stop.is_set():
        before, away = away, None
        try:
            # Those that it saw before too: what was held there may be gone now.
            for name in chosen or sorted({*queues.names(), *total}):
                done = total.setdefault(name, Moved(queue=name))
                queues.move(name, into=done, stop=stop)
        except (RedisError, UnavailableError) as error:
            away = _away(error)
        if not follow:
            break
        _say(before, away)
        stop.wait(_PAUSE_AWAY if away else _PAUSE)
    return away


def _say(before: UnavailableError | None, away: UnavailableError | None) -> None:
    from triton.cli import output

    if away and (before is None or before.message != away.message):
        output.console(stderr=True).print(f"waits: {away.message}")
    elif before and not away:
        output.console(stderr=True).print("goes on")


def _away(error: Exception) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return UnavailableError(f"Triton's Redis: {error.message}")
    return UnavailableError(f"the old Redis does not answer ({error}): is it running?")


def _show(found: list[Moved]) -> None:
    from triton.cli import output

    if not found:
        output.line("no queue has messages")
        return
    rows = [(f.queue, f.moved, f.known, f.held, len(f.left), f.dead_letters) for f in found]
    heads = ("queue", "moved>", "known>", "held by old workers>", "left>", "dead letters>")
    output.table("", heads, rows)
    left = [(one.queue, one.message, one.reason) for f in found for one in f.left]
    if left:
        output.table("left in the old queue", ("queue", "message", "why"), left)
