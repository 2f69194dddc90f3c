"""Owns reading what deploys Triton: services of the compose files, manifests, and commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml
from typer.core import TyperGroup

from triton.cli.app import app
from triton.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
SETTINGS = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")

Document = dict[str, Any]


def compose(*overrides: str) -> Document:
    """A compose file as it is written; `compose("dev")` is the override alone."""
    found: Document = yaml.safe_load((ROOT / ".".join(["compose", *overrides, "yaml"])).read_text())
    return found


def variables() -> Iterator[tuple[str, str, str]]:
    """Name, `?` or `-` or nothing, and what follows it, of every variable in the compose files."""
    for file in sorted(ROOT.glob("compose*.yaml")):
        yield from _VARIABLE.findall(file.read_text())


def interpolated(text: str) -> str:
    """With a stand-in for what must be given, and the default for what may be."""
    return _VARIABLE.sub(lambda found: found[3] if found[2] == "-" else "given", text)


def documents(folder: Path = MANIFESTS) -> Iterator[tuple[Path, Document]]:
    """Every manifest below the folder with its file; no kustomization, no patch, no example."""
    for file in sorted(folder.rglob("*.yaml")):
        if file.name not in ("kustomization.yaml", "resources.yaml", "secrets.example.yaml"):
            for one in yaml.safe_load_all(file.read_text()):
                yield file, one


def workloads(folder: Path = MANIFESTS) -> dict[str, Document]:
    """Name -> the pod's spec, of everything that makes pods."""
    found = {}
    for _, one in documents(folder):
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if one["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            found[one["metadata"]["name"]] = spec["template"]["spec"]
    return found


@cache
def _commands() -> Any:
    return typer.main.get_command(app)


def refuse_wrong_command(words: list[str]) -> None:
    """Raises where `triton WORDS` is no command, or has an option that the command has not."""
    command = _commands()
    context = typer.Context(command, info_name="triton")
    rest = list(words)
    while isinstance(command, TyperGroup):
        assert rest, f"triton {' '.join(words)}: a command is missing"
        name = rest.pop(0)
        inner = command.get_command(context, name)
        assert inner is not None, f"triton {' '.join(words)}: there is no {name}"
        command, context = inner, typer.Context(inner, info_name=name, parent=context)
    command.make_context(words[-1], rest)
