"""Owns `triton keys`: API keys, the admin's that was lost, and the keys that sign access tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from triton.cli.options import Data, Json, Url
from triton.identity.permissions import Permission, Role

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the event.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    role: Annotated[Role | None, typer.Option(help="Without: yours.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Without: yours.")] = None,
    scope: Annotated[
        list[Permission] | None,
        typer.Option(help="What it may do of its role; may be given several times."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="In how long: 12h, 30d. Without: never.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="USER", help="Whose it is, by login or id.")
    ] = None,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Create an API key and print it, this once; to a pipe nothing else is printed."""
    from datetime import UTC, datetime, timedelta
    from urllib.parse import quote

    from triton.cli import output
    from triton.cli.arguments import milliseconds
    from triton.cli.target import client

    wanted: dict[str, Any] = {"name": name, "scopes": scope or [], "reason": reason}
    if role is not None:
        wanted["role"] = role.value
    if tenant is not None:
        wanted["tenant"] = tenant
    if expires is not None:
        ends = datetime.now(UTC) + timedelta(milliseconds=milliseconds("--expires", expires))
        wanted["expires_at"] = ends.isoformat()
    with client(data, url) as api:
        if owner is not None:
            wanted["owner"] = api.get(f"/users/{quote(owner, safe='')}")["id"]
        made = api.post("/keys", wanted)
    if as_json:
        output.document(made)
        return
    output.line(made["key"])
    if output.is_terminal():
        output.note(f"Keep it: it is not shown again. Its prefix is {made['prefix']}.")


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List API keys, the newest first; nothing of their secrets."""
    from triton.cli import output
    from triton.cli.jobs import pages
    from triton.cli.output import local_time
    from triton.cli.target import client

    with client(data, url) as api:
        found = pages(api, "/keys", "keys", {"next": None}, limit, 200, {"tenant": tenant})
    if as_json:
        output.document({"keys": found})
        return

    def standing(one: dict[str, Any]) -> str:
        if one["revoked_at"]:
            return f"revoked by {one['revoked_by']}"
        return f"until {local_time(one['expires_at'])}" if one["expires_at"] else ""

    rows = [
        (
            one["prefix"],
            one["name"],
            one["role"] + (f" ({', '.join(one['scopes'])})" if one["scopes"] else ""),
            one["tenant"] or "every one",
            local_time(one["last_used_at"]) if one["last_used_at"] else "never",
            standing(one),
        )
        for one in found
    ]
    output.table("", ("prefix", "name", "role", "tenant", "last used", ""), rows)


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As `list` shows it.")],
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
) -> None:
    """Let a key in no more: at once, and within TRITON_ACCESS_CACHE_MS in other API processes."""
    from urllib.parse import quote

    from triton.cli import output
    from triton.cli.target import client

    with client(data, url) as api:
        api.change("DELETE", f"/keys/{quote(prefix, safe='')}", reason=reason)
    output.line(f"{prefix}  revoked")


@app.command()
def recover(data: Data = None) -> None:
    """Make an admin's key without one, where you reach the database and Redis themselves.

    For a platform whose admin keys are lost. It prints the key, this once; the log says that it was made.
    """
    from triton.cli import output
    from triton.cli.target import engines
    from triton.identity.first_start import recovered_key

    output.line(recovered_key(engines(data, "database_url", "redis_url")).text)


@app.command("rotate-tokens")
def rotate_tokens(
    reason: Reason = "",
    data: Data = None,
) -> None:
    """Make a new key that signs access tokens; it is used from a minute later, and nobody is logged out."""
    import time

    from triton.cli import output
    from triton.cli.target import engines
    from triton.events.types import TokenKeyMade
    from triton.identity import token_keys
    from triton.identity.announcing import announce

    chosen = engines(data, "redis_url")
    algorithm = chosen.token_algorithm
    kid = token_keys.make(token_keys.folder_of(chosen), algorithm, int(time.time()))
    made = TokenKeyMade(key=kid, algorithm=algorithm, reason=reason)
    announce(chosen, made, op=f"token-key:{kid}", by="system:rotate-tokens")
    output.line(f"{kid}  {algorithm}, signs within {token_keys.SETTLED} s")
