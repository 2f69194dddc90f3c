"""Owns what `triton replay` can be asked for: where and what it folds, and all that --handler takes."""

from __future__ import annotations

from typing import Annotated

import typer

First = Annotated[
    int, typer.Option("--from", min=1, metavar="POS", help="Show what happened from here on.")
]
Last = Annotated[
    int | None,
    typer.Option("--to", min=1, metavar="POS", help="The state as it was here, not as it is."),
]
Job = Annotated[str | None, typer.Option("--job", metavar="JOB", help="One job, event by event.")]
Partition = Annotated[
    int | None,
    typer.Option("--partition", min=0, help="Of a log with several, where positions are given."),
]
Handler = Annotated[
    list[str] | None,
    typer.Option(
        "--handler",
        metavar="MODULE:ACTOR",
        help="Run this version of an actor over past jobs instead; may be given several times.",
    ),
]
Jobs = Annotated[
    str,
    typer.Option(
        "--jobs",
        metavar="FILTER",
        help="Which, for --handler: status=failed,queue=mail|orders,since=2d, or ids. Default: all of "
        "its actor.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="What --handler is: nothing leaves, nothing is written."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="With --handler: the newest so many.")]
TimeLimit = Annotated[
    str,
    typer.Option("--time-limit", metavar="DURATION", help="With --handler: for each job."),
]
RunSteps = Annotated[
    bool,
    typer.Option("--run-steps", help="With --handler: run durable steps again, too."),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="WHAT",
        help="With --handler: outcome, result, messages, steps, output or progress.",
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="With --handler: a variable that it may see."),
]
AllowNetwork = Annotated[
    bool, typer.Option("--allow-network", help="With --handler: do not refuse connections.")
]
