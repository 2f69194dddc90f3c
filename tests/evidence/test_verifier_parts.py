"""The verifier's own zstd, Ed25519 and msgpack against the libraries that Triton writes with."""

from __future__ import annotations

import ast
import random
import sys

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archive import VERIFIER, records

from triton.verifier import triton_verify as program
from triton.verifier.triton_verify import BadDataError, Ed25519Key, L, zstd_unpack_slowly

LEVELS = [-7, -1, 1, 2, 3, 5, 6, 9, 12, 15, 18, 19, 22]
SIZES = [0, 1, 2, 31, 63, 64, 255, 256, 1023, 1024, 65_535, 65_536, 131_072, 131_073, 300_000]


def texts() -> dict[str, bytes]:
    """One for each way in which zstd stores what it gets."""
    chance = random.Random(7)
    events = b"".join(records(1500))
    made = {
        "events": events,
        "noise": chance.randbytes(200_000),
        "letters": bytes(chance.choices(b"abcdefghij   \n", k=150_000)),
        "skewed": bytes(min(255, int(chance.expovariate(0.04))) for _ in range(150_000)),
        "code": VERIFIER.read_bytes(),
        "long matches": (chance.randbytes(70_000) + b"x") * 4,
        "mixed": events[:50_000] + chance.randbytes(90_000) + bytes(140_000) + events[:9000],
    }
    whole = made["letters"] * 3
    return {**made, **{f"{size} bytes": whole[:size] for size in SIZES}}


@pytest.mark.parametrize("level", LEVELS)
def test_zstd_of_every_level(level: int) -> None:
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True)
    for name, text in texts().items():
        assert zstd_unpack_slowly(packer.compress(text)) == text, name


def test_zstd_without_sizes_with_long_windows_and_skippable_frames() -> None:
    text = texts()["long matches"]
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, enable_ldm=True, write_content_size=0, window_log=20
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    frame = packer.compress(text)
    skippable = (0x184D2A53).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    whole = frame + skippable + packer.compress(b"")
    found = list(program.zstd_frames(whole))
    assert [kind for _, _, kind in found] == [False, True, False]
    assert found[-1][1] == len(whole)
    assert zstd_unpack_slowly(frame) == text
    chunks = zstandard.ZstdCompressor(level=3).compressobj()
    streamed = b"".join(chunks.compress(text[at : at + 777]) for at in range(0, len(text), 777))
    assert zstd_unpack_slowly(streamed + chunks.flush()) == text


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=300),
            st.text("abc", max_size=40).map(str.encode),
            st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 3000)).map(
                lambda pair: pair[0] * pair[1]
            ),
        ),
        max_size=12,
    ),
    st.sampled_from(LEVELS),
)
@settings(max_examples=150, deadline=None)
def test_zstd_of_anything(parts: list[bytes], level: int) -> None:
    text = b"".join(parts + parts[::-1])
    assert zstd_unpack_slowly(zstandard.ZstdCompressor(level=level).compress(text)) == text


@given(st.integers(0, 5000), st.integers(0, 7), st.sampled_from([1, 19]))
@settings(max_examples=200, deadline=None)
def test_a_damaged_frame_is_told_or_gives_other_bytes(at: int, bit: int, level: int) -> None:
    """It must never hang, nor end in an error of Python's own."""
    text = b"".join(records(60))
    frame = bytearray(zstandard.ZstdCompressor(level=level).compress(text))
    frame[at % len(frame)] ^= 1 << bit
    try:
        for start, end, _ in program.zstd_frames(bytes(frame)):
            zstd_unpack_slowly(bytes(frame[start:end]))
    except BadDataError:
        pass
    with pytest.raises(BadDataError):
        list(program.zstd_frames(bytes(frame[: len(frame) // 2])))


# RFC 8032, section 7.1: tests 1, 2 and 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f05"
        "95bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb"
        "4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e97"
        "16ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_ed25519_of_the_rfc(public: str, message: str, signature: str) -> None:
    key, raw, value = (
        Ed25519Key(bytes.fromhex(public)),
        bytes.fromhex(message),
        bytes.fromhex(signature),
    )
    assert key.verify(value, raw)
    assert not key.verify(value, raw + b"\x00")
    for bit in range(0, 512, 19):
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        assert not key.verify(bytes(changed), raw)
    # The same S plus the group's order: a second signature of the same text, were it accepted.
    larger = int.from_bytes(value[32:], "little") + L
    assert not key.verify(value[:32] + larger.to_bytes(32, "little"), raw)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
@settings(max_examples=15, deadline=None)
def test_ed25519_agrees_with_the_library(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key = Ed25519Key(private.public_key().public_bytes_raw())
    signature = private.sign(message)
    assert key.verify(signature, message)
    assert not key.verify(signature, message + b"!")


@pytest.mark.parametrize(
    "raw",
    [
        "01" + "00" * 31,  # the neutral element
        "00" * 32,  # of order 4
        "ec" + "ff" * 30 + "7f",  # of order 2
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # of order 8
        "01" + "00" * 30 + "80",  # minus zero
        "ed" + "ff" * 30 + "7f",  # y is p
        "02" + "00" * 31,  # on no curve
    ],
)
def test_ed25519_refuses_points_that_are_no_keys(raw: str) -> None:
    with pytest.raises(BadDataError):
        Ed25519Key(bytes.fromhex(raw))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_msgpack_agrees_with_the_library(value: object) -> None:
    raw = msgspec.msgpack.encode(value)
    assert program._msgpack(raw, 0) == (value, len(raw))
    for cut in range(0, len(raw), 7):
        with pytest.raises(BadDataError):
            program._msgpack(raw[:cut], 0)


def test_the_program_is_one_file_for_python_3_9() -> None:
    """What only later versions know would stop an auditor: syntax, and modules out of other places."""
    code = ast.parse(VERIFIER.read_text(), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(code)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)
