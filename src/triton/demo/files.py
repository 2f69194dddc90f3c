"""Owns which files a demo runs on: those that were named, or documents of the project's own."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Final, NamedTuple

from triton.errors import ConfigurationError

#: What is taken from a folder; a file that is named itself is taken whatever it is.
SUFFIXES: Final = frozenset(
    (".pdf", ".docx", ".html", ".htm", ".xhtml", ".md", ".markdown", ".txt", ".text")
)
_OTHER_TYPE: Final = "of another type"
_DISTRIBUTION: Final = "triton-jobs"


class Found(NamedTuple):
    """The files to run on, each once, a line for each that cannot be, and those of other types in folders."""

    files: list[Path]
    problems: list[str]
    skipped: list[Path]


def find(paths: Sequence[Path]) -> Found:
    """The named files, and the documents below the named folders (not the hidden ones)."""
    found = Found([], [], [])
    known: set[Path] = set()
    for path in paths:
        for file, problem in _below(path):
            if problem == _OTHER_TYPE:
                found.skipped.append(file)
            elif problem:
                found.problems.append(f"{file}: {problem}")
            elif (real := file.resolve()) not in known:
                known.add(real)
                found.files.append(file)
    return found


def _below(path: Path) -> Iterator[tuple[Path, str]]:
    """Each file with why it cannot be taken; empty where it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield path, error.strerror or str(error)
        return
    if not stat.S_ISDIR(mode):
        # Nobody waits for the other end of a pipe.
        yield path, "" if stat.S_ISREG(mode) else "not a regular file"
        return
    trouble: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=trouble.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file():
                yield file, "" if file.suffix.lower() in SUFFIXES else _OTHER_TYPE
    for closed in trouble:
        yield Path(closed.filename), closed.strerror or str(closed)


def skipped_line(skipped: Sequence[Path]) -> str:
    """How many files of folders were left out, of which types, and what would take them."""
    counts = Counter(file.suffix.lower() or "no suffix" for file in skipped)
    types = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    more = ", ..." if len(counts) > 5 else ""
    files = "1 file was" if len(skipped) == 1 else f"{len(skipped)} files were"
    return (
        f"{files} skipped ({types}{more}): from folders {' '.join(sorted(SUFFIXES))} are taken; a file "
        "that is named itself is taken whatever it is"
    )


def own_documents(out: Path) -> list[Path]:
    """The project's documentation as PDF, DOCX, HTML and Markdown, written into `out`.

    Raises ConfigurationError where the libraries that write them are not installed.
    """
    try:
        from triton.demo.documents import make_documents
    except ImportError as error:
        raise ConfigurationError(
            f"The demo's documents cannot be made ({error}): install triton-jobs[documents], or name "
            "documents or folders on the command line."
        ) from error
    return make_documents(list(_sources(out)), out)


def _sources(out: Path) -> Iterable[Path]:
    """Folders with Markdown: of the checkout, else of the installed package."""
    checkout = Path(__file__).parents[3]
    if (checkout / "pyproject.toml").is_file() and (checkout / "README.md").is_file():
        return [checkout, *_folders(checkout / "docs")]
    packaged = resources.files("triton").joinpath("docs")
    if isinstance(packaged, Path) and packaged.is_dir():
        return _folders(packaged)
    readme = out / "source"
    readme.mkdir(parents=True, exist_ok=True)
    text = str(metadata.metadata(_DISTRIBUTION).json["description"])
    (readme / "README.md").write_text(text, encoding="utf-8")
    return [readme]


def _folders(folder: Path) -> list[Path]:
    """The folder and those right below it."""
    return [folder, *(below for below in sorted(folder.glob("*")) if below.is_dir())]
