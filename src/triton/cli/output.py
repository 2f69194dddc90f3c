"""Owns what commands print: JSON for programs, tables and plain lines for people.

Texts come from strangers' documents and jobs: nothing of them may move the cursor or change the terminal.
What is sealed is shown as `[personal]`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triton.cli.telling import telling
from triton.erasure.envelopes import masked, masked_json

#: Columns of what is not a terminal: wide enough that nothing is cut there.
_WIDE: Final = 400
#: Columns between two columns of a table, and of its last column at least.
_GAP: Final = 2
_LEAST: Final = 24
STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "processing": "cyan",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


def console(*, stderr: bool = False) -> Console:
    """A console on standard output as it is now; without colours and cuts where it is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def is_terminal() -> bool:
    return sys.stdout.isatty()


def document(value: Any) -> None:
    """One JSON document, indented; `value` may be encoded already."""
    encoded = value if isinstance(value, bytes) else msgspec.json.encode(value)
    _write(msgspec.json.format(masked_json(encoded), indent=2).decode())


def json_line(value: Any) -> None:
    """One line of a stream of JSON values, out at once; a text is JSON already."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    _write(masked_json(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass"))


def line(text: str) -> None:
    """One plain line, out at once."""
    _write(safe(text))


def expired(until: Sequence[int]) -> None:
    """Say of each partition what of it has expired, and so is in no answer; nothing where nothing has."""
    for partition, last in enumerate(until):
        if last:
            warn(
                f"positions 1 to {last} of partition {partition} have expired: they are not in this"
            )


def warn(text: str) -> None:
    """One line on stderr that does not end the command."""
    if telling.on:
        telling.say("warning", "command_warns", text=safe(text))
    else:
        print(f"warning: {safe(text)}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """One line on stderr beside what the command prints."""
    if telling.on:
        telling.say("info", "command_notes", text=safe(text))
    else:
        print(safe(text), file=sys.stderr, flush=True)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, wrap: bool = True
) -> None:
    """A table. A column whose name ends with `>` is aligned to the right; only the last one gives way to
    a narrow terminal: its texts are wrapped, or cut."""
    cells = [[cell(value) for value in row] for row in rows]
    names = [name.rstrip(">") for name in columns]
    widths = [
        max(cell_len(name), *(row[at].cell_len for row in cells), 0)
        for at, name in enumerate(names)
    ]
    shown = console()
    fixed = sum(widths[:-1]) + _GAP * len(widths)
    last = min(widths[-1], max(_LEAST, shown.width - fixed))
    shown.width = max(shown.width, fixed + last)
    made = Table(title=title or None, title_justify="left", box=None, padding=(0, _GAP, 0, 0))
    for name, column, width in zip(names, columns, [*widths[:-1], last], strict=True):
        made.add_column(
            name,
            justify="right" if column.endswith(">") else "left",
            width=width,
            no_wrap=not wrap or name != names[-1],
            overflow="fold" if wrap else "ellipsis",
            header_style="bold underline",
        )
    for row in cells:
        made.add_row(*row)
    with shown.capture() as captured:
        shown.print(made)
    _write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def cell(value: object) -> Text:
    """A value as a cell: states have their colour, None is empty."""
    text = "" if value is None else safe(str(value))
    return Text(text, style=STYLES.get(text, ""))


def safe(text: str) -> str:
    """The text without characters that a terminal would obey."""
    text = masked(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _shown(char) for char in text)


def _shown(char: str) -> str:
    return " " if char in "\t\n\r" else "\N{REPLACEMENT CHARACTER}"


def _write(text: str) -> None:
    # A lone surrogate in a file's name must not end the command.
    out = text.encode(sys.stdout.encoding or "utf-8", "replace").decode(
        sys.stdout.encoding or "utf-8"
    )
    sys.stdout.write(out + "\n")
    sys.stdout.flush()


def local_time(time: str) -> str:
    """An RFC 3339 time as the person's clock has it, without the day where it is today."""
    when = datetime.fromisoformat(time).astimezone()
    today = datetime.now().astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M")
