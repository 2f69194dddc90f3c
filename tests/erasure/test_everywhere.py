"""An erasure as a whole: on every engine, in the archive, by the command, with proofs that go on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clickhouse_connect
import dramatiq
import psycopg
import pytest
import redis
from stored import Platform
from typer.testing import CliRunner, Result

from triton import TritonBroker, migrate
from triton.archiving.running import run_archiver
from triton.cli.app import app as command_line
from triton.settings import Settings
from triton.stack.engines import Engines

sys.path.append(str(Path(__file__).parents[1] / "projections"))

from projecting import project

BOB, EVE = "bob.secret@example.org", "eve.secret@example.org"
LARGE = "bob's long letter. " * 8_000


@pytest.fixture
def everything(
    engines: Engines,
    namespace: str,
    database_url: str,
    clickhouse_database: str,
    tmp_path: Path,
    keys_url: str,
) -> Settings:
    clickhouse = f"{engines.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}"
    migrate.up(database_url, clickhouse)
    return Settings(
        data=str(tmp_path / "data"),
        redis_url=engines.redis_url,
        database_url=database_url,
        clickhouse_url=clickhouse,
        archive_url=(tmp_path / "archive").as_uri(),
        namespace=namespace,
        subject_keys=keys_url,
        seal_ms=0,
        keep_events=0,
        keep_ms=0,
        subject_cache_ms=0,
    )


class Command:
    def __init__(self, chosen: Settings) -> None:
        self._environment = chosen.environment()

    def run(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(
            command_line, list(arguments), env=self._environment, prog_name="triton"
        )
        assert result.exit_code == status, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


def archive(chosen: Settings) -> None:
    """Runs the archiver until all is sealed and under a signed head."""

    async def until_sealed() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(run_archiver(chosen, stop))
        with psycopg.connect(chosen.database_url, autocommit=True) as connection:
            client = redis.Redis.from_url(chosen.redis_url)
            meta = f"{{{chosen.namespace}:0}}:meta"
            for _ in range(3000):
                await asyncio.sleep(0.02)
                end = int(client.hget(meta, "pos") or 0)  # type: ignore[arg-type]
                found = connection.execute(
                    "SELECT max(last_position) FROM segments WHERE state = 'sealed'"
                ).fetchone()
                if found and found[0] == end:
                    break
            else:
                raise AssertionError("the archiver did not come to the end of the log")
        stop.set()
        await task

    asyncio.run(until_sealed())


def stored(chosen: Settings, platform: Platform) -> dict[str, bytes]:
    """All that each engine and the archive hold, as bytes in which a plain value could be found."""
    with psycopg.connect(chosen.database_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        rows = b""
        for (table,) in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
                rows += b"".join(bytes(part) for part in copy)
    with clickhouse_connect.get_client(dsn=chosen.clickhouse_url) as client:
        names = client.query("SHOW TABLES").result_columns[0]
        lines = b"".join(
            client.raw_query(f"SELECT * FROM {name} FORMAT JSONEachRow") for name in names
        )
    files = b""
    for path in sorted(Path(chosen.archive_url.removeprefix("file://")).rglob("*")):
        if path.is_file():
            files += path.read_bytes()
            if path.suffix == ".zst":
                files += _unpacked(path.read_bytes())
    return {"redis": platform.dump(), "postgres": rows, "clickhouse": lines, "archive": files}


def _unpacked(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)


def _segments(chosen: Settings) -> list[Path]:
    return list(Path(chosen.archive_url.removeprefix("file://")).rglob("*.zst"))


def verified(chosen: Settings) -> Any:
    """What the verifier says that knows nothing of Triton."""
    folder = chosen.archive_url.removeprefix("file://")
    script = Path(__file__).parents[2] / "src" / "triton" / "verifier" / "triton_verify.py"
    command = [sys.executable, str(script), folder, "--trust-first", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_after_an_erasure_nothing_is_left_of_it_and_every_proof_verifies(
    everything: Settings,
    make_broker: Callable[..., TritonBroker],
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in everything.environment().items():
        monkeypatch.setenv(name, value)
    platform = Platform(make_broker(), redis_client)
    command = Command(everything)

    @dramatiq.actor(
        actor_name="letters.send",
        max_retries=0,
        personal={"subject": "user", "fields": ["email", "letter"], "result": ["to"]},
    )
    def send(user: str, email: str, letter: str = "", fail: bool = False) -> dict[str, str]:
        if fail:
            raise ValueError(f"{email} does not exist")
        return {"to": email, "state": "sent"}

    jobs = [
        send.send("bob", BOB, letter=LARGE),
        send.send("eve", EVE),
        send.send("bob", BOB, fail=True),
    ]
    platform.run()
    late = send.send("bob", BOB)
    project(everything)
    archive(everything)

    for place, held in stored(everything, platform).items():
        assert b"letters.send" in held or place == "redis", place
        for secret in (BOB, EVE, LARGE[:100]):
            assert secret.encode() not in held, (place, secret)
    before = {path: path.read_bytes() for path in _segments(everything)}
    assert verified(everything)
    first, second, third = (message.message_id for message in jobs)
    shown = command.json("audit", "reveal", first, "--reason", "asked by bob")
    assert shown["events"][0]["data"]["args"] == ["bob", BOB]
    assert shown["events"][0]["data"]["kwargs"] == {"letter": LARGE}
    assert shown["events"][-1]["data"]["result"] == {"to": BOB, "state": "sent"}
    failed = command.json("audit", "reveal", third, "--reason", "asked by bob")
    assert BOB in failed["events"][-1]["data"]["error"]["message"]
    masked = command.run("replay", "--job", second).stdout
    assert "[personal]" in masked
    assert EVE not in masked

    erased = command.json("audit", "erase", "bob", "--reason", "article 17")
    assert erased["now"]
    keys = Path(everything.subject_keys.removeprefix("file://"))
    (left,) = keys.rglob(erased["key"])
    assert left.parts[-3] == "erased"
    platform.run()
    project(everything)
    archive(everything)

    with psycopg.connect(everything.database_url) as connection:
        (told,) = connection.execute(
            "SELECT job, by, data FROM job_events WHERE type = 'subject.erased'"
        ).fetchall()
    assert told[0] == ""
    assert told[1].startswith("user:")
    assert told[2] == {"subject": erased["key"], "tenant": "default", "reason": "article 17"}
    after = {path: path.read_bytes() for path in _segments(everything)}
    assert before.items() <= after.items()
    assert verified(everything)
    for place, held in stored(everything, platform).items():
        assert BOB.encode() not in held, place
    again = command.json("audit", "reveal", first, "--reason", "again")
    assert again["events"][0]["data"]["args"] == ["bob", "[personal]"]
    other = command.json("audit", "reveal", second, "--reason", "asked by eve")
    assert other["events"][0]["data"]["args"] == ["eve", EVE]
    ended = command.json("audit", "reveal", late.message_id, "--reason", "why")
    assert ended["events"][-1]["data"]["reason"] == "erased"
    assert "nothing was ever sealed for the subject 'bo'" in (
        command.run("audit", "erase", "bo", "--reason", "a slip", status=1).stderr
    )
