"""Owns the options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the embedded stack.  \\[env: TRITON_DATA; default: .triton]",
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where the API answers, instead of looking it up by the folder.  "
        "\\[env: TRITON_API_URL]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs instead of text.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]


class State(StrEnum):
    """The states by which jobs can be chosen; an Enum, because Typer takes no list of Literals."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
