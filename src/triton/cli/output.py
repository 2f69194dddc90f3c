"""Owns what commands print: JSON for programs, tables and plain lines for people.

Texts come from strangers' documents and jobs: nothing of them may move the cursor or change the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of what is not a terminal: wide enough that nothing is cut there.
_WIDE: Final = 400
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
    _write(msgspec.json.format(encoded, indent=2).decode())


def json_line(value: Any) -> None:
    """One line of a stream of JSON values, out at once; a text is JSON already."""
    _write(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def line(text: str) -> None:
    """One plain line, out at once."""
    _write(safe(text))


def warn(text: str) -> None:
    """One line on stderr that does not end the command."""
    print(f"warning: {safe(text)}", file=sys.stderr, flush=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; a column whose name ends with `>` is aligned to the right."""
    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        right = name.endswith(">")
        # Names and ids are for copying: what is long and free of spaces is never cut.
        made.add_column(
            name.rstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    shown = console()
    if is_terminal():
        shown.print(made)
        return
    with shown.capture() as captured:
        shown.print(made)
    # Programs and files get no padding.
    for row_line in captured.get().splitlines():
        _write(row_line.rstrip())


def cell(value: object) -> Text:
    """A value as a cell: states have their colour, None is empty."""
    text = "" if value is None else safe(str(value))
    return Text(text, style=STYLES.get(text, ""))


def safe(text: str) -> str:
    """The text without characters that a terminal would obey."""
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
