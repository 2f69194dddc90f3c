"""Owns the execution of one ClickHouse HTTP request on chDB: settings, parameters, inserts, errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import chdb
import msgspec

#: What ClickHouse's HTTP transport consumes itself; the engine does not know most of them.
TRANSPORT = frozenset(
    {
        "query", "database", "user", "password", "quota_key", "role", "query_id", "default_format",
        "session_id", "session_timeout", "session_check", "stacktrace", "close_session",
        "compress", "decompress", "buffer_size", "wait_end_of_query", "client_protocol_version",
        "enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "add_http_cors_header",
        "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
#: Few background threads: the machine is shared with two other engines and the workers.
ENGINE_SETTINGS = {"background_pool_size": 2, "background_schedule_pool_size": 4}
DEFAULT_FORMAT = "TabSeparated"
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
ERROR = re.compile(r"Code: (\d+)\.")
TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
#: Everything that may stand between the words of a statement's head, and the words themselves.
TOKEN = re.compile(
    rb"\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\""
    rb"|[A-Za-z_][A-Za-z0-9_]*|.",
    re.DOTALL,
)
FORMAT_NAME = re.compile(rb"\s+([A-Za-z0-9_]+)[ \t\f]*;?[ \t\f]*\r?\n?")


class ClickHouseError(Exception):
    """An error as ClickHouse reports it: `code` is its number, the text begins with `Code: N.`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Answer(msgspec.Struct, frozen=True):
    """What a request gave: bytes in `format`, and the counts for the summary header."""

    body: bytes
    format: str
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


class Engine:
    """The one engine of this process, held open by a handle of its own. A context manager."""

    def __init__(self, location: str, handle: Any) -> None:
        self.location = location
        self._handle = handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()


def open_engine(path: Path, database: str, *, memory: int, threads: int) -> Engine:
    """Opens the folder and creates `database` if need be.

    `memory` in bytes for everything, `threads` per query. Raises ClickHouseError, also when another
    process holds the folder: chDB allows one.
    """
    pairs = {**ENGINE_SETTINGS, "max_server_memory_usage": memory, "max_threads": threads}
    location = f"{path}?" + "&".join(f"{name}={value}" for name, value in pairs.items())
    try:
        handle = chdb.connect(location)
    except Exception as error:
        if "EmbeddedServer" in str(error):
            message = f"{path} cannot be opened: another process holds it, or it is damaged."
            raise ClickHouseError(36, message) from error
        raise as_clickhouse_error(error) from error
    handle.query(f"CREATE DATABASE IF NOT EXISTS {_quoted(database, '`')}")
    return Engine(location, handle)


def execute(
    location: str, statement: bytes, options: Mapping[str, str], *, read_only: bool = False
) -> Answer:
    """Runs one statement on a fresh handle, so that nothing of it stays for the next request.

    `options` are the request's URL and form fields. Raises ClickHouseError.
    """
    try:
        handle = chdb.connect(location)
    except Exception as error:
        raise as_clickhouse_error(error) from error
    try:
        _prepare(handle, options, read_only=read_only)
        head, name, payload = split_insert(statement)
        if name:
            return _insert(handle, head, name, payload)
        return _query(handle, statement, options)
    except ClickHouseError:
        raise
    except Exception as error:
        raise as_clickhouse_error(error) from error
    finally:
        handle.close()


def split_insert(statement: bytes) -> tuple[bytes, str, bytes]:
    """(head, format, payload) of `INSERT INTO ... FORMAT x` + data; format "" for anything else.

    The payload begins after the format's name, blanks and at most one line end, as in ClickHouse.
    """
    depth = 0
    first = True
    position = 0
    while (match := TOKEN.match(statement, position)) is not None:
        token = match.group()
        position = match.end()
        if token.isspace() or token.startswith((b"--", b"/*")):
            continue
        word = token.upper()
        if first and word != b"INSERT":
            break
        first = False
        if token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        elif depth == 0 and word in (b"SELECT", b"WITH", b"VALUES", b"INFILE"):
            break
        elif depth == 0 and word == b"FORMAT":
            name = FORMAT_NAME.match(statement, position)
            if name is None:
                break
            return statement[: match.start()], name[1].decode(), statement[name.end() :]
    return statement, "", b""


def as_clickhouse_error(error: BaseException) -> ClickHouseError:
    """What chDB raised, in ClickHouse's words."""
    text = str(error)
    found = ERROR.search(text)
    if found is None:
        return ClickHouseError(1002, f"Code: 1002. DB::Exception: {text} (UNKNOWN_EXCEPTION)")
    return ClickHouseError(int(found[1]), text[found.start() :])


def _prepare(handle: Any, options: Mapping[str, str], *, read_only: bool) -> None:
    if database := options.get("database"):
        handle.query(f"USE {_quoted(database, '`')}")
    for name, value in options.items():
        if name in TRANSPORT or name.startswith("param_"):
            continue
        if not IDENTIFIER.match(name):
            message = f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)"
            raise ClickHouseError(115, message)
        handle.query(f"SET {name} = {_quoted(value)}")
    if read_only:
        handle.query("SET readonly = 2")


def _query(handle: Any, statement: bytes, options: Mapping[str, str]) -> Answer:
    parameters = {
        name.removeprefix("param_"): value
        for name, value in options.items()
        if name.startswith("param_")
    }
    asked = TRAILING_FORMAT.search(statement)
    name = asked[1].decode() if asked else options.get("default_format") or DEFAULT_FORMAT
    try:
        text = statement.decode()
    except UnicodeDecodeError as error:
        message = f"Code: 62. DB::Exception: Not UTF-8: {error} (SYNTAX_ERROR)"
        raise ClickHouseError(62, message) from error
    result = handle.query(text, name, params=parameters)
    return Answer(
        body=result.bytes() or b"",
        format=name,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _insert(handle: Any, head: bytes, name: str, payload: bytes) -> Answer:
    """The data goes in as a file in memory: chDB's `send_insert` says that all is well when nothing could be
    written (a full disk, too many parts), and data behind the statement ends at an empty line."""
    file = os.memfd_create("insert", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as data:
            data.write(payload)
        source = f"FROM INFILE '/proc/self/fd/{file}' COMPRESSION 'none' FORMAT {name}"
        result = handle.query(f"{head.decode()} {source}")
    finally:
        os.close(file)
    return Answer(
        body=b"",
        format=name,
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
