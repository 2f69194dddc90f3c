"""The life of the three engines: start, use, stop, crash, start again; one stack per folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import psutil
import psycopg
import pytest
import redis
from clickhouse_connect.driver.exceptions import Error as ClickHouseClientError
from tests.eventually import eventually
from tests.ports import free_port
from tests.stack.conftest import NOBODY, Run

from triton.errors import StartupError
from triton.stack import clickhouse
from triton.stack.engines import Engines
from triton.stack.folder import running_stack

#: URLs of engines that a test does not need; nothing connects to them.
NO_REDIS = "unix:///nowhere"
NO_DATABASE = "postgresql:///nowhere"
NO_CLICKHOUSE = "http://nowhere"


def write(engines: Engines) -> None:
    """One value into each engine."""
    with redis.Redis.from_url(engines.redis_url) as client:
        client.set("kept", "1")
    with psycopg.connect(engines.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 2 AS a")
    with clickhouse_connect.get_client(dsn=engines.clickhouse_url) as client:
        client.command("CREATE TABLE kept (a Int32) ENGINE MergeTree ORDER BY a")
        client.insert("kept", [[3]], column_names=["a"])


def read(engines: Engines) -> list[object]:
    """What `write` wrote: [b"1", 2, 3]."""
    with redis.Redis.from_url(engines.redis_url) as client:
        value = client.get("kept")
    with psycopg.connect(engines.database_url) as connection:
        row = connection.execute("SELECT a FROM kept").fetchone()
    with clickhouse_connect.get_client(dsn=engines.clickhouse_url) as client:
        return [value, row and row[0], client.command("SELECT a FROM kept")]


def test_data_port_and_password_survive_a_restart(data: Path) -> None:
    with Engines(data) as first:
        write(first)
        url = first.clickhouse_url
        assert read(first) == [b"1", 2, 3]
    with Engines(data) as second:
        assert read(second) == [b"1", 2, 3]
        assert second.clickhouse_url == url
        assert second.archive_url == f"file://{data}/archive"


def test_embedded_servers_are_durable_and_listen_only_to_us(data: Path) -> None:
    with Engines(data, clickhouse_url=NO_CLICKHOUSE) as engines:
        with redis.Redis.from_url(engines.redis_url) as client:
            wanted = {
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "port": "0",
            }
            assert {name: client.config_get(name)[name] for name in wanted} == wanted
        with psycopg.connect(engines.database_url) as connection:
            shown = {
                name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
                for name in ("fsync", "synchronous_commit", "listen_addresses", "server_encoding")
            }
            locale = connection.execute(
                "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'triton'"
            ).fetchone()
        assert shown == {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
        }
        assert locale == ("b", "C.UTF-8")
        assert engines.clickhouse_url == NO_CLICKHOUSE
        assert set(engines.supervisor.children) == {"valkey", "postgres"}
        private = [data / "valkey", data / "postgres", data / "archive", data / "logs"]
        assert [path.stat().st_mode & 0o077 for path in private] == [0, 0, 0, 0]
        assert data.stat().st_mode & 0o067 == 0


def test_a_second_stack_on_the_folder_is_refused_and_the_first_lives_on(engines: Engines) -> None:
    engines.publish(api="http://127.0.0.1:1")
    with pytest.raises(StartupError, match=f"already runs on .* pid {os.getpid()}"):
        Engines(engines.folder.path).start()
    found = running_stack(engines.folder.path)
    assert found is not None
    assert (found.redis, found.api) == (engines.redis_url, "http://127.0.0.1:1")
    assert (engines.folder.path / "stack.json").stat().st_mode & 0o777 == 0o600
    with redis.Redis.from_url(engines.redis_url) as client:
        assert client.ping()
    engines.folder.unpublish()


def test_killed_engines_come_back_with_their_data(data: Path) -> None:
    with Engines(data) as engines:
        write(engines)
        with redis.Redis.from_url(engines.redis_url) as client:
            # On disk: the append-only file is written every second.
            eventually(lambda: client.execute_command("WAITAOF", 1, 0, 100)[0] == 1)
        killed = {name: child.pid for name, child in engines.supervisor.children.items()}
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        exits = []

        def all_restarted() -> bool:
            exits.extend(engines.supervisor.poll())
            pids = {name: child.pid for name, child in engines.supervisor.children.items()}
            return all(pid not in (0, killed[name]) for name, pid in pids.items())

        eventually(all_restarted)
        # Whose successor came too early ends once more, with another status.
        first: dict[str, int] = {}
        for ended in exits:
            first.setdefault(ended.name, ended.status)
        assert first == dict.fromkeys(killed, -9)

        def readable() -> bool:
            try:
                return read(engines) == [b"1", 2, 3]
            except (redis.RedisError, psycopg.Error, ClickHouseClientError):
                return False

        eventually(readable, timeout=60)


SUPERVISOR = """
import sys, time
from pathlib import Path
from triton.stack.engines import Engines
from triton.stack.processes import Spec

FORKS = "import os, time; os.fork(); time.sleep(600)"
with Engines(Path(sys.argv[1])) as engines:
    engines.supervisor.spawn(Spec(name="forks", argv=(sys.executable, "-c", FORKS)))
    engines.publish()
    print(engines.clickhouse_url, flush=True)
    time.sleep(600)
"""


def test_kill_of_the_supervisor_leaves_no_orphan_and_the_folder_free(data: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data)], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    url = supervisor.stdout.readline().strip()
    tree = eventually(lambda: family(supervisor.pid, at_least=9))
    assert running_stack(data) is not None

    supervisor.kill()
    supervisor.wait()
    assert running_stack(data) is None
    # At once: it has to wait for the dying engines, not to write beside them.
    with Engines(data) as engines:
        assert engines.clickhouse_url == url
    eventually(lambda: not [process for process in tree if lives(process)])


@pytest.mark.parametrize(
    "left", ["postgres/data/postmaster.pid", "run/postgres/.s.PGSQL.5432.lock"]
)
def test_a_dead_servers_number_may_be_anothers(data: Path, left: str) -> None:
    """As after a power cut: the file is still there, and the process that has the number is none of ours."""
    with Engines(data, fast_unsafe=True) as engines:
        write(engines)
        said, server = (data / left).read_text(), engines.supervisor.children["postgres"].pid
    owner = (data / "postgres/data").stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner, group=owner) as another:
        (data / left).write_text(said.replace(str(server), str(another.pid), 1))
        os.chown(data / left, owner, -1)
        try:
            with Engines(data, fast_unsafe=True) as engines:
                assert read(engines) == [b"1", 2, 3]
        finally:
            another.kill()


def family(pid: int, *, at_least: int) -> list[psutil.Process]:
    """Three engines and PostgreSQL's own, the watchdog, a child and what it forked."""
    found = psutil.Process(pid).children(recursive=True)
    return found if len(found) >= at_least else []


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def password(engines: Engines) -> str | None:
    return urlsplit(engines.clickhouse_url).password


def test_a_taken_port_is_replaced_and_remembered(data: Path) -> None:
    def only_clickhouse() -> Engines:
        return Engines(data, redis_url=NO_REDIS, database_url=NO_DATABASE)

    with only_clickhouse() as engines:
        port = urlsplit(engines.clickhouse_url).port
        old_password = password(engines)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with only_clickhouse() as engines:
            assert f":{port}/" not in engines.clickhouse_url
            assert password(engines) != old_password
            with clickhouse_connect.get_client(dsn=engines.clickhouse_url) as client:
                assert client.command("SELECT 1") == 1
            moved = engines.clickhouse_url
    with only_clickhouse() as engines:
        assert engines.clickhouse_url == moved


def test_a_port_that_is_taken_between_look_and_bind_is_replaced(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        any_port = clickhouse._any_port
        choices = iter([port])
        monkeypatch.setattr(clickhouse, "_any_port", lambda: next(choices, any_port()))
        with Engines(data, redis_url=NO_REDIS, database_url=NO_DATABASE) as engines:
            assert f":{port}/" not in engines.clickhouse_url


def test_a_long_path_puts_the_sockets_into_a_short_private_folder(data: Path) -> None:
    deep = data / ("long" * 20) / "with, comma 'and' space"
    with Engines(deep, clickhouse_url=NO_CLICKHOUSE, fast_unsafe=True) as engines:
        run = engines.folder.run
        assert not run.is_relative_to(data)
        assert run.stat().st_mode & 0o027 == 0
        with redis.Redis.from_url(engines.redis_url) as client:
            assert client.ping()
        with psycopg.connect(engines.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not run.exists()


def test_valkey_listens_on_loopback_when_a_test_asks_for_tcp(data: Path) -> None:
    port = free_port()
    wanted = Engines(data, database_url=NO_DATABASE, clickhouse_url=NO_CLICKHOUSE, valkey_port=port)
    with wanted, redis.Redis(host="127.0.0.1", port=port) as client:
        assert client.ping()


def test_an_engine_that_cannot_start_is_named_with_its_reason(data: Path) -> None:
    (data / "clickhouse").mkdir(parents=True)
    (data / "clickhouse" / "store").write_text("not a folder")
    engines = Engines(data, redis_url=NO_REDIS, database_url=NO_DATABASE)
    with pytest.raises(StartupError, match="clickhouse ended with status 1 while it started"):
        engines.start()
    assert running_stack(data) is None
    assert not engines.supervisor.children


def test_a_held_clickhouse_folder_is_said_in_one_sentence(engines: Engines) -> None:
    home = engines.folder.path / "clickhouse"
    front = [sys.executable, "-m", "triton.stack.chdb_front", "--port", "0"]
    front += ["--path", str(home / "store"), "--credentials", str(home / "server.json")]
    done = subprocess.run(front, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    said = f"{home}/store cannot be opened: another process holds it, or it is damaged."
    assert done.stderr.splitlines()[-1] == said


ORDINARY = """
import sys, os
from pathlib import Path
import psycopg
from triton.stack.engines import Engines

for _ in range(2):
    with Engines(Path(sys.argv[1])) as engines:
        with psycopg.connect(engines.database_url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (a int)")
        print(os.geteuid(), sorted(engines.supervisor.children))
"""


def test_an_ordinary_user_runs_all_engines(data: Path, run_as_nobody: Run) -> None:
    data.parent.chmod(0o777)
    done = run_as_nobody(ORDINARY, data)
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert done.stdout == f"{uid} ['clickhouse', 'postgres', 'valkey']\n" * 2, done.stderr
