"""Owns the HTTP face of the embedded ClickHouse: chDB behind ClickHouse's own HTTP protocol.

`clickhouse_connect.get_client(...)` cannot tell it from a server, so there is one way to analytics.
Run as `python -m triton.stack.chdb_front`: chDB must never be opened in a process that forks.
Not served: sessions and temporary tables, external data, progress headers, streamed responses.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import hmac
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from triton.stack.chdb_body import BODY_LIMIT_BYTES, read_body
from triton.stack.chdb_query import Answer, ClickHouseError, execute, open_engine
from triton.stack.clickhouse import PORT_TAKEN, USER

THREADS = 8
#: Longer than clients keep connections in a pool: an insert on one that we just closed would fail.
KEEP_ALIVE_SECONDS = 3600
#: HTTP status by error number, as ClickHouse's own server answers; 500 for the rest.
STATUS = {
    **dict.fromkeys((6, 26, 27, 33, 36, 41, 43, 53, 62, 69, 70, 72, 117, 130, 456), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 73, 81, 115), 404),
    **dict.fromkeys((192, 193, 516), 403),
    48: 501,
    159: 408,
    307: 413,
}


class Front:
    """The application: one chDB engine at `location`, one user, one password."""

    def __init__(self, location: str, password: str) -> None:
        self._location = location
        self._password = password
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="query")

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ping", self.ping, methods=["GET"]),
                Route("/", self.query, methods=["GET", "POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def ping(self, _: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        options = dict(request.query_params)
        query_id = options.get("query_id") or str(uuid.uuid4())
        try:
            self._authenticate(request, options)
            statement = await self._statement(request, options)
            if not statement.strip():
                return PlainTextResponse("Ok.\n")
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool,
                lambda: execute(
                    self._location, statement, options, read_only=request.method == "GET"
                ),
            )
        except ClickHouseError as error:
            return self._refuse(error, query_id)
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(
            answer.body,
            media_type=_media_type(answer.format),
            headers={
                "X-ClickHouse-Query-Id": query_id,
                "X-ClickHouse-Format": answer.format,
                "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Summary": _summary(answer),
            },
        )

    async def _statement(self, request: Request, options: dict[str, str]) -> bytes:
        """The SQL and its data; fields of a form join `options`.

        What `curl --data` calls an urlencoded form is SQL to ClickHouse, so only multipart is a form.
        """
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            async with request.form(max_part_size=BODY_LIMIT_BYTES) as form:
                for name, value in form.items():
                    if not isinstance(value, str):
                        raise ClickHouseError(
                            48,
                            "Code: 48. DB::Exception: The embedded ClickHouse takes no external"
                            " data. (NOT_IMPLEMENTED)",
                        )
                    options[name] = value
            body = b""
        else:
            body = await read_body(request.stream(), request.headers.get("content-encoding", ""))
        # ClickHouse joins the two; with data in the body, the statement is in the URL.
        return options.pop("query", "").encode() + (b"\n" if body else b"") + body

    def _authenticate(self, request: Request, options: dict[str, str]) -> None:
        user, password = _credentials(request, options)
        if user != USER or not hmac.compare_digest(password.encode(), self._password.encode()):
            raise ClickHouseError(
                516,
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect,"
                " or there is no user with such name. (AUTHENTICATION_FAILED)",
            )

    def _refuse(self, error: ClickHouseError, query_id: str) -> Response:
        return PlainTextResponse(
            error.message + "\n",
            status_code=STATUS.get(error.code, 500),
            headers={
                "X-ClickHouse-Exception-Code": str(error.code),
                "X-ClickHouse-Query-Id": query_id,
            },
        )


def _credentials(request: Request, options: dict[str, str]) -> tuple[str, str]:
    headers = request.headers
    if "x-clickhouse-user" in headers:
        return headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return options.get("user", USER), options.get("password", "")


def _summary(answer: Answer) -> str:
    counts = {
        "read_rows": answer.read_rows,
        "read_bytes": answer.read_bytes,
        "written_rows": answer.written_rows,
        "written_bytes": answer.written_bytes,
        "total_rows_to_read": answer.read_rows,
        "result_bytes": len(answer.body),
        "elapsed_ns": answer.elapsed_ns,
    }
    return msgspec.json.encode({name: str(value) for name, value in counts.items()}).decode()


def _media_type(name: str) -> str:
    if name.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if name.startswith(("TabSeparated", "TSV")):
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith("CSV"):
        return "text/csv; charset=UTF-8"
    return "application/octet-stream"


def main() -> None:
    """Serves until SIGTERM. Exit status 98 when the port is taken, 1 when the path is held."""
    parser = argparse.ArgumentParser(prog="triton.stack.chdb_front")
    parser.add_argument("--path", required=True, type=Path, help="folder of the tables")
    parser.add_argument("--database", default="default", help="created when missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument(
        "--credentials", required=True, type=Path, help='JSON file with a "password"'
    )
    parser.add_argument("--memory", type=int, default=1_000_000_000, help="bytes at most")
    parser.add_argument("--threads", type=int, default=2, help="threads per query")
    options = parser.parse_args()

    # The engine takes its time zone from the process; ours is UTC everywhere.
    os.environ["TZ"] = "UTC"
    time.tzset()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        sys.stderr.write(f"{options.host}:{options.port} cannot be bound: {error.strerror}\n")
        sys.exit(PORT_TAKEN)
    password = msgspec.json.decode(options.credentials.read_bytes())["password"]
    try:
        engine = open_engine(
            options.path, options.database, memory=options.memory, threads=options.threads
        )
    except ClickHouseError as error:
        sys.exit(error.message)
    with engine:
        config = uvicorn.Config(
            Front(engine.location, password).application(),
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
