"""Owns `triton adopt`: taking the waiting messages of another broker over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.exits import INTERRUPTED, NO
from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.adoption.redis_queue import Moved

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
        try:
            while True:
                for name in queue or queues.names():
                    _add(total, queues.move(name))
                    if interrupt.asked.is_set():
                        break
                if not follow or interrupt.asked.wait(0.5):
                    break
        finally:
            queues.close()
            submitter.close()
    found = list(total.values())
    if as_json:
        output.document({"queues": found})
    else:
        _show(found)
    if interrupt.asked.is_set() and not follow:
        raise typer.Exit(INTERRUPTED)
    if any(each.held or each.left for each in found):
        raise typer.Exit(NO)


def _add(total: dict[str, Moved], more: Moved) -> None:
    before = total.get(more.queue)
    if before is not None:
        more.moved += before.moved
        more.known += before.known
        more.left = before.left + more.left
    total[more.queue] = more


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
