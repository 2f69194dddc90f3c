"""Owns the fixtures of the domain's tests: a migrated database."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def database_template(migrated_template: str) -> str:
    return migrated_template
