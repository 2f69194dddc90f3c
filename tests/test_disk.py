"""Small files that matter: whole, private, and there after a power cut."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from triton import disk


@pytest.mark.parametrize("write", [disk.create_once, disk.replace])
def test_a_file_and_its_name_are_flushed(
    write: Callable[[Path, bytes], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring of keys whose new name was not flushed would be the old one after a power cut, and what was
    sealed since could not be opened."""
    path = tmp_path / "ring"
    flushed: list[tuple[bool, list[str]]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        fsync(handle)
        flushed.append(
            (stat.S_ISDIR(os.fstat(handle).st_mode), [one.name for one in tmp_path.iterdir()])
        )

    monkeypatch.setattr(os, "fsync", noted)
    write(path, b"1")
    assert [folder for folder, _ in flushed] == [False, True]
    assert flushed[-1][1] == ["ring"], "and by then it has its name"
    assert path.read_bytes() == b"1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_is_replaced_or_left(tmp_path: Path) -> None:
    path = tmp_path / "made" / "here" / "key"
    disk.make_folders(path.parent, 0o700)
    assert disk.create_once(path, b"1")
    assert not disk.create_once(path, b"2")
    assert path.read_bytes() == b"1"
    disk.replace(path, b"3")
    assert path.read_bytes() == b"3"
    assert [one.name for one in path.parent.iterdir()] == ["key"]
