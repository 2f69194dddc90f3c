"""Owns how commands take a password: typed twice at a terminal, or from a file; never as an argument."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def new_password(file: str | None) -> str:
    """The password in a file (`-`: standard input), without the line's end; else typed by a person.

    Raises OSError, and BadParameter where nobody sits at a terminal.
    """
    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if file is not None:
        return Path(file).read_text().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise typer.BadParameter("give the password with --password-file FILE, or - for stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
