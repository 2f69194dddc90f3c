"""Owns which routes are made by the same lines as others: what tries every route leaves them out."""

from __future__ import annotations

from typing import Final

#: Kinds of records that are routed by the same lines as the others; `make contract` tries all of them.
_KINDS: Final = (
    "dashboard-templates",
    "enhancement-history",
    "evaluations",
    "executions",
    "models",
    "prospects",
    "roi-models",
    "value-propositions",
    "webhook-targets",
)
#: Their routes, and no others below them.
ALIKE: Final = rf"^/api/v1/({'|'.join(_KINDS)})(/\{{record\}}(/secret)?)?$"
