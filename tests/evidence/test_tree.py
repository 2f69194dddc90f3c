"""The Merkle tree against RFC 6962's own definitions, its published vectors, and forgers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triton.errors import EvidenceError
from triton.evidence import tiles, tree
from triton.evidence.tiles import HashReader, Tile
from triton.evidence.tree import EMPTY_ROOT, Frontier

# The leaves and roots of the reference implementation's tests (certificate-transparency).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(records: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not records:
        return hashlib.sha256().digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while k * 2 < len(records):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(records[:k]) + mth(records[k:])).digest()


def path(m: int, records: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(records) == 1:
        return []
    k = 1
    while k * 2 < len(records):
        k *= 2
    if m < k:
        return [*path(m, records[:k]), mth(records[k:])]
    return [*path(m - k, records[k:]), mth(records[:k])]


def subproof(m: int, records: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if m == len(records):
        return [] if whole else [mth(records)]
    k = 1
    while k * 2 < len(records):
        k *= 2
    if m <= k:
        return [*subproof(m, records[:k], whole), mth(records[k:])]
    return [*subproof(m - k, records[k:], False), mth(records[:k])]


def records_of(count: int) -> list[bytes]:
    return [b"event %d" % number for number in range(count)]


def reader_over(records: Sequence[bytes], tiled: int = 0) -> HashReader:
    """A reader whose leaves come from `records`, and whose tiles were made by growing to `tiled`."""
    hashes = tree.leaf_hashes(records)
    stored: dict[Tile, bytes] = {}
    stored.update(tiles.grow(Frontier(), hashes[:tiled], stored.__getitem__)[1])
    return HashReader(len(hashes), tiled, stored.__getitem__, lambda a, b: hashes[a:b])


def flips(raw: bytes, bit: int) -> bytes:
    bit %= len(raw) * 8
    return raw[: bit // 8] + bytes((raw[bit // 8] ^ 1 << bit % 8,)) + raw[bit // 8 + 1 :]


def test_published_roots() -> None:
    for size, root in enumerate(ROOTS):
        assert tree.root_of(tree.leaf_hashes(LEAVES[:size])).hex() == root
    assert EMPTY_ROOT.hex() == ROOTS[0]


def test_all_proofs_of_small_trees_are_those_of_the_rfc() -> None:
    records = records_of(19)
    reader = reader_over(records)
    for size in range(len(records) + 1):
        root = reader.root(size)
        assert root == mth(records[:size])
        for index in range(size):
            proof = reader.inclusion(index, size)
            assert proof == path(index, records[:size])
            assert tree.verify_inclusion(reader.leaf(index), index, size, proof, root)
        for old in range(size + 1):
            proof = reader.consistency(old, size)
            assert proof == (subproof(old, records[:size], True) if old else [])
            assert tree.verify_consistency(old, size, proof, reader.root(old), root)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=5), st.data())
@settings(max_examples=40, deadline=None)
def test_growing_in_any_steps_makes_the_same_tree_and_tiles(
    steps: list[int], data: st.DataObject
) -> None:
    hashes = tree.leaf_hashes(records_of(sum(steps)))
    stored: dict[Tile, bytes] = {}
    frontier = Frontier()
    for step in steps:
        new = hashes[frontier.size : frontier.size + step]
        before = frontier.size
        frontier, made = tiles.grow(frontier, new, stored.__getitem__)
        assert [tile for tile, _ in made] == tiles.tiles_of_growth(before, frontier.size)
        stored.update(made)
    assert frontier.root() == tree.root_of(hashes)
    size = len(hashes)
    reader = HashReader(size, size, stored.__getitem__, lambda a, b: hashes[a:b])
    assert reader.frontier() == frontier
    old = data.draw(st.integers(0, size))
    proof = reader.consistency(old)
    assert tree.verify_consistency(old, size, proof, tree.root_of(hashes[:old]), frontier.root())
    if size:
        index = data.draw(st.integers(0, size - 1))
        proof = reader.inclusion(index)
        assert tree.verify_inclusion(hashes[index], index, size, proof, frontier.root())


def test_a_tree_of_three_levels_of_tiles_reads_few_of_them() -> None:
    """65,536 leaves fill a tile of level 1: the tree above it must come from level 2."""
    size = 2 * 65_536 + 1000
    hashes = [number.to_bytes(32) for number in range(size)]
    stored = dict(tiles.grow(Frontier(), hashes, {}.__getitem__)[1])
    assert {tile.path for tile in stored} == {
        "tile/1/000",
        "tile/1/001",
        "tile/1/002.p/3",
        "tile/2/000.p/2",
    }
    read: list[str] = []

    def read_tile(tile: Tile) -> bytes:
        read.append(tile.path)
        return stored[tile]

    leaves: list[tuple[int, int]] = []

    def read_leaves(first: int, after: int) -> list[bytes]:
        leaves.append((first, after))
        return hashes[first:after]

    reader = HashReader(size, size, read_tile, read_leaves)
    proof = reader.inclusion(70_000)
    assert tree.verify_inclusion(hashes[70_000], 70_000, size, proof, tree.root_of(hashes))
    assert sorted(read) == ["tile/1/001", "tile/1/002.p/3", "tile/2/000.p/2"]
    assert leaves == [(69_888, 70_144), (131_840, 132_072)]


def test_tile_paths_are_those_of_c2sp() -> None:
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(1, 0, 17).path == "tile/1/000.p/17"
    assert Tile(3, 999).path == "tile/3/999"
    assert Tile(3, 1000, 1).path == "tile/3/x001/000.p/1"


def test_a_damaged_tile_and_missing_leaves_are_named() -> None:
    hashes = tree.leaf_hashes(records_of(600))
    reader = HashReader(600, 600, lambda _: b"short", lambda a, b: hashes[a:b])
    with pytest.raises(EvidenceError, match=r"tile/1/000\.p/2 has 5 bytes, expected 64"):
        reader.root()
    reader = HashReader(600, 0, lambda _: b"", lambda a, b: hashes[a : b - 1])
    with pytest.raises(EvidenceError, match="255 leaf hashes came for positions 1 to 256"):
        reader.root()


@given(st.integers(1, 300), st.data())
@settings(max_examples=150, deadline=None)
def test_no_changed_inclusion_proof_verifies(size: int, data: st.DataObject) -> None:
    records = records_of(size)
    reader = reader_over(records)
    index = data.draw(st.integers(0, size - 1))
    leaf, proof, root = reader.leaf(index), reader.inclusion(index), reader.root()
    assert tree.verify_inclusion(leaf, index, size, proof, root)
    bit = data.draw(st.integers(0, 255))
    assert not tree.verify_inclusion(flips(leaf, bit), index, size, proof, root)
    assert not tree.verify_inclusion(leaf, index, size, proof, flips(root, bit))
    for at in range(len(proof)):
        forged = [*proof[:at], flips(proof[at], bit), *proof[at + 1 :]]
        assert not tree.verify_inclusion(leaf, index, size, forged, root)
    assert not tree.verify_inclusion(leaf, index, size, [*proof, root], root)
    assert not tree.verify_inclusion(leaf, index, size, proof[:-1], root) or not proof
    other = data.draw(st.integers(0, size + 5).filter(lambda n: n != index))
    assert not tree.verify_inclusion(leaf, other, size, proof, root)


@given(st.integers(1, 300), st.data())
@settings(max_examples=150, deadline=None)
def test_no_changed_consistency_proof_verifies(size: int, data: st.DataObject) -> None:
    reader = reader_over(records_of(size))
    old = data.draw(st.integers(1, size))
    proof, was, now = reader.consistency(old), reader.root(old), reader.root()
    assert tree.verify_consistency(old, size, proof, was, now)
    bit = data.draw(st.integers(0, 255))
    assert not tree.verify_consistency(old, size, proof, flips(was, bit), now)
    assert not tree.verify_consistency(old, size, proof, was, flips(now, bit))
    for at in range(len(proof)):
        forged = [*proof[:at], flips(proof[at], bit), *proof[at + 1 :]]
        assert not tree.verify_consistency(old, size, forged, was, now)
    assert not tree.verify_consistency(old, size, [*proof, now], was, now)
    assert not proof or not tree.verify_consistency(old, size, proof[:-1], was, now)


def test_a_forged_middle_between_right_ends_is_refused() -> None:
    """immudb's CVE-2022-36111: a verifier that looks at a proof's ends lets its middle be anything."""
    honest = records_of(40)
    forged = [*honest[:25], b"another event", *honest[26:]]
    for old in range(26, 40):
        theirs, ours = reader_over(forged), reader_over(honest)
        proof = theirs.consistency(old)
        assert not tree.verify_consistency(old, 40, proof, ours.root(old), theirs.root())
        mixed = [ours.consistency(old)[0], *proof[1:-1], ours.consistency(old)[-1]]
        if mixed != ours.consistency(old):
            assert not tree.verify_consistency(old, 40, mixed, ours.root(old), ours.root())
    assert not tree.verify_consistency(26, 40, [], ours.root(26), ours.root())
    assert not tree.verify_consistency(0, 40, [], ours.root(1), ours.root())
    assert not tree.verify_consistency(40, 26, [], ours.root(40), ours.root(26))
    assert not tree.verify_consistency(40, 40, [ours.root()], ours.root(), ours.root())
