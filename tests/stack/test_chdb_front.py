"""The front speaks ClickHouse's HTTP protocol well enough that clickhouse-connect sees a server."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st

from triton.stack.chdb_body import decode, read_body
from triton.stack.chdb_query import ClickHouseError, split_insert
from triton.stack.engines import Engines


@pytest.fixture
def client(engines: Engines, clickhouse_database: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(
        dsn=engines.clickhouse_url, database=clickhouse_database
    ) as connected:
        yield connected


def http(engines: Engines, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """(status, body) of a plain request, with the right password unless told otherwise."""
    parts = urlsplit(engines.clickhouse_url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}{path}", data=body)
    request.add_header("Content-Type", headers.get("kind", "text/plain"))
    request.add_header("X-ClickHouse-User", "default")
    request.add_header("X-ClickHouse-Key", headers.get("password", str(parts.password)))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_typed_parameters_and_values_come_back_as_they_went(client: Client) -> None:
    values = {
        "text": "it's a \\ tab\t line\n ünï `x` {a:b}",
        "number": 2**63,
        "when": dt.datetime(2026, 11, 21, 3, 4, 5, tzinfo=dt.UTC),
        "many": ["a'b", "c\\d"],
        "none": None,
    }
    row = client.query(
        "SELECT {text:String}, {number:UInt64}, {when:DateTime('UTC')},"
        " {many:Array(String)}, {none:Nullable(Int32)}",
        parameters=values,
        tz_mode="aware",
    ).result_rows[0]
    assert list(row) == list(values.values())


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_insert_with_each_encoding(
    engines: Engines, clickhouse_database: str, compress: str | bool
) -> None:
    with clickhouse_connect.get_client(
        dsn=engines.clickhouse_url, database=clickhouse_database, compress=compress
    ) as client:
        client.command("CREATE TABLE t (n UInt32, s String) ENGINE MergeTree ORDER BY n")
        rows = [[n, "x" * (n % 50)] for n in range(5000)]
        summary = client.insert("t", rows, column_names=["n", "s"])
        assert summary.written_rows == 5000
        assert client.query("SELECT count(), sum(length(s)) FROM t").result_rows == [
            (5000, sum(n % 50 for n in range(5000)))
        ]


def test_final_and_aggregates_stay_exact_when_a_batch_is_inserted_twice(client: Client) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 1000"
    client.command(f"CREATE TABLE e (n UInt32) ENGINE MergeTree ORDER BY n {window}")
    client.command(
        "CREATE TABLE sums (k UInt8, c SimpleAggregateFunction(sum, UInt64))"
        f" ENGINE AggregatingMergeTree ORDER BY k {window}"
    )
    client.command("CREATE MATERIALIZED VIEW m TO sums AS SELECT 0 k, count() c FROM e GROUP BY k")
    client.command(
        "CREATE TABLE last (id UInt32, v UInt32) ENGINE ReplacingMergeTree(v) ORDER BY id"
    )
    for token in ("t1", "t1", "t2"):
        settings = {
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
        }
        client.insert("e", [[n] for n in range(100)], column_names=["n"], settings=settings)
    client.insert("last", [[1, 1], [1, 3]], column_names=["id", "v"])
    client.insert("last", [[1, 2]], column_names=["id", "v"])
    assert client.command("SELECT count() FROM e") == 200
    assert client.command("SELECT sum(c) FROM sums") == 200
    assert client.query("SELECT v FROM last FINAL").result_rows == [(3,)]


def test_errors_carry_clickhouse_codes_and_names(client: Client) -> None:
    for statement, code, name in (
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT {a:Int32}", 456, "UNKNOWN_QUERY_PARAMETER"),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.command(statement)
        assert (caught.value.code, caught.value.name) == (code, name)
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("nowhere", ["a"], b"1\n", fmt="CSV")
    assert caught.value.code == 60
    # The connection is good for the next.
    assert client.command("SELECT 1") == 1


def test_an_insert_that_cannot_be_written_is_no_success(client: Client) -> None:
    client.command(
        "CREATE TABLE checked (a UInt32, CONSTRAINT small CHECK a < 10) ENGINE MergeTree ORDER BY a"
    )
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("checked", ["a"], b"5\n50\n", fmt="CSV")
    assert caught.value.code == 469
    client.command(
        "CREATE TABLE full (a UInt32) ENGINE MergeTree ORDER BY a"
        " SETTINGS min_free_disk_bytes_to_perform_insert = 1000000000000000"
    )
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("full", ["a"], b"5\n", fmt="CSV")
    assert caught.value.code == 243
    client.command("CREATE TABLE lines (a String) ENGINE MergeTree ORDER BY a")
    client.raw_insert("lines", ["a"], b'5\n"\n\n;\0"\n6\n', fmt="CSV")
    assert client.query("SELECT a FROM lines").result_rows == [("\n\n;\0",), ("5",), ("6",)]


def test_a_wrong_password_is_403_with_code_516(engines: Engines) -> None:
    parts = urlsplit(engines.clickhouse_url)
    with pytest.raises(DatabaseError) as caught:
        clickhouse_connect.get_client(
            host=parts.hostname, port=parts.port, username="default", password="wrong"
        )
    assert caught.value.code == 516
    status, body = http(engines, "/", b"SELECT 1", password="wrong")
    assert status == 403
    assert body.startswith("Code: 516.")


def test_sql_that_curl_calls_a_form_is_run(engines: Engines) -> None:
    kind = "application/x-www-form-urlencoded"
    assert http(engines, "/", b"SELECT 1 + 1, 'a&b=c'", kind=kind) == (200, "2\ta&b=c\n")


def test_settings_and_database_do_not_leak_into_the_next_request(engines: Engines) -> None:
    read = "/?query=" + quote("SELECT getSetting('max_block_size'), currentDatabase()")
    _, before = http(engines, read)
    _, during = http(engines, read + "&max_block_size=1234&database=system")
    _, after = http(engines, read)
    assert during == "1234\tsystem\n"
    assert before == after != during
    status, body = http(engines, "/?no_such_setting=1", b"SELECT 1")
    assert (status, body.split(".")[0]) == (404, "Code: 115")


def test_get_only_reads_and_ping_needs_no_password(engines: Engines) -> None:
    assert http(engines, "/ping", password="wrong") == (200, "Ok.\n")
    status, body = http(engines, "/?query=" + quote("CREATE DATABASE by_get"))
    assert status == 500
    assert "(READONLY)" in body


def test_raw_formats_streams_and_forms(client: Client, engines: Engines) -> None:
    client.command("CREATE TABLE t (a UInt32, format String) ENGINE MergeTree ORDER BY a")
    client.raw_insert("t", ["a", "format"], b"1,x\n2,y\n", fmt="CSV")
    client.raw_insert("t", ["a", "format"], '{"a": 3, "format": "z"}', fmt="JSONEachRow")
    client.raw_insert("t", None, zlib.compress(b"4,w\n"), fmt="CSV", compression="deflate")
    client.command("INSERT INTO t VALUES (5, 'FORMAT CSV')")
    client.command("INSERT INTO t SELECT 6, 's'")
    with client.query_row_block_stream("SELECT a FROM t ORDER BY a") as stream:
        assert [row[0] for block in stream for row in block] == [1, 2, 3, 4, 5, 6]
    rows = client.raw_query("SELECT a FROM t WHERE a > 4 ORDER BY a", fmt="JSONEachRow")
    assert [json.loads(line) for line in rows.splitlines()] == [{"a": 5}, {"a": 6}]
    assert client.query("SELECT * FROM t LIMIT 0").column_names == ("a", "format")
    parts = urlsplit(engines.clickhouse_url)
    form = clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port,
        username="default",
        password=parts.password,
        form_encode_query_params=True,
    )
    with form:
        found = form.query("SELECT {a:Array(UInt32)}", parameters={"a": list(range(3000))})
        assert found.result_rows == [(list(range(3000)),)]


def test_clients_in_parallel_do_not_wait_for_each_other(
    engines: Engines, clickhouse_database: str, client: Client
) -> None:
    client.command("CREATE TABLE t (n UInt32) ENGINE MergeTree ORDER BY n")
    failures: list[BaseException] = []
    beside: list[bool] = []

    def work(number: int) -> None:
        try:
            with clickhouse_connect.get_client(
                dsn=engines.clickhouse_url, database=clickhouse_database
            ) as own:
                for i in range(10):
                    own.insert("t", [[number * 100 + i]], column_names=["n"])
                    asked = own.query("SELECT {n:UInt32} + 1", parameters={"n": i}).result_rows
                    assert asked == [(i + 1,)]
                    beside.append(slow.is_alive())
        except BaseException as error:
            failures.append(error)

    slow_query = b"SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_block_size = 1"
    for _ in range(5):
        slow = threading.Thread(target=lambda: http(engines, "/", slow_query))
        slow.start()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        slow.join()
        assert failures == []
        if any(beside):
            # Else the machine may have stood still for the three seconds: once more.
            break
    assert any(beside), "the short queries waited for the long one"
    assert client.command("SELECT uniqExact(n) FROM t") == 40


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (b"INSERT INTO t (a, b) FORMAT Native\n\x00\n", ("Native", b"\x00\n")),
        (b"insert into t format CSV 1,2", ("CSV", b"1,2")),
        (b"INSERT INTO t FORMAT CSV\r\n\n1", ("CSV", b"\n1")),
        (b"-- FORMAT x\nINSERT INTO `for FORMAT mat` (format) FORMAT CSV;\nx", ("CSV", b"x")),
        (b"INSERT INTO t SETTINGS s = 'FORMAT y' /* FORMAT */ FORMAT TSV\n", ("TSV", b"")),
        (b"INSERT INTO t SELECT * FROM u FORMAT CSV", ("", b"")),
        (b"INSERT INTO t VALUES ('FORMAT CSV')", ("", b"")),
        (b"SELECT 1 FORMAT CSV", ("", b"")),
        (b"", ("", b"")),
    ],
)
def test_the_data_of_an_insert_begins_after_its_format(
    statement: bytes, expected: tuple[str, bytes]
) -> None:
    head, name, payload = split_insert(statement)
    assert (name, payload) == expected
    assert statement.startswith(head)


@given(st.binary(max_size=300))
def test_no_payload_is_mistaken_for_the_statement(payload: bytes) -> None:
    head = b'INSERT INTO t (a, `b (`, "c \'") '
    assert split_insert(head + b"FORMAT Native\n" + payload) == (head, "Native", payload)


def test_a_small_body_that_grows_beyond_the_limit_is_refused() -> None:
    bomb = zlib.compress(b"\0" * 1_000_000, 9)
    with pytest.raises(ClickHouseError, match="longer than 100000 bytes"):
        decode(bomb, "deflate", limit=100_000)
    with pytest.raises(ClickHouseError, match="ends in the middle"):
        decode(bomb[:-10], "deflate", limit=2_000_000)
    with pytest.raises(ClickHouseError, match="The body is not gzip"):
        decode(b"rubbish", "gzip", limit=100)


async def _chunks() -> AsyncIterator[bytes]:
    yield b"12345"
    yield b"67890"


def test_a_long_body_is_refused_while_it_arrives() -> None:
    assert asyncio.run(read_body(_chunks(), "", limit=10)) == b"1234567890"
    with pytest.raises(ClickHouseError, match="longer than 9 bytes"):
        asyncio.run(read_body(_chunks(), "", limit=9))
    with pytest.raises(ClickHouseError, match="Content-Encoding br is not one of"):
        asyncio.run(read_body(_chunks(), "br", limit=10))
