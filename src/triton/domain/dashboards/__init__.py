"""Owns the questions of dashboards: one statement of ClickHouse for each, by name.

Each takes `tenant`, and a time from `since` up to but not including `until`: days, the first of a month where
it is by month.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

NAMES: Final = (
    "clinical_control",
    "high_cost_members",
    "monthly_trend",
    "pharmacy_share",
    "pmpm",
    "pmpm_from_claims",
    "top_diagnoses",
    "utilization",
)


@cache
def sql(name: str) -> str:
    """The statement in `sql/<name>.sql`."""
    return resources.files(__package__).joinpath(f"sql/{name}.sql").read_text()
