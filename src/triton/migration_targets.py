"""Owns how a migration reaches PostgreSQL and ClickHouse: statements, the table of versions, the lock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self

import psycopg

from triton.errors import ConfigurationError, UnavailableError, no_answer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: The session lock that every migration of either engine holds: "triton" in ASCII.
LOCK: Final = 0x747269746F6E
LOCK_TIMEOUT: Final = "60s"
#: As libpq numbers its server.
OLDEST_POSTGRES: Final = 160000
NO_TRANSACTION: Final = "-- no-transaction"
_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)

_POSTGRES_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_CLICKHOUSE_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32, name String, sha256 String, applied Bool, at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(at) ORDER BY number"""


class Applied(NamedTuple):
    name: str
    sha256: str
    applied_at: datetime


@contextmanager
def migration_lock(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that holds the lock until the end. Raises UnavailableError, ConfigurationError."""
    try:
        connection = psycopg.connect(database_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    with connection:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding == "SQL_ASCII":
            raise ConfigurationError(
                f"PostgreSQL's database {connection.info.dbname} has the encoding SQL_ASCII, which is none: "
                "create it with ENCODING 'UTF8' TEMPLATE template0"
            )
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        except psycopg.errors.LockNotAvailable as error:
            raise UnavailableError(
                f"another migration holds the lock for more than {LOCK_TIMEOUT}: wait for it to end"
            ) from error
        connection.execute("SET lock_timeout = 0")
        yield connection


class PostgresTarget:
    """One transaction for a file and its row of `schema_migrations`, unless it begins with
    `-- no-transaction`: then its statements run one by one, split at `;` at a line's end."""

    def __init__(
        self,
        connection: psycopg.Connection,
        engine: Literal["postgres", "outbox", "subject_keys"] = "postgres",
        table: str = "schema_migrations",
    ) -> None:
        self.engine = engine
        self._connection = connection
        self._table = table
        connection.execute("SET client_min_messages = warning")
        try:
            connection.execute(_POSTGRES_VERSIONS.format(table=table).encode())
        except psycopg.errors.InsufficientPrivilege as error:
            user, database = connection.info.user, connection.info.dbname
            raise ConfigurationError(
                f"PostgreSQL's user {user} may make no tables in the database {database} "
                f"({error.diag.message_primary}): let an administrator run `ALTER DATABASE {database} "
                f"OWNER TO {user}`, or name another user or database"
            ) from error

    def applied(self) -> dict[int, Applied]:
        rows = self._connection.execute(
            f"SELECT number, name, sha256, applied_at FROM {self._table}".encode()
        )
        return {number: Applied(*rest) for number, *rest in rows}

    def apply(self, number: int, name: str, text: str, sha256: str) -> None:
        self._run(
            f"schema/{self.engine}/{number:04}_{name}.up.sql",
            text,
            f"INSERT INTO {self._table} (number, name, sha256) VALUES (%s, %s, %s)",
            (number, name, sha256),
        )

    def revert(self, number: int, text: str) -> None:
        self._run(
            f"schema/{self.engine}/{number:04}_*.down.sql",
            text,
            f"DELETE FROM {self._table} WHERE number = %s",
            (number,),
        )

    def _run(self, file: str, text: str, record: str, values: tuple[object, ...]) -> None:
        try:
            if text.startswith(NO_TRANSACTION):
                for statement in statements(text):
                    self._connection.execute(statement.encode())
                self._connection.execute(record.encode(), values)
            else:
                with self._connection.transaction():
                    self._connection.execute(text.encode())
                    self._connection.execute(record.encode(), values)
        except psycopg.errors.InsufficientPrivilege as error:
            who = self._connection.info.user
            raise ConfigurationError(
                f"{file} failed: {_said(error)}. Who owns the database need not be a superuser, but a member "
                "of the role triton_tenant: let an administrator run `CREATE ROLE triton_tenant NOLOGIN` "
                f"where there is none, and `GRANT triton_tenant TO {who}`; then migrate again"
            ) from error
        except psycopg.Error as error:
            raise ConfigurationError(f"{file} failed: {_said(error)}") from error


def check_fit(connection: psycopg.Connection) -> None:
    """Raises ConfigurationError where Triton's own tables cannot be in this database."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"PostgreSQL's database {connection.info.dbname} has the encoding {encoding}, which does not "
            "hold every text: create it with ENCODING 'UTF8' TEMPLATE template0"
        )
    found = connection.info.server_version
    if found < OLDEST_POSTGRES:
        raise ConfigurationError(
            f"PostgreSQL {found // 10000}.{found % 10000} is too old: Triton needs PostgreSQL "
            f"{OLDEST_POSTGRES // 10000} or newer; let TRITON_DATABASE_URL name one"
        )


def _said(error: psycopg.Error) -> str:
    """Without the place in a function of ours where it was raised."""
    return str(error).partition("\nCONTEXT:")[0]


class ClickHouseTarget:
    """Statement by statement: ClickHouse has no transactions, so each one must bear a repetition."""

    engine: Final = "clickhouse"

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client

    def __enter__(self) -> Self:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            self._client = clickhouse_connect.get_client(dsn=self._url)
            self._client.command(_CLICKHOUSE_VERSIONS)
        except ClickHouseError as error:
            raise UnavailableError(no_answer("ClickHouse", error)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def applied(self) -> dict[int, Applied]:
        rows = self._client.query(
            "SELECT number, name, sha256, at FROM schema_migrations FINAL WHERE applied"
        ).result_rows
        return {int(number): Applied(*rest) for number, *rest in rows}

    def apply(self, number: int, name: str, text: str, sha256: str) -> None:
        self._run(f"schema/clickhouse/{number:04}_{name}.up.sql", text)
        self._record(number, name, sha256, applied=True)

    def revert(self, number: int, text: str) -> None:
        self._run(f"schema/clickhouse/{number:04}_*.down.sql", text)
        self._record(number, "", "", applied=False)

    def _record(self, number: int, name: str, sha256: str, *, applied: bool) -> None:
        self._client.insert(
            "schema_migrations",
            [[number, name, sha256, applied]],
            column_names=["number", "name", "sha256", "applied"],
            settings={"async_insert": 0},
        )

    def _run(self, file: str, text: str) -> None:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        for statement in statements(text):
            try:
                self._client.command(statement)
            except ClickHouseError as error:
                raise ConfigurationError(f"{file} failed: {error}") from error


def statements(text: str) -> list[str]:
    """The statements of a file: what stands between `;` at the end of a line."""
    return [part.strip() for part in _END.split(text) if part.strip()]
