"""Owns copying an archive's objects, and telling how far a copy goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from triton.archive import ArchiveStore, open_archive
from triton.backup.manifest import ARCHIVE
from triton.errors import NotFoundError
from triton.evidence import layout, notes
from triton.evidence.layout import Tree

#: Documents, and what is too large for the log: named by their content, made before what names them.
CONTENT: Final = "objects/"


def beside(folder: Path) -> ArchiveStore:
    """The copy in a backup."""
    return open_archive((folder / ARCHIVE).absolute().as_uri())


def of_the_log(archive: ArchiveStore) -> list[str]:
    """The keys of everything but content."""
    return [key for key in archive.list() if not key.startswith(CONTENT)]


def copy(source: ArchiveStore, target: ArchiveStore, keys: Iterable[str]) -> tuple[int, int]:
    """Answers how many objects were copied, and their bytes. What has gone meanwhile is left out."""
    count = size = 0
    for key in keys:
        with contextlib.suppress(NotFoundError), source.open(key) as stream:
            size += target.put_new(key, stream).size
            count += 1
    return count, size


def archived(archive: ArchiveStore, tree: Tree) -> int:
    """The last position of the sealed segments that follow one another, as far as a signed head covers them;
    0 for none."""
    try:
        head = notes.parse_head(notes.parse_note(archive.read(layout.checkpoint(tree))).text)
    except NotFoundError:
        return 0
    found = set(archive.list(layout.segments(tree)))
    ranges = [layout.range_of(key) for key in sorted(found) if layout.manifest_of(key) in found]
    end = 0
    for first, last in filter(None, ranges):
        if (end and first != end + 1) or last > head.size:
            break
        end = last
    return end
