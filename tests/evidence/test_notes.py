"""Signed notes, tree heads and proofs as text, against C2SP's examples and against every flipped bit."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from triton.errors import EvidenceError
from triton.evidence import notes, proofs, tree
from triton.evidence.notes import COSIGNATURE, Note, Signature, TreeHead, VerifierKey
from triton.evidence.proofs import Proof
from triton.evidence.signing import KeySigner

# From c2sp.org/signed-note, section "Verifier keys".
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Z"
    "tg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# From c2sp.org/tlog-cosignature.
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nT"
    "o+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqh"
    "f5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()
ORIGIN = "example.com/triton/triton/0/e1"


def signer(name: str = "example.com/triton", seed: int = 1, kind: int = notes.ED25519) -> KeySigner:
    private = Ed25519PrivateKey.from_private_bytes(bytes((seed,)) * 32)
    return KeySigner(VerifierKey(name, private.public_key().public_bytes_raw(), kind), private)


def test_the_published_note_verifies() -> None:
    key = notes.parse_key(VKEY)
    assert str(key) == VKEY
    note = notes.parse_note(EXAMPLE)
    assert notes.verify(note, [key]) == [key]
    assert bytes(note) == EXAMPLE


def test_the_published_checkpoint_parses() -> None:
    note = notes.parse_note(COSIGNED)
    head = notes.parse_head(note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert str(head) == note.text
    assert bytes(note) == COSIGNED
    assert notes.cosigned_at(note.signatures[1].value[:]) == 1679315147


def test_no_bit_of_a_note_can_change() -> None:
    head = TreeHead(ORIGIN, 7, tree.EMPTY_ROOT)
    ours, other = signer(), signer(seed=2)
    raw = notes.sign_head(head, [ours])
    assert notes.open_head(raw, [other.key, ours.key], ORIGIN) == head
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvidenceError):
            notes.open_head(bytes(changed), [ours.key], ORIGIN)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{ORIGIN}\n07\n{notes.encode(tree.EMPTY_ROOT)}\n", "size"),
        (f"{ORIGIN}\n-7\n{notes.encode(tree.EMPTY_ROOT)}\n", "size"),
        (f"{ORIGIN}\n٧\n{notes.encode(tree.EMPTY_ROOT)}\n", "size"),
        (f"{ORIGIN}\n7\nAAAA\n", "root"),
        (f"{ORIGIN}\n7\n{notes.encode(tree.EMPTY_ROOT)}\n\nmore\n", "own line"),
        (f"\n7\n{notes.encode(tree.EMPTY_ROOT)}\n", "own line"),
        (f"{ORIGIN}\n7\n", "own line"),
    ],
)
def test_a_signed_text_that_is_no_tree_head_is_refused(text: str, what: str) -> None:
    ours = signer()
    raw = bytes(notes.sign(text, [ours]))
    with pytest.raises(EvidenceError, match=what):
        notes.open_head(raw, [ours.key], ORIGIN)


def test_a_head_of_another_log_or_another_key_is_refused() -> None:
    ours, other = signer(), signer(seed=2)
    raw = notes.sign_head(TreeHead(ORIGIN, 1, bytes(32)), [ours])
    with pytest.raises(EvidenceError, match="another log"):
        notes.open_head(raw, [ours.key], ORIGIN + "2")
    with pytest.raises(EvidenceError, match="no signature is by a key that is trusted"):
        notes.open_head(raw, [other.key], ORIGIN)


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    ours, other = signer(), signer("example.com/b", seed=2)
    good = notes.sign("text\n", [ours, other])
    assert notes.verify(good, [ours.key, other.key]) == [ours.key, other.key]
    spoiled = Note(
        good.text, (good.signatures[0], Signature("example.com/b", other.key.id, bytes(64)))
    )
    with pytest.raises(EvidenceError, match=r"example\.com/b"):
        notes.verify(spoiled, [ours.key, other.key])
    assert notes.verify(spoiled, [ours.key]) == [ours.key]


def test_a_witness_signs_with_its_time() -> None:
    witness = signer("witness.example", kind=COSIGNATURE)
    text = str(TreeHead(ORIGIN, 1, bytes(32)))
    value = (1_700_000_000).to_bytes(8) + witness.sign(
        b"cosignature/v1\ntime 1700000000\n" + text.encode()
    )
    assert notes.signed(witness.key, text, value)
    assert not notes.signed(witness.key, text, (1_700_000_001).to_bytes(8) + value[8:])
    assert notes.parse_key(str(witness.key)) == witness.key


@pytest.mark.parametrize(
    "text",
    ["", "name", "a+b+c", VKEY.replace("530d", "530e"), VKEY[:-1], VKEY.replace("foo", "f o")],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        notes.parse_key(text)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\xff\n\n",
        EXAMPLE[:-1],
        EXAMPLE.replace(b" ", b"\t", 1),
        EXAMPLE + b"x\n",
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(EvidenceError, match="no signed note"):
        notes.parse_note(raw)


@given(st.integers(1, 40), st.data())
@settings(max_examples=20, deadline=None)
def test_no_bit_of_a_proof_file_can_change(size: int, data: st.DataObject) -> None:
    records = [b"record %d" % number for number in range(size)]
    hashes = tree.leaf_hashes(records)
    index = data.draw(st.integers(0, size - 1))
    path = [tree.root_of(hashes[a:b]) for a, b in tree.inclusion_ranges(index, size)]
    ours = signer()
    checkpoint = notes.sign_head(TreeHead(ORIGIN, size, tree.root_of(hashes)), [ours])
    proof = Proof(index, tuple(path), checkpoint, records[index])
    raw = bytes(proof)
    assert proofs.parse_proof(raw) == proof
    assert proofs.verify_proof(proof, [ours.key], ORIGIN).size == size
    for bit in data.draw(st.lists(st.integers(0, len(raw) * 8 - 1), min_size=20, max_size=20)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvidenceError):
            proofs.verify_proof(proofs.parse_proof(bytes(changed)), [ours.key], ORIGIN)
