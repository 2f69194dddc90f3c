"""Owns the sample records of a tenant in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql as text

from triton.domain.connection import check_tenant, enter
from triton.domain.statements import sql
from triton.errors import UnavailableError, no_answer
from triton.identity.statements import sql as of_identity

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


def seed(database_url: str, tenant: str, added: Callable[[], None] | None = None) -> dict[str, int]:
    """Add the sample records that the tenant does not have; answers how many rows each table has of it.
    `added` is called where the tenant's organization is new, before it is there for others.

    Raises ValidationError for no tenant, UnavailableError.
    """
    try:
        with (
            psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection,
            connection.transaction(),
        ):
            check_tenant(tenant)
            values = {"id": tenant, "name": tenant, "by": "system:seed"}
            if connection.execute(of_identity("organization_add"), values).rowcount and added:
                added()
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
