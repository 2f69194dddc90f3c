"""Writes deploy/observability/grafana/dashboards/*.json from what tools/boards.py says they show.

python tools/dashboards.py            write the files
python tools/dashboards.py --check    exit 1 if they are not current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from boards import BOARDS, Board, Panel

OUT = Path(__file__).resolve().parents[1] / "deploy" / "observability" / "grafana" / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24


def dashboard(board: Board) -> dict[str, Any]:
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["triton"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "Triton",
                "type": "dashboards",
                "tags": ["triton"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
            }
        ],
        "templating": {"list": _variables(board)},
        "annotations": {"list": []},
        "panels": [_panel(number, one) for number, one in enumerate(board.panels)],
    }


def _variables(board: Board) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    ]
    if board.choice is not None:
        label, metric = board.choice
        query = f"label_values({metric}, {label})"
        found.append(
            {
                "name": label,
                "label": label.capitalize(),
                "type": "query",
                "datasource": _SOURCE,
                "definition": query,
                "query": {"query": query, "refId": label},
                "refresh": 2,
                "sort": 1,
                "multi": True,
                "includeAll": True,
                "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
            }
        )
    return found


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    across = _COLUMNS // _WIDTH
    place = {
        "x": number % across * _WIDTH,
        "y": number // across * _HEIGHT,
        "w": _WIDTH,
        "h": _HEIGHT,
    }
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {}
    if panel.kind == "stat":
        options = {
            "colorMode": "none",
            "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    else:
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for at, (expression, legend) in enumerate(panel.queries)
        ],
    }


def main() -> int:
    stale = []
    for board in BOARDS:
        path = OUT / f"{board.uid}.json"
        text = json.dumps(dashboard(board), indent=2) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"not current: {', '.join(stale)}; run python tools/dashboards.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
