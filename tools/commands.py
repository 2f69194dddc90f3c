"""Makes the reference page of the command line from its own definition."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from triton.cli import exits
from triton.cli.app import app
from triton.verifier import triton_verify

_HEAD = (
    "# The command line\n\nMade from the commands themselves by `tools/reference.py`. `triton COMMAND "
    "--help` says the same. What a command finds by itself: the stack on `--data` (or `TRITON_DATA`, else "
    "`./.triton`), or the engines and the API that [settings](settings.md) name. `--json` prints one JSON "
    "document for programs, to standard output; what is wrong is one sentence on standard error."
)
_VERIFY = (
    "`triton-verify` is a program of its own: one file, no dependencies, no network. It reads no settings. "
    "[The guide](../guides/verify-the-history.md) says how it is used."
)


def commands_page() -> str:
    root = get_command(app)
    found = list(_commands(root, "triton"))
    parts = [_HEAD, _exits(), _overview(found)]
    for name, command, _ in found:
        parts += _section(name, command)
    parts += _verifier()
    return "\n\n".join(parts) + "\n"


def _commands(command: Any, name: str, panel: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every command that does something, with its whole name and the panel of the help that it stands in."""
    for word, below in getattr(command, "commands", {}).items():
        where = panel or str(below.rich_help_panel)
        if hasattr(below, "commands"):
            # A group that is also a command (`triton jobs`) has options of its own.
            if below.invoke_without_command:
                yield f"{name} {word}", below, where
            yield from _commands(below, f"{name} {word}", where)
        else:
            yield f"{name} {word}", below, where


def _exits() -> str:
    rows = [
        line.split(maxsplit=1)
        for line in (inspect.getdoc(exits) or "").splitlines()
        if line[:1].isdigit()
    ]
    table = "\n".join(f"| {status} | {text} |" for status, text in rows)
    return f"## Exit status\n\n| status | |\n|---|---|\n{table}"


def _overview(found: list[tuple[str, Any, str]]) -> str:
    panels: dict[str, list[str]] = {}
    for name, _, panel in found:
        panels.setdefault(panel, []).append(f"[`{name}`](#{name.replace(' ', '-')})")
    rows = "\n".join(f"| {panel} | {', '.join(names)} |" for panel, names in panels.items())
    return f"## All commands\n\n| | |\n|---|---|\n{rows}"


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    usage = [name, *(_argument(one) for one in arguments), *(["[OPTIONS]"] if options else [])]
    yield f"## {name}"
    yield f"`{' '.join(usage)}`"
    yield _text(command.help or "")
    rows = [f"| `{one.display_name_raw}` | {_help(one)} |" for one in arguments if one.help]
    rows += [f"| {_names(one)} | {_help(one)} |" for one in options]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows])


def _argument(one: Any) -> str:
    name = one.display_name_raw
    if one.metavar is None:
        name = name.upper()
    if one.nargs != 1 and not name.endswith("..."):
        name += "..."
    return name if one.required or name.startswith("[") else f"[{name}]"


def _names(one: Any) -> str:
    spelled = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    if one.is_flag:
        return spelled
    if one.metavar:
        return f"{spelled} `{one.metavar}`"
    choices = one.type_descriptor.choices if one.type_descriptor.is_choice else None
    if choices:
        return spelled + " " + ", ".join(f"`{getattr(each, 'value', each)}`" for each in choices)
    return f"{spelled} `{one.name.upper()}`"


def _help(one: Any) -> str:
    """What the help says, with what it adds by itself: more than once, required, a default."""
    said = [_text(one.help or "")]
    if one.param_type_name == "option" and one.multiple:
        said.append("May be repeated.")
    if one.param_type_name == "option" and one.required:
        said.append("Required.")
    if one.show_default is not False and one.default not in (None, False, "", (), []):
        said.append(f"Default: `{getattr(one.default, 'value', one.default)}`.")
    return " ".join(part for part in said if part)


def _text(text: str) -> str:
    """On one line, for a table, without the marks of the terminal's own markup."""
    return " ".join(text.replace("\\[", "[").replace("\b", "").split()).replace("|", "\\|")


def _verifier() -> Iterator[str]:
    parser = triton_verify.parser()
    yield "## triton-verify"
    yield "`triton-verify PATH [OPTIONS]`"
    yield f"{parser.description} {parser.epilog}"
    yield _VERIFY
    rows = []
    for one in parser._actions:
        if one.dest == "help":
            continue
        shown = ", ".join(f"`{name}`" for name in one.option_strings) or f"`{one.dest.upper()}`"
        if one.option_strings and one.nargs != 0:
            shown += f" `{one.dest.upper()}`"
        again = " May be repeated." if type(one).__name__ == "_AppendAction" else ""
        rows.append(f"| {shown} | {_text(one.help or '')}.{again} |")
    yield "\n".join(["| | |", "|---|---|", *rows])
