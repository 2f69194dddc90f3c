"""PostgreSQL's user: each way that leads away from root, and a clear end when none does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from triton.errors import StartupError
from triton.stack import unix_user
from triton.stack.engines import Engines
from triton.stack.unix_user import CAPABLE, DROPPED, NOBODY, UNSHARED, choose_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to leave it")


def program(folder: Path) -> Path:
    """Something that answers `--version`, reachable only through `folder`."""
    path = folder / "program"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


@as_root
def test_root_becomes_nobody_where_the_way_is_open(data: Path) -> None:
    data.mkdir(mode=0o700)
    inner = data / "inner"
    inner.mkdir(mode=0o700)
    (inner / "file").write_text("")
    assert choose_user(program(data.parent), [inner], [data]) == DROPPED
    assert (inner / "file").stat().st_uid == NOBODY
    found = data.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, NOBODY, 0o710)


@as_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_root_finds_another_way_in_a_private_tree(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    inner = tmp_path / "inner"
    inner.mkdir()
    chosen = choose_user(program(tmp_path), [inner], [])
    assert chosen in (UNSHARED, CAPABLE)
    assert inner.stat().st_uid == chosen.owner


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_postgres_moves_from_one_way_to_another_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private tree where user namespaces are forbidden, then one where they are all there is."""
    tmp_path.chmod(0o700)
    for count, blocked in enumerate((("UNSHARED",), ("CAPABLE",)), start=1):
        with monkeypatch.context() as patch:
            for name in blocked:
                owner = getattr(unix_user, name).owner
                patch.setattr(unix_user, name, unix_user.UnixUser(prefix=("false",), owner=owner))
            only_postgres = Engines(
                tmp_path / "data",
                redis_url="unix:///nowhere",
                clickhouse_url="http://nowhere",
                fast_unsafe=True,
            )
            with only_postgres as engines, psycopg.connect(engines.database_url) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS t (a int)")
                connection.execute("INSERT INTO t VALUES (1)")
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (count,)


@as_root
def test_no_way_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="does not run as root, and no other user can reach"):
        choose_user(tmp_path / "missing", [tmp_path], [])


def test_an_ordinary_user_cannot_take_over_anothers_files(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.mkdir()
    somebody = data.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with pytest.raises(StartupError, match="start Triton as the user who started it first"):
        choose_user(program(data.parent), [data], [])
