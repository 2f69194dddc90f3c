"""The doctor on the store of subject keys: what it says of a good one, a bad one, one in the wrong place."""

from __future__ import annotations

from pathlib import Path

import pytest

from triton.cli.checks.finding import findings
from triton.cli.checks.keys import check
from triton.errors import ConfigurationError
from triton.settings import Settings


def levels(settings: Settings) -> list[str]:
    return [found.level for found in findings("keys", check, settings, "do")]


def test_a_store_that_lies_apart_is_fine_and_no_key_is_made(tmp_path: Path) -> None:
    store = tmp_path / "keys"
    settings = Settings(subject_keys=store.as_uri(), archive_url=(tmp_path / "archive").as_uri())
    assert levels(settings) == ["ok"]
    assert [path.name for path in store.rglob("*") if path.is_file()] == ["pepper"]
    assert levels(Settings()) == ["ok"]


def test_a_store_that_others_may_enter_or_in_the_archive_is_named(tmp_path: Path) -> None:
    store = tmp_path / "archive" / "keys"
    settings = Settings(subject_keys=store.as_uri(), archive_url=(tmp_path / "archive").as_uri())
    assert levels(settings) == ["ok", "fail"]
    store.chmod(0o755)
    assert levels(settings) == ["ok", "fail", "warn"]


def test_a_store_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    master = tmp_path / "master"
    master.write_bytes(b"short")
    wrong = Settings(subject_keys=(tmp_path / "keys").as_uri(), subject_master_key=master.as_uri())
    with pytest.raises(ConfigurationError):
        list(check(wrong))
    assert levels(wrong) == ["fail"]
    assert levels(Settings(subject_keys="nonsense")) == ["fail"]


def test_keys_in_the_database_that_they_seal_are_named(database_url: str) -> None:
    from triton import migrate

    migrate.up(database_url, subject_keys=True)
    settings = Settings(subject_keys=database_url, database_url=database_url)
    assert levels(settings) == ["ok", "warn"]
