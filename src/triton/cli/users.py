"""Owns `triton users`: who can log in, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from triton.cli.options import Data, Json, Url
from triton.identity.permissions import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(no_args_is_help=True, help="Add, list, change and disable users.")

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="What the person types; or the id.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the event.")]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="The password, or - for standard input; asked for without it."
    ),
]


@app.command()
def add(
    login: Login,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.VIEWER,
    tenant: Annotated[str | None, typer.Option(help="Without: every tenant.")] = None,
    name: Annotated[str, typer.Option(help="The person's name.")] = "",
    password_file: PasswordFile = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Cannot log in; may own API keys.")
    ] = False,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Add a user; the password is asked for, or read from a file."""
    from triton.cli.target import client
    from triton.cli.typed_password import new_password

    wanted: dict[str, Any] = {"login": login, "role": role.value, "name": name, "reason": reason}
    if tenant is not None:
        wanted["tenant"] = tenant
    if not no_password:
        wanted["password"] = new_password(password_file)
    with client(data, url) as api:
        _show(api.post("/users", wanted), as_json=as_json)


@app.command("list")
def list_users(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List users, the newest first."""
    from triton.cli import output
    from triton.cli.jobs import pages
    from triton.cli.output import local_time
    from triton.cli.target import client

    with client(data, url) as api:
        found = pages(api, "/users", "users", {"next": None}, limit, 200, {"tenant": tenant})
    if as_json:
        output.document({"users": found})
        return
    rows = [
        (
            one["login"],
            one["role"],
            one["tenant"] or "every one",
            "disabled" if one["disabled"] else "" if one["has_password"] else "no password",
            local_time(one["last_login_at"]) if one["last_login_at"] else "never",
            one["id"],
        )
        for one in found
    ]
    output.table("", ("login", "role", "tenant", "", "last login", "id"), rows)


@app.command()
def role(
    login: Login,
    role: Annotated[Role, typer.Argument(help="What the user may do from now on.")],
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Give a user another role; it counts within seconds."""
    _change(login, {"role": role.value, "reason": reason}, data, url, as_json=as_json)


@app.command()
def disable(
    login: Login,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Let a user in no more: all sessions end, and API keys of the user rest."""
    _change(login, {"disabled": True, "reason": reason}, data, url, as_json=as_json)


@app.command()
def enable(
    login: Login,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Let a disabled user in again."""
    _change(login, {"disabled": False, "reason": reason}, data, url, as_json=as_json)


@app.command()
def password(
    login: Login,
    password_file: PasswordFile = None,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Give a user another password: all sessions end."""
    from triton.cli.typed_password import new_password

    wanted = {"password": new_password(password_file), "reason": reason}
    _change(login, wanted, data, url, as_json=as_json)


def _change(
    login: str, wanted: Mapping[str, Any], data: str | None, url: str | None, *, as_json: bool
) -> None:
    from triton.cli.target import client

    with client(data, url) as api:
        _show(api.change("PATCH", f"/users/{quote(login, safe='')}", wanted), as_json=as_json)


def _show(user: Mapping[str, Any], *, as_json: bool) -> None:
    from triton.cli import output

    if as_json:
        output.document(user)
        return
    standing = "disabled, " if user["disabled"] else ""
    where = user["tenant"] or "every tenant"
    output.line(f"{user['login']}  {standing}{user['role']} of {where}  {user['id']}")
