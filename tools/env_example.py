"""Makes .env.example: what compose.yaml asks for, and every setting with its meaning, default and bounds."""

from __future__ import annotations

import re
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec

from triton import settings

_ROOT = Path(__file__).resolve().parents[1]
_COMPOSE = ("compose.yaml", "compose.dev.yaml", "compose.prod.yaml", "compose.backup.yaml")
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
_HEAD = """\
# Made from src/triton/settings.py and the compose files by tools/reference.py. Copy it to .env and fill in
# the first part, or let `scripts/start.sh --compose` do both. Docker Compose reads .env by itself; for
# `triton up`: set -a; . ./.env; set +a

# ----------------------------------------------------------------------------------------------------
# For the compose files. What is empty here must be filled in: letters and digits only, because some of them
# become parts of URLs. There are no defaults for secrets.
"""
_SETTINGS = """
# ----------------------------------------------------------------------------------------------------
# Every setting of Triton, with its default. Remove the first # of a line to change it. In the compose files
# the URLs of the engines, TRITON_DATA, TRITON_HOST, TRITON_TENANT_KEYS and TRITON_SUBJECT_KEYS are set
# already.
"""
#: What the compose files ask for, besides settings.
_ABOUT = {
    "VALKEY_PASSWORD": "Of Valkey.",
    "POSTGRES_PASSWORD": "Of the role triton in PostgreSQL; counts when its volume is new.",
    "CLICKHOUSE_PASSWORD": "Of the user triton in ClickHouse.",
    "OBJECT_STORE_KEY": "The access key of the S3-compatible store.",
    "OBJECT_STORE_SECRET": "Its secret.",
    "TRITON_ADMIN_PASSWORD": "Of the first admin (TRITON_ADMIN_LOGIN), 12 characters or more.",
    "GRAFANA_ADMIN_PASSWORD": "Of Grafana's user admin, for the profile observability.",
    "IMAGE": "The image of every role; compose.prod.yaml builds none and asks for it.",
    "BACKUPS": "Folder that compose.backup.yaml puts backups into; uid 10001 must be able to write there.",
    "METRICS_KEY_FILE": "File with an API key that may read metrics, for the profile observability.",
}


#: What `triton.settings.traces_exporter` and OpenTelemetry's SDK read, with a value to begin with.
_TRACING = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http://collector:4318", "Where spans go, by OTLP over HTTP."),
    "OTEL_TRACES_SAMPLER": ("parentbased_traceidratio", "Which traces are kept."),
    "OTEL_TRACES_SAMPLER_ARG": ("0.1", "Which part of them."),
    "OTEL_SERVICE_NAME": (
        "",
        "The same name for all roles, in place of triton-api, triton-worker.",
    ),
    "OTEL_RESOURCE_ATTRIBUTES": ("deployment.environment.name=production", "Said with each span."),
    "OTEL_TRACES_EXPORTER": ("otlp", "otlp, console or none; an endpoint alone means otlp."),
}
_TRACES = """
# ----------------------------------------------------------------------------------------------------
# OpenTelemetry's own variables, which every role reads (docs/guides/tracing.md); each with an example. None
# is set by default, and then nothing is traced. The image has what it takes; else it is the extra `otel`.
"""


def env_example(comments: dict[str, str]) -> str:
    """The file; `comments` is each setting's meaning by its name."""
    parts = [_HEAD]
    asked = _asked()
    for name, about in _ABOUT.items():
        required, default = asked[name]
        line = f"{name}=" if required and name != "IMAGE" else f"#{name}={default}"
        parts.append(f"{_comment(about)}{line}\n")
    parts.append(_SETTINGS)
    hints = typing.get_type_hints(settings.Settings, include_extras=True)
    for field in msgspec.structs.fields(settings.Settings):
        name = settings.PREFIX + field.name.upper()
        if name in _ABOUT:
            continue
        about = comments[field.name].replace("\\|", "|") + _bounds(hints[field.name])
        parts.append(f"{_comment(about)}#{name}={_text(field.default)}\n")
    parts.append(_TRACES)
    for name, (example, about) in _TRACING.items():
        parts.append(f"{_comment(about)}#{name}={example}\n")
    return "\n".join(parts)


def _asked() -> dict[str, tuple[bool, str]]:
    """Variable -> whether the compose files insist on it, and its default there."""
    found: dict[str, tuple[bool, str]] = {}
    for file in _COMPOSE:
        for name, how, text in _VARIABLE.findall((_ROOT / file).read_text()):
            known = found.get(name, (False, ""))
            found[name] = (known[0] or how == "?", known[1] or (text if how == "-" else ""))
    names = {name for name in found if not name.startswith(settings.PREFIX)}
    if undescribed := names - _ABOUT.keys():
        raise SystemExit(f"tools/env_example.py does not say what {sorted(undescribed)} is for")
    return found


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 104))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(hint: Any) -> str:
    """What a value may be, where the type says more than text."""
    if typing.get_origin(hint) is Literal:
        return f" One of: {', '.join(typing.get_args(hint))}."
    if hint is bool:
        return " true or false."
    if not isinstance(hint, types.GenericAlias) and hasattr(hint, "__metadata__"):
        meta = hint.__metadata__[0]
        least, most = getattr(meta, "ge", None), getattr(meta, "le", None)
        if least is not None and most is not None:
            return f" From {least} to {most}."
        if least is not None:
            return f" At least {least}."
    return ""
