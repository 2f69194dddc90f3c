"""The archive in a folder: create-once under races, faults of the disk, and keys that are not paths."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton.archive import ArchiveStore, TooLargeError, open_archive
from triton.archive.file import FileArchive
from triton.archive.store import check_key
from triton.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveStore:
    return open_archive((tmp_path / "store").as_uri())


def left_over(archive: ArchiveStore) -> list[str]:
    assert isinstance(archive, FileArchive)
    return [path.name for path in (archive.root / ".incoming").iterdir()]


def test_an_object_is_read_back_as_it_was_written(archive: ArchiveStore) -> None:
    data = os.urandom(700_000)
    stored = archive.put_new("a/b.bin", io.BytesIO(data))
    assert (stored.sha256, stored.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert archive.read("a/b.bin") == data
    assert archive.size("a/b.bin") == len(data)
    assert archive.exists("a/b.bin")
    assert not archive.exists("a")
    assert left_over(archive) == []


def test_the_same_content_again_is_success_and_other_content_is_a_conflict(
    archive: ArchiveStore,
) -> None:
    first = archive.put_new("k", b"one")
    assert archive.put_new("k", iter([b"o", b"ne"])) == first
    with pytest.raises(ConflictError) as caught:
        archive.put_new("k", b"two")
    assert caught.value.details["found"] == first.sha256
    assert archive.read("k") == b"one"
    assert left_over(archive) == []


def test_content_is_stored_under_its_hash_once(archive: ArchiveStore) -> None:
    sha256 = hashlib.sha256(b"content").hexdigest()
    stored = archive.put_content([b"con", b"tent"], max_bytes=7)
    assert stored.key == f"objects/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"
    assert archive.put_content(b"content") == stored
    assert list(archive.list("objects/")) == [stored.key]


def test_the_limit_stops_the_upload_before_the_stream_ends(archive: ArchiveStore) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(TooLargeError) as caught:
        archive.put_content(endless(), max_bytes=10_500)
    assert caught.value.code == "too_large"
    assert list(archive.list()) == []
    assert left_over(archive) == []


def test_an_upload_that_is_given_up_leaves_nothing(archive: ArchiveStore) -> None:
    with pytest.raises(RuntimeError), archive.upload() as upload:
        upload.write(b"half")
        raise RuntimeError
    assert list(archive.list()) == []
    assert left_over(archive) == []


def test_of_racing_writers_exactly_one_wins_and_the_loser_is_told(archive: ArchiveStore) -> None:
    def put(number: int) -> bool:
        try:
            archive.put_new("race", str(number).encode())
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(put, range(16)))
    assert wins.count(True) == 1
    assert archive.read("race") == str(wins.index(True)).encode()


def test_a_writer_that_is_killed_leaves_no_object_and_its_rest_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from triton.archive import open_archive\n"
        "with open_archive(sys.argv[1]).upload() as upload:\n"
        "    upload.write(b'half of it' * 100_000)\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    url = (tmp_path / "store").as_uri()
    with subprocess.Popen(
        [sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    archive = FileArchive(tmp_path / "store")
    assert list(archive.list()) == []
    (stale,) = left_over(archive)
    foreign = archive.root / ".incoming" / "not-ours"
    foreign.touch()
    for name in (stale, foreign.name):
        os.utime(archive.root / ".incoming" / name, (0, 0))
    assert left_over(FileArchive(archive.root)) == [foreign.name]


def test_a_missing_key_is_not_found_whatever_is_asked(archive: ArchiveStore) -> None:
    for ask in (archive.open, archive.read, archive.size):
        with pytest.raises(NotFoundError, match="has no object no/such"):
            ask("no/such")
    archive.delete("no/such")
    archive.put_new("no/such", b"x")
    archive.delete("no/such")
    assert not archive.exists("no/such")


def test_the_list_is_ordered_and_by_prefix(archive: ArchiveStore) -> None:
    for key in ("b/2", "b/10", "b-x", "a/deep/er/1", "b/2.x"):
        archive.put_new(key, b"")
    assert list(archive.list()) == ["a/deep/er/1", "b-x", "b/10", "b/2", "b/2.x"]
    assert list(archive.list("b/")) == ["b/10", "b/2", "b/2.x"]
    assert list(archive.list("b/2")) == ["b/2", "b/2.x"]
    assert list(archive.list("nothing/here")) == []
    with pytest.raises(ValidationError):
        list(archive.list("../../"))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    def full(handle: int) -> None:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="no room left"):
            archive.put_new("k", b"x")
    assert left_over(archive) == []
    archive.put_new("k", b"x")


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may write everywhere, so the test drops that right for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unwritable_folder_is_a_setting_to_change(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    with (
        as_somebody_else(),
        pytest.raises(ConfigurationError, match="TRITON_ARCHIVE_URL") as caught,
    ):
        FileArchive(folder)
    assert caught.value.details["setting"] == "archive_url"


def test_a_file_in_the_place_of_the_folder_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(ConfigurationError):
        FileArchive(tmp_path / "store")


@pytest.mark.parametrize("root", ["", ".", "relative/folder", "/"])
def test_a_root_that_is_no_folder_of_its_own_is_refused(root: str) -> None:
    with pytest.raises(ConfigurationError, match="absolute path"):
        FileArchive(Path(root))


@pytest.mark.parametrize(
    "url",
    ["", "/srv/archive", "file://host/x", "file:relative", "s3://", "s3://b?x=1", "http://x/y"],
)
def test_a_wrong_url_says_what_is_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected file:///folder or s3://bucket/prefix"):
        open_archive(url)


def test_a_folder_with_a_space_in_its_name_is_a_usual_folder(tmp_path: Path) -> None:
    open_archive((tmp_path / "two words").as_uri()).put_new("k", b"x")
    assert (tmp_path / "two words" / "k").read_bytes() == b"x"


@given(
    st.text(max_size=40)
    | st.sampled_from(["../x", "a//b", "/a", "a/../b", ".incoming/x", "a/", "a\n"])
)
def test_a_key_that_passes_stays_below_the_root(key: str) -> None:
    try:
        check_key(key)
    except ValidationError:
        return
    assert os.path.normpath(f"/archive/{key}") == f"/archive/{key}"
    assert not key.startswith(".incoming")


def test_a_range_is_read_without_the_rest_and_ends_with_the_object(archive: ArchiveStore) -> None:
    archive.put_new("k", b"0123456789")
    assert archive.read_range("k", 2, 3) == b"234"
    assert archive.read_range("k", 8, 5) == b"89"
    assert archive.read_range("k", 10, 5) == b""
    assert archive.read_range("k", 4, 0) == b""
    with pytest.raises(NotFoundError):
        archive.read_range("none", 0, 1)


def test_a_replaced_object_is_the_old_or_the_new_one(archive: ArchiveStore) -> None:
    archive.replace("a/newest", b"one")
    with archive.open("a/newest") as held:
        archive.replace("a/newest", b"second")
        assert held.read() == b"one"
    assert archive.read("a/newest") == b"second"
    assert left_over(archive) == []
