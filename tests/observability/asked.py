"""Owns the lists of what dashboards and alerts ask for."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy" / "observability"


class Asked(NamedTuple):
    """A metric in an expression, with the labels that it is chosen by."""

    where: str
    metric: str
    labels: frozenset[str]


@cache
def rules() -> list[dict[str, Any]]:
    """Every alert."""
    read = yaml.safe_load((FILES / "prometheus" / "rules" / "triton.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard, by its file's name."""
    folder = FILES / "grafana" / "dashboards"
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def asked_in(where: str, expression: str) -> list[Asked]:
    return [
        Asked(where, name, frozenset(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)))
        for name, chosen in re.findall(
            r"\b((?:triton|process|python)_\w+|up\b)(?:\{([^}]*)\})?", expression
        )
    ]


def asked() -> list[Asked]:
    """All metrics that alerts and dashboards name."""
    found = [one for rule in rules() for one in asked_in(rule["alert"], rule["expr"])]
    for name, board in dashboards().items():
        for panel in board["panels"]:
            where = f"{name}: {panel['title']}"
            found += [o for target in panel["targets"] for o in asked_in(where, target["expr"])]
        for variable in board["templating"]["list"]:
            found += asked_in(name, variable.get("definition", ""))
    return found
