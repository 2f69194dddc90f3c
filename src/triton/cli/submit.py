"""Owns `triton submit` and `triton upload`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json, Url


def submit(
    actor: Annotated[
        str | None,
        typer.Argument(help="The actor's name, for example documents.extract.", show_default=False),
    ] = None,
    args: Annotated[
        str | None, typer.Option(metavar="ARRAY", help="Positional arguments, as a JSON array.")
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option(metavar="OBJECT", help="Named arguments, as a JSON object.")
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TEXT", help="One named argument; NAME:=JSON for anything but a text."
        ),
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="Another queue than the one that the actor declares.")
    ] = None,
    delay: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before it may start: 500ms, 10s, 2m, 1h.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TEXT",
            help="One of the API's options, like ttl_ms:=60000, priority:=-5 or tenant=acme.",
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key is the same job.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    bulk: Annotated[
        Path | None,
        typer.Option(
            "--bulk",
            metavar="FILE",
            help="Many jobs: a JSON object per line, as POST /jobs takes it; - is standard input.",
            show_default=False,
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="With --bulk: submit the lines that fit, not all or none."),
    ] = False,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Submit a job, and print its id; with --watch, exit 1 where it does not complete. Or many, by --bulk."""
    if bulk is not None:
        _alone(
            actor=actor,
            args=args,
            kwargs=kwargs,
            arg=arg,
            option=option,
            queue=queue,
            delay=delay,
            watch=watch,
        )
        _submit_file(bulk, data, url, partial=partial, key=idempotency_key, as_json=as_json)
    if actor is None:
        raise typer.BadParameter("name an actor, or give --bulk FILE")
    if partial:
        raise typer.BadParameter("--partial goes with --bulk FILE")
    from triton.cli.arguments import json_array, json_object, milliseconds, named
    from triton.cli.target import async_client, client
    from triton.cli.watch import follow_job

    request: dict[str, Any] = {
        "actor": actor,
        "args": json_array("--args", args),
        "kwargs": json_object("--kwargs", kwargs) | named("--arg", arg or ()),
    }
    if queue is not None:
        request["queue"] = queue
    options = named("--option", option or ())
    if delay is not None:
        options["delay_ms"] = milliseconds("--delay", delay)
    if options:
        request["options"] = options
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    with client(data, url) as api:
        reply = api.post("/jobs", request, headers=headers)
    _say(reply, watch=watch, as_json=as_json)
    if watch:
        found = async_client(data, url)
        raise typer.Exit(follow_job(found, reply["id"], from_start=True, as_json=as_json))


def _say(reply: dict[str, Any], *, watch: bool, as_json: bool) -> None:
    from triton.cli import output

    if as_json and watch:
        output.json_line(reply)
    elif as_json:
        output.document(reply)
    elif watch or output.is_terminal():
        known = " (submitted before under this key)" if reply["existing"] else ""
        output.line(f"{reply['id']}  {reply['state']} in queue {reply['queue']}{known}")
    else:
        # A program that reads this wants what the next command takes.
        output.line(reply["id"])


def _alone(**given: object) -> None:
    """Raises where anything else was given beside --bulk: every line of the file says it for itself."""
    wrong = [name.replace("_", "-") for name, value in given.items() if value]
    if wrong:
        raise typer.BadParameter(
            f"{wrong[0]} does not go with --bulk: each line of the file says it for itself"
        )


def _submit_file(
    file: Path, data: str | None, url: str | None, *, partial: bool, key: str | None, as_json: bool
) -> NoReturn:
    from triton.cli.bulk import submit_file
    from triton.cli.target import client

    with client(data, url) as api:
        raise typer.Exit(submit_file(api, file, partial=partial, key=key, as_json=as_json))


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Documents of any type.")],
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Upload documents and print their ids, to a pipe nothing else; exit 1 where one could not be read."""
    import msgspec

    from triton.cli import output
    from triton.cli.target import client

    uploaded, failed = [], False
    with client(data, url) as api:
        for path in files:
            try:
                found = msgspec.to_builtins(api.upload(path))
            except OSError as error:
                failed = True
                output.warn(f"{path}: {error.strerror or error}")
                continue
            uploaded.append(found)
            if as_json:
                continue
            # A program that reads this wants what the next command takes.
            about = f"  {found['filename']}  {found['size']} bytes" if output.is_terminal() else ""
            output.line(found["id"] + about)
    if as_json:
        output.document(uploaded)
    if failed:
        raise typer.Exit(NO)
