"""The documents' commands that start engines, take long, or lose something: `make docs-commands`.

Each page is one script of bash in a folder of its own, on a stack of its own where it needs one. What runs
until ctrl-C is run until it is seen to work; who would be asked says yes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import passable
from doc_blocks import DOCS, ROOT, actors, files, plain
from doc_walks import HANDS, READERS

PAGES = [
    page for page in (ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))) if page.name in READERS
]


@pytest.fixture
def place() -> Iterator[Path]:
    """The reader's."""
    with passable("triton-walk-") as made:
        yield made


# The benchmarks' quick form takes two minutes where nothing else runs.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed(page: Path, place: Path) -> None:
    reader = READERS[page.name]
    if shutil.which(reader.needs) is None:
        pytest.skip(f"needs {reader.needs}")
    shutil.copy(ROOT / "README.md", place)
    (place / ".venv").symlink_to(sys.prefix)
    for name, text in {**actors(), **files(page)}.items():
        (place / name).write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    env |= {"CHECKOUT": str(ROOT), "TRITON_PORT": "0", "PYTHONPATH": str(ROOT / "src")}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env["PATH"]))
    said = place / ".said"
    with said.open("wb") as output:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", HANDS + reader.script(plain(page))],
            cwd=place,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=1790,
            check=False,
        )
    assert done.returncode == 0, said.read_text(errors="replace")
