"""The demo's documents: made from Markdown, read back by the extraction with the same structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from triton.demo.documents import make_documents
from triton.errors import ConfigurationError
from triton.extraction import Extraction, extract

README = """# The project

It keeps → what it promises, at ≥ 10 jobs/s & more <fast>.

## A table

| name | what it is for |
|------|----------------|
| one  | the first of all things that have a long description, longer than its column |
| two  | the second |
| three | **the third** |

## Code

```python
for line in code:  # a comment that is not a heading, and a line that is longer than the page is wide
    print(line)
```

- an item
- another
"""


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "LICENSE").write_text("Do what the licence says.\n")
    (tmp_path / "docs" / "guide.md").write_text("# Guide\n\n" + "Some words here.\n\n" * 200)
    return [tmp_path, tmp_path / "docs"]


def read(path: Path) -> Extraction:
    with path.open("rb") as stream:
        return extract(stream, filename=path.name)


def test_every_source_becomes_each_format_and_all_become_a_handbook(
    sources: list[Path], tmp_path: Path
) -> None:
    made = make_documents(sources, tmp_path / "out" / "deep")
    formats = ("pdf", "docx", "html", "md")
    names = [f"{stem}.{suffix}" for stem in ("readme", "guide") for suffix in formats]
    assert [path.name for path in made] == [*names, "handbook.pdf", "handbook.docx", "license.txt"]
    for path in made:
        found = read(path)
        assert "mismatch" not in found.metadata
        assert found.statistics.words > 3
        if path.stem == "readme":
            assert [(heading.level, heading.text) for heading in found.headings] == [
                (1, "The project"),
                (2, "A table"),
                (2, "Code"),
            ]
            (table,) = found.tables
            assert [row[0] for row in table.rows] == ["name", "one", "two", "three"]
            assert table.rows[1][1].endswith("longer than its column")
            assert found.title == "The project"
    assert read(tmp_path / "out" / "deep" / "handbook.pdf").statistics.pages >= 3


def test_the_same_sources_give_the_same_bytes(sources: list[Path], tmp_path: Path) -> None:
    first = make_documents(sources, tmp_path / "one")
    second = make_documents(sources, tmp_path / "two")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_no_sources_and_no_place_are_one_sentence(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Markdown file"):
        make_documents([tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make_documents(sources, tmp_path / "file" / "out")
