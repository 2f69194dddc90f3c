"""Owns the sample records of a tenant in PostgreSQL."""

from __future__ import annotations

import psycopg
from psycopg import sql as text

from triton.domain.connection import enter
from triton.domain.statements import sql
from triton.errors import UnavailableError, no_answer

#: What `seed` fills, in the order that references want.
TABLES = (
    "clients",
    "value_propositions",
    "dashboard_templates",
    "prospects",
    "prospect_dashboard_data",
    "roi_models",
    "prompts",
    "models",
    "executions",
    "evaluations",
    "enhancement_history",
)


def seed(database_url: str, tenant: str) -> dict[str, int]:
    """Add the sample records that the tenant does not have; answers how many rows each table has of it.

    Raises ValidationError for no tenant, UnavailableError.
    """
    try:
        with (
            psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection,
            connection.transaction(),
        ):
            enter(connection, tenant)
            connection.execute(sql("seed"))
            return {table: _count(connection, table) for table in TABLES}
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error


def _count(connection: psycopg.Connection, table: str) -> int:
    found = connection.execute(
        text.SQL("SELECT count(*) FROM {}").format(text.Identifier(table))
    ).fetchone()
    return int(found[0]) if found else 0
