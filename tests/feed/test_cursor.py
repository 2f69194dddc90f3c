"""The cursor: what was written is read back, and nothing else is taken for one."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triton.feed.cursor import MAX_LENGTH, Cursor, Signer, epoch_id

SIGNER = Signer(b"k" * 32)
EPOCH = epoch_id(("a life",))
ALPHABET = string.ascii_letters + string.digits + "-_"

positions = st.integers(0, 2**40)
cursors = st.one_of(
    st.builds(lambda first, at: Cursor(EPOCH, first, (at,)), st.integers(0, 255), positions),
    st.builds(
        lambda low, steps: Cursor(EPOCH, 0, tuple(low + step for step in steps)),
        positions,
        st.lists(st.integers(0, 2**14), min_size=1, max_size=8),
    ),
)
tenants = st.text(min_size=1, max_size=30).filter(str.isprintable)


@settings(deadline=None)
@given(cursors, tenants)
def test_what_was_written_is_read_back_and_safe_in_a_header(cursor: Cursor, tenant: str) -> None:
    text = SIGNER.write(cursor, tenant)
    assert re.fullmatch(r"[0-9A-Za-z._-]{1,64}", text)
    assert SIGNER.read(text, tenant) == cursor


@settings(deadline=None)
@given(cursors, st.data())
def test_any_changed_character_is_refused(cursor: Cursor, data: st.DataObject) -> None:
    text = SIGNER.write(cursor, "t")
    index = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda c: c != text[index]))
    assert SIGNER.read(text[:index] + other + text[index + 1 :], "t") == "invalid"


@settings(deadline=None)
@given(cursors, st.data())
def test_any_lost_or_added_end_is_refused(cursor: Cursor, data: st.DataObject) -> None:
    text = SIGNER.write(cursor, "t")
    cut = data.draw(st.integers(0, len(text) - 1))
    more = data.draw(st.text(ALPHABET + "=", min_size=1, max_size=3))
    assert SIGNER.read(text[:cut], "t") == "invalid"
    assert SIGNER.read(text + more, "t") == "invalid"


@given(st.text(max_size=100))
def test_arbitrary_text_is_refused_without_an_error(text: str) -> None:
    assert SIGNER.read(text, "t") == "invalid"


@given(cursors, tenants, tenants)
def test_a_cursor_is_its_tenant_s_alone(cursor: Cursor, one: str, other: str) -> None:
    text = SIGNER.write(cursor, one)
    assert (SIGNER.read(text, other) == cursor) is (one == other)
    assert Signer(b"another key").read(text, one) == "invalid"


def test_too_many_partitions_are_refused_when_written_never_cut() -> None:
    spread = tuple(n * 10_000_000 for n in range(256))
    with pytest.raises(ValueError, match=f"at most {MAX_LENGTH} are safe"):
        SIGNER.write(Cursor(EPOCH, 0, spread), "t")


def test_a_cursor_says_nothing_of_partitions_that_it_does_not_cover() -> None:
    cursor = Cursor(EPOCH, 3, (10, 20))
    assert [cursor.position(p) for p in range(6)] == [None, None, None, 10, 20, None]
