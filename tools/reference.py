"""Writes docs/reference/cli.md, settings.md, events.md, routes.md, metrics.md and .env.example from the code
they describe.

python tools/reference.py            write the files
python tools/reference.py --check    exit 1 if they are not current
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from pathlib import Path

import msgspec
from commands import commands_page
from env_example import env_example
from metrics_page import metrics_page
from routes import routes_page

from triton import settings
from triton.events import types
from triton.events.envelope import FIELDS, Event

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "reference"


def field_comments(module: object, name: str) -> dict[str, str]:
    """Field -> its `#:` comment, of one class in a module's source."""
    lines = inspect.getsource(module).splitlines()  # type: ignore[arg-type]
    tree = ast.parse("\n".join(lines))
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for field in node.body:
                if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                    continue
                above = []
                row = field.lineno - 2
                while lines[row].strip().startswith("#:"):
                    above.append(lines[row].strip()[2:].strip())
                    row -= 1
                found[field.target.id] = " ".join(reversed(above)).replace("|", "\\|")
    return found


def settings_page() -> str:
    comments = field_comments(settings, "Settings")
    rows = [
        f"| `{settings.PREFIX}{field.name.upper()}` | `{field.default!r}` | {comments[field.name]} |"
        for field in msgspec.structs.fields(settings.Settings)
    ]
    head = (
        "# Settings\n\nMade from `src/triton/settings.py` by `tools/reference.py`. Every setting is an "
        "environment variable; `triton up` takes the most used as options too. An empty URL means the "
        "embedded engine below the data folder.\n\n| variable | default | meaning |\n|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def events_page() -> str:
    parts = [
        "# Events\n\nMade from `src/triton/events/types.py` by `tools/reference.py`. A log entry has the "
        "fields " + ", ".join(f"`{name.decode()}`" for name in FIELDS) + "; its stream id is "
        "`<position>-0`. `data` is a msgpack map of the fields below, those at their default left out. "
        f"The current schema version is {types.SCHEMA}.",
        "## The envelope\n\n| field | meaning |\n|---|---|",
    ]
    comments = field_comments(inspect.getmodule(Event), "Event")
    parts[-1] += "".join(f"\n| `{name}` | {text} |" for name, text in comments.items())
    for name, cls in types.TYPES.items():
        about = " ".join((inspect.getdoc(cls) or "").split())
        section = f"## `{name}`\n\n{about}"
        fields = msgspec.structs.fields(cls)
        if fields:
            hints = typing.get_type_hints(cls)
            section += "\n\n| field | type | default |\n|---|---|---|"
            for field in fields:
                hint = hints[field.name]
                shown = getattr(hint, "__name__", str(hint)).replace("|", "\\|")
                default = (
                    "required" if field.default is msgspec.NODEFAULT else f"`{field.default!r}`"
                )
                section += f"\n| `{field.name}` | `{shown}` | {default} |"
        parts.append(section)
    return "\n\n".join(parts) + "\n"


def env_page() -> str:
    return env_example(field_comments(settings, "Settings"))


PAGES = {
    "cli.md": commands_page,
    "settings.md": settings_page,
    "events.md": events_page,
    "routes.md": routes_page,
    "metrics.md": metrics_page,
    "../../.env.example": env_page,
}


def main() -> int:
    stale = []
    for name, page in PAGES.items():
        path = OUT / name
        text = page()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"not current: {', '.join(stale)}; run python tools/reference.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
