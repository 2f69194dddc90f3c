"""Owns `triton tenants`: which organizations there are, and whether they are let in."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from triton.cli.options import Data, Json, Url

app = typer.Typer(no_args_is_help=True, help="Add, list and disable tenants.")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Its id, which jobs carry.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the event.")]


@app.command()
def add(
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Add a tenant."""
    from triton.cli import output
    from triton.cli.target import client

    with client(data, url) as api:
        made = api.post("/organizations", {"id": tenant, "name": name, "reason": reason})
    output.document(made) if as_json else output.line(f"{made['id']}  {made['name']}")


@app.command("list")
def list_tenants(data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """List tenants."""
    from triton.cli import output
    from triton.cli.target import client

    with client(data, url) as api:
        found = api.get("/organizations")
    if as_json:
        output.document(found)
        return
    rows = [
        (one["id"], one["name"], "disabled" if one["disabled"] else "")
        for one in found["organizations"]
    ]
    output.table("", ("tenant", "name", ""), rows)


@app.command()
def disable(tenant: Tenant, reason: Reason = "", data: Data = None, url: Url = None) -> None:
    """Let nobody of a tenant in; its jobs and data stay."""
    _change(tenant, reason, data, url, disabled=True)


@app.command()
def enable(tenant: Tenant, reason: Reason = "", data: Data = None, url: Url = None) -> None:
    """Let the people and keys of a tenant in again."""
    _change(tenant, reason, data, url, disabled=False)


def _change(tenant: str, reason: str, data: str | None, url: str | None, *, disabled: bool) -> None:
    from triton.cli import output
    from triton.cli.target import client

    with client(data, url) as api:
        path = f"/organizations/{quote(tenant, safe='')}"
        api.change("PATCH", path, {"disabled": disabled, "reason": reason})
    output.line(f"{tenant}  {'disabled' if disabled else 'let in'}")
