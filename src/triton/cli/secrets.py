"""Owns `triton secrets`: the keys that seal tenants' secrets."""

from __future__ import annotations

import typer

from triton.cli.options import Data, Json

app = typer.Typer(no_args_is_help=True, help="The keys that seal tenants' secrets.")


@app.callback()
def secrets() -> None:
    """The keys that seal tenants' secrets."""


@app.command()
def rotate(data: Data = None, as_json: Json = False) -> None:
    """Seal all secrets under a new key. The key before stays in the ring until the next rotation."""
    import psycopg

    from triton.cli import output
    from triton.cli.audit_reading import person
    from triton.cli.target import engines
    from triton.domain.key_ring import RingFile
    from triton.domain.secret_store import rotate as again
    from triton.errors import UnavailableError, no_answer
    from triton.events.types import RecordChanged
    from triton.identity.announcing import announce

    chosen = engines(data, "database_url", "redis_url", "tenant_keys")
    try:
        key, sealed = again(chosen.database_url, RingFile(chosen.tenant_keys))
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    event = RecordChanged(
        kind="secret-keys", record=key, change="created", version=sealed, sha256=""
    )
    announce(chosen, event, op=f"secret-keys:{key}", by=person())
    if as_json:
        output.document({"key": key, "sealed": sealed})
    else:
        output.line(f"{sealed} secrets are sealed under the key {key} now")
