"""Owns schema migrations: which files there are, which are applied, and how they go up and down.

Files are `schema/<engine>/NNNN_name.up.sql` and `.down.sql`, applied in the order of their numbers, under
one lock for both engines. An applied file never changes: its SHA-256 is compared at every step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from triton.errors import ConfigurationError
from triton.migration_targets import ClickHouseTarget, PostgresTarget, check_fit, migration_lock

EngineName: TypeAlias = Literal["postgres", "clickhouse", "outbox", "subject_keys"]
#: An application's database may well have a schema_migrations of its own.
OUTBOX_VERSIONS: Final = "triton_outbox_migrations"
KEYS_VERSIONS: Final = "subject_keys_migrations"
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.(up|down)\.sql\Z")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of files. `sha256` is of the up file's bytes."""

    engine: EngineName
    number: int
    name: str
    up: str
    down: str
    sha256: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One migration as it stands: `changed` means that its file differs from what was applied,
    `unknown` that it was applied but has no file here (by a newer Triton)."""

    engine: EngineName
    number: int
    name: str
    state: Literal["applied", "pending", "changed", "unknown"]
    applied_at: datetime | None = None


def schema_folder() -> Traversable:
    """`schema/` of an installed wheel, or of the source checkout. Raises ConfigurationError."""
    packaged = resources.files("triton").joinpath("schema")
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).parents[2] / "schema"
    if checkout.is_dir():
        return checkout
    raise ConfigurationError(
        "the folder schema/ with the migrations is neither in the installed package nor beside src/: "
        "install Triton again"
    )


def discover(engine: EngineName, folder: Traversable | None = None) -> list[Migration]:
    """The migrations of an engine, by number from 1 without a gap. Raises ConfigurationError."""
    home = (folder or schema_folder()).joinpath(engine)
    texts: dict[int, dict[str, tuple[str, str]]] = {}
    for file in sorted(home.iterdir(), key=lambda found: found.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.match(file.name)
        if match is None:
            raise ConfigurationError(
                f"schema/{engine}/{file.name}: expected a name like 0001_words.up.sql"
            )
        number, name, way = int(match[1]), match[2], match[3]
        pair = texts.setdefault(number, {})
        if way in pair or any(other != name for other, _ in pair.values()):
            raise ConfigurationError(
                f"schema/{engine}/{file.name}: the number {number:04} is taken by another migration"
            )
        pair[way] = (name, file.read_text(encoding="utf-8"))
    for expected, number in enumerate(sorted(texts), start=1):
        if number != expected or texts[number].keys() != {"up", "down"}:
            raise ConfigurationError(
                f"schema/{engine}: expected {expected:04}_*.up.sql and {expected:04}_*.down.sql, "
                f"found {sorted(texts[number])} of {number:04}"
            )
    return [
        Migration(
            engine=engine,
            number=number,
            name=pair["up"][0],
            up=pair["up"][1],
            down=pair["down"][1],
            sha256=hashlib.sha256(pair["up"][1].encode()).hexdigest(),
        )
        for number, pair in sorted(texts.items())
    ]


def up(
    database_url: str,
    clickhouse_url: str = "",
    *,
    to: int | None = None,
    outbox: bool = False,
    subject_keys: bool = False,
) -> list[Step]:
    """Apply what is pending, of each engine up to number `to`; answers the steps that were taken.

    PostgreSQL always takes part, since it holds the lock; ClickHouse where its URL is given. With `outbox`
    the URL is of an application's database, which gets the outbox and nothing else; with `subject_keys` of
    the database of data subjects' keys.
    Raises ConfigurationError for a changed or unknown migration, UnavailableError.
    """
    taken: list[Step] = []
    with _locked(database_url, clickhouse_url, outbox=outbox, subject_keys=subject_keys) as targets:
        for target, migrations in targets:
            steps = _refuse_drift(_steps(target, migrations))
            for migration, step in zip(migrations, steps, strict=True):
                if step.state == "pending" and (to is None or migration.number <= to):
                    target.apply(migration.number, migration.name, migration.up, migration.sha256)
                    taken.append(msgspec.structs.replace(step, state="applied"))
    return taken


def down(
    database_url: str,
    clickhouse_url: str = "",
    *,
    to: int,
    clickhouse_to: int | None = None,
    outbox: bool = False,
) -> list[Step]:
    """Undo every applied migration with a number above `to`, the newest first. 0 undoes all. ClickHouse's
    own numbers may end elsewhere: `clickhouse_to`.

    Data in the tables that go is lost; the log can fill them again. Errors as `up`.
    """
    taken: list[Step] = []
    with _locked(database_url, clickhouse_url, outbox=outbox) as targets:
        for target, migrations in reversed(targets):
            steps = _refuse_drift(_steps(target, migrations))
            last = to
            if target.engine == "clickhouse" and clickhouse_to is not None:
                last = clickhouse_to
            for migration, step in reversed(list(zip(migrations, steps, strict=True))):
                if step.state == "applied" and migration.number > last:
                    target.revert(migration.number, migration.down)
                    taken.append(msgspec.structs.replace(step, state="pending", applied_at=None))
    return taken


def status(database_url: str, clickhouse_url: str = "") -> list[Step]:
    """Every migration of every engine and its state; changes nothing but makes the table of versions."""
    with _locked(database_url, clickhouse_url) as targets:
        return [step for target, migrations in targets for step in _steps(target, migrations)]


_Target: TypeAlias = PostgresTarget | ClickHouseTarget


@contextmanager
def _locked(
    database_url: str, clickhouse_url: str, *, outbox: bool = False, subject_keys: bool = False
) -> Iterator[list[tuple[_Target, list[Migration]]]]:
    with ExitStack() as stack:
        connection = stack.enter_context(migration_lock(database_url))
        if outbox:
            yield [(PostgresTarget(connection, "outbox", OUTBOX_VERSIONS), discover("outbox"))]
            return
        if subject_keys:
            target = PostgresTarget(connection, "subject_keys", KEYS_VERSIONS)
            yield [(target, discover("subject_keys"))]
            return
        check_fit(connection)
        targets: list[tuple[_Target, list[Migration]]] = [
            (PostgresTarget(connection), discover("postgres"))
        ]
        if clickhouse_url:
            clickhouse = stack.enter_context(ClickHouseTarget(clickhouse_url))
            targets.append((clickhouse, discover("clickhouse")))
        yield targets


def _steps(target: _Target, migrations: Sequence[Migration]) -> list[Step]:
    applied = target.applied()
    steps = []
    for migration in migrations:
        found = applied.pop(migration.number, None)
        state: Literal["applied", "pending", "changed"] = "pending"
        if found is not None:
            state = "applied" if found.sha256 == migration.sha256 else "changed"
        steps.append(
            Step(
                engine=migration.engine,
                number=migration.number,
                name=migration.name,
                state=state,
                applied_at=found.applied_at if found else None,
            )
        )
    for number, row in sorted(applied.items()):
        steps.append(
            Step(
                engine=target.engine,
                number=number,
                name=row.name,
                state="unknown",
                applied_at=row.applied_at,
            )
        )
    return steps


def _refuse_drift(steps: list[Step]) -> list[Step]:
    for step in steps:
        file = f"schema/{step.engine}/{step.number:04}_{step.name}.up.sql"
        if step.state == "changed":
            raise ConfigurationError(
                f"{file} was changed after it was applied (its SHA-256 differs): put the old text back "
                "and write the change as a new migration",
                engine=step.engine,
                number=step.number,
            )
        if step.state == "unknown":
            raise ConfigurationError(
                f"migration {step.number:04} {step.name} is applied to {step.engine}, but this Triton has "
                f"no {file}: the data belongs to a newer Triton, use that one",
                engine=step.engine,
                number=step.number,
            )
    return steps
