"""Both stores of subject keys keep the same promises, also when an erasure and a new job race."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from triton import migrate
from triton.erasure.files import FileKeys
from triton.erasure.keyring import Keyring, keyring_of
from triton.erasure.opening import open_store
from triton.erasure.postgres import PostgresKeys
from triton.erasure.store import KeyStore
from triton.errors import (
    ConfigurationError,
    DecodeError,
    ErasedError,
    NotFoundError,
    UnavailableError,
)
from triton.settings import Settings


@pytest.fixture(params=["file", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/keys"
    url: str = request.getfixturevalue("database_url")
    migrate.up(url, subject_keys=True)
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[KeyStore]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def test_a_key_is_made_once_and_never_again_after_its_end(store: KeyStore, store_url: str) -> None:
    key = "ab" * 16
    other = open_store(store_url)

    assert store.read(key) is None
    assert store.make(key, b"first") == b"first"
    assert other.make(key, b"second") == b"first"
    done = store.destroy(key)
    assert done.now
    for each in (store, other):
        with pytest.raises(ErasedError):
            each.read(key)
        with pytest.raises(ErasedError):
            each.make(key, b"third")
        assert each.erased_at(key) == done.at
    again = other.destroy(key)
    assert (again.now, again.at) == (False, done.at)
    never = "cd" * 16
    assert store.destroy(never).now
    with pytest.raises(ErasedError):
        other.make(never, b"x")
    assert store.pepper() == other.pepper()
    other.close()


def test_a_race_of_an_erasure_with_new_jobs_leaves_no_key(store_url: str) -> None:
    """Each round begins all at once; whatever won, no blob is left that anybody could use."""
    for number in range(12):
        key = f"{number:032x}"
        gate = threading.Barrier(4)
        made: list[bytes] = []

        def make(key: str = key, gate: threading.Barrier = gate, made: list[bytes] = made) -> None:
            store = open_store(store_url)
            store.pepper()
            gate.wait()
            try:
                made.append(store.make(key, os.urandom(32)))
            except ErasedError:
                pass
            finally:
                store.close()

        def destroy(key: str = key, gate: threading.Barrier = gate) -> None:
            store = open_store(store_url)
            store.pepper()
            gate.wait()
            store.destroy(key)
            store.close()

        threads = [threading.Thread(target=each) for each in (make, make, make, destroy)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store = open_store(store_url)
        with pytest.raises(ErasedError):
            store.read(key)
        if isinstance(store, FileKeys):
            assert not store._path(key).exists()
        # Whoever got a key before its end got the same one.
        assert len(set(made)) <= 1
        store.close()


def test_files_are_private_and_a_destroyed_one_was_overwritten(tmp_path: Path) -> None:
    store = FileKeys(tmp_path / "keys")
    key = "ab" * 16
    store.make(key, b"s" * 32)
    path = store._path(key)
    mirror = tmp_path / "mirror"
    os.link(path, mirror)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    store.destroy(key)
    assert not path.exists()
    assert mirror.read_bytes() != b"s" * 32
    assert list(store.root.rglob(".*")) == []


@pytest.fixture
def make_keyring(tmp_path: Path) -> Iterator[Callable[..., Keyring]]:
    made: list[Keyring] = []

    def make(**settings: Any) -> Keyring:
        settings = {"subject_keys": f"file://{tmp_path}/keys", **settings}
        made.append(keyring_of(Settings(**settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_subjects_of_different_tenants_have_different_keys(
    make_keyring: Callable[..., Keyring],
) -> None:
    ring = make_keyring()

    assert ring.of("a", "17").id == ring.of("a", "17").id
    assert len({ring.of(*pair).id for pair in [("a", "17"), ("b", "17"), ("a1", "7")]}) == 3
    ring.destroy("a", "17")
    assert ring.of("b", "17")


def test_another_process_forgets_a_destroyed_key_in_a_bounded_time(tmp_path: Path) -> None:
    now = [100.0]
    url = f"file://{tmp_path}/keys"
    ring = Keyring(lambda: open_store(url), remember=10, clock=lambda: now[0])
    other = Keyring(lambda: open_store(url), remember=10, clock=lambda: now[0])
    key = ring.of("t", "17")
    other.destroy("t", "17")

    assert ring.get(key.id) is key
    now[0] += 10
    with pytest.raises(ErasedError):
        ring.get(key.id)
    with pytest.raises(ErasedError):
        ring.of("t", "17")
    with pytest.raises(NotFoundError, match="another store"):
        ring.get("0" * 32)


def test_a_master_key_seals_what_is_stored(
    make_keyring: Callable[..., Keyring], tmp_path: Path
) -> None:
    master, wrong, short = (tmp_path / name for name in ("master", "wrong", "short"))
    master.write_bytes(os.urandom(32))
    wrong.write_bytes(os.urandom(32))
    short.write_bytes(b"short")
    sealed = make_keyring(subject_master_key=f"file://{master}").of("t", "17")
    word = sealed.seal(b"plain", "job", "args/0")

    again = make_keyring(subject_master_key=f"file://{master}").get(sealed.id)
    assert again.open(word, "job", "args/0") == b"plain"
    with pytest.raises(DecodeError, match="another than the one"):
        make_keyring(subject_master_key=f"file://{wrong}").get(sealed.id)
    with pytest.raises(ConfigurationError, match="set TRITON_SUBJECT_MASTER_KEY"):
        make_keyring().get(sealed.id)
    with pytest.raises(ConfigurationError, match="has 5 bytes, expected 32"):
        make_keyring(subject_master_key=f"file://{short}").get(sealed.id)


def test_stores_that_are_away_or_unknown_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match="the store of subject keys"):
        open_store(f"file://{tmp_path}/file/keys").pepper()
    with pytest.raises(UnavailableError, match="PostgreSQL"):
        PostgresKeys("postgresql://u@127.0.0.1:1/x").pepper()
    with pytest.raises(ConfigurationError, match="expected file:///folder"):
        open_store("redis://127.0.0.1")


def test_a_database_without_the_table_says_what_to_run(database_url: str) -> None:
    store = PostgresKeys(database_url)
    with pytest.raises(ConfigurationError, match="run `triton migrate up`"):
        store.pepper()
    store.close()
