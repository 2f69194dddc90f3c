"""Whatever is sealed comes back as it was, and only there where it was sealed."""

from __future__ import annotations

import contextlib
import json
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dramatiq import Message
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from triton.erasure import places
from triton.erasure.envelopes import MARK, Key, masked, masked_json
from triton.erasure.keyring import Keyring
from triton.erasure.marks import Marks
from triton.erasure.messages import SEALED, Declared, Sealing
from triton.erasure.opening import open_store
from triton.erasure.personal import Personal
from triton.errors import DecodeError, ErasedError
from triton.signature import Signature

#: Long and odd enough not to be in anything by chance.
SECRETS = st.integers(0, 10**6).map(lambda number: f"secret-{number:07}-value")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(string.printable, max_size=8)
    | SECRETS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(string.ascii_letters + "/~.", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
SIGNATURE = Signature(positional=("user", "email", "rest"), named=("card",), more_named=True)


@contextlib.contextmanager
def keyring() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory() as folder:
        ring = Keyring(lambda: open_store(Path(folder).as_uri()), remember=0)
        yield ring
        ring.close()


def message(args: tuple[Any, ...], kwargs: dict[str, Any], job: str = "job") -> Message[Any]:
    return Message("q", "mail", args, kwargs, {}, job, 0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(user=st.integers(1, 9) | st.text("abc", min_size=1, max_size=3), data=st.data())
def test_a_message_comes_back_as_it_was_and_other_subjects_outlive_an_erasure(
    user: int | str, data: st.DataObject
) -> None:
    email, card, rest, other = (data.draw(each) for each in (PLAIN, PLAIN, PLAIN, SECRETS))
    # What is not marked may stand in the open, also where it says the same.
    assume(other not in json.dumps(rest))
    by_name = data.draw(st.booleans())
    marked = {"deep": [1, {"x": Personal(other, subject="other")}], "open": rest}
    kwargs: dict[str, Any] = {"card": {"number": card, "kind": "debit"}, "more": marked}
    args: tuple[Any, ...] = (user,) if by_name else (user, email)
    if by_name:
        kwargs["email"] = email
    marks = Marks(subject="user", fields=("email", "card.number", "absent"))
    with keyring() as ring:
        sealing = Sealing(ring, lambda _: Declared(marks, SIGNATURE))
        found = sealing.look(message(args, kwargs), "t")
        assert found is not None
        sealed = found.sealed(message(args, kwargs))
        encoded = sealed.encode()
        opened = sealing.open(Message.decode(encoded), "job").message

        assert other.encode() not in encoded
        plain = {**kwargs, "more": {"deep": [1, {"x": other}], "open": rest}}
        assert (opened.args, opened.kwargs) == (args, plain)
        assert found.comparable() == sealing.look(message(args, kwargs), "t").comparable()  # type: ignore[union-attr]

        ring.destroy("t", "other")
        with pytest.raises(ErasedError):
            sealing.open(Message.decode(encoded), "job")
        without = message(args, {**kwargs, "more": rest})
        again = sealing.look(without, "t").sealed(without)  # type: ignore[union-attr]
        assert sealing.open(Message.decode(again.encode()), "job").message.args == args


def test_a_sealed_message_becomes_another_job_only_by_being_sealed_anew() -> None:
    marks = Marks(subject="user", fields=("email",))
    with keyring() as ring:
        sealing = Sealing(ring, lambda _: Declared(marks, SIGNATURE))
        first = message((1, "secret"), {})
        sealed = sealing.look(first, "t").sealed(first)  # type: ignore[union-attr]
        moved = sealed.copy(message_id="other")
        with pytest.raises(DecodeError, match="was taken from another job or field"):
            sealing.open(moved, "other")
        anew = sealing.look(sealed, "t").sealed(moved)  # type: ignore[union-attr]

        assert sealing.open(anew, "other").message.args == (1, "secret")
        assert anew.options[SEALED]["at"] == ["args/1"]
        swapped = message((sealed.args[1], "x"), {})._replace(options={SEALED: {"at": ["args/0"]}})
        with pytest.raises(DecodeError):
            sealing.open(swapped, "job")


def test_any_flipped_bit_of_an_envelope_is_noticed() -> None:
    key = Key("0" * 32, b"s" * 32)
    sealed = key.seal(b"plain", "job", "args/0")
    alphabet = string.ascii_letters + string.digits + "-_"
    for at in range(len(sealed) - 1):
        other = alphabet[(alphabet.index(sealed[at]) + 1) % len(alphabet)]
        with pytest.raises(DecodeError):
            key.open(sealed[:at] + other + sealed[at + 1 :], "job", "args/0")
    assert key.seal(b"plain", "job", "args/0") != sealed
    assert key.token(b"a") == key.token(b"a") != Key("0" * 32, b"t" * 32).token(b"a")


@given(path=st.lists(st.text("ab/~.", min_size=1, max_size=4), min_size=1, max_size=4))
def test_places_are_read_as_they_were_written(path: list[str]) -> None:
    assert places.read(places.written(tuple(path))) == tuple(path)


def test_readers_see_that_there_is_something_and_nothing_of_it() -> None:
    key = Key("ab" * 16, b"s" * 32)
    value = {MARK: {"c": key.seal(b"1", "j", "p"), "k": key.id}}
    word = f"{MARK}:{key.id}:{key.seal(b'text', 'j', 'p')}"
    whole = {"a": value, "b": [f"failed: {word}.", 1], "c": "plain"}
    shown = {"a": "[personal]", "b": ["failed: [personal].", 1], "c": "plain"}

    assert masked(whole) == shown
    assert msgspec.json.decode(masked_json(msgspec.json.encode(whole))) == shown
    turned = {MARK: {"k": key.id, "c": value[MARK]["c"]}}
    assert masked_json(msgspec.json.encode(turned)) == b'"[personal]"'
    assert masked_json(b'{"a":1}') == b'{"a":1}'
