"""Counting without a dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton.extraction import extract
from triton.extraction.statistics import sentences, words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("— … !", 0),
        ("one", 1),
        ("don't stop-gap, twice", 3),
        ("3.14 and (2)", 3),
        ("狐狸 runs", 3),
        ("हिन्दी में लिखा", 3),
        ("Ελληνικά κείμενα", 2),
    ],
)
def test_words(text: str, count: int) -> None:
    assert words(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("One. Two! Three", 3),
        ('He said "no." She left.', 2),
        ("Version 1.2.3 is out.", 1),
        ("狐狸跑。很快！", 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert sentences(text) == count


@given(st.lists(st.text("abcäßд", min_size=1, max_size=8), max_size=20))
def test_spaced_words_are_counted_as_such(tokens: list[str]) -> None:
    assert words(" ".join(tokens)) == len(tokens)


def test_a_documents_statistics_are_its_own() -> None:
    data = b"# One\n\nTwo three. Four five!\n\n* six\n\n| a | b |\n|---|---|\n| c | d |\n"
    found = extract(data, filename="x.md").statistics
    assert (found.pages, found.words, found.sentences, found.lines) == (1, 10, 3, 5)
    assert (found.headings, found.tables, found.bytes) == (1, 1, len(data))
    assert found.characters == len("One\n\nTwo three. Four five!\n\nsix\n\na\tb\nc\td")
