"""What a forger can do to an archive, and what `triton-verify` says to each: a code, and where."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from made_archive import (
    MadeArchive,
    end_of_segment,
    expiry,
    packed,
    records,
    rotation,
    skippable,
    verify,
)

from triton.evidence import keyring, layout, lives, manifest, notes, tree
from triton.evidence.notes import TreeHead, VerifierKey
from triton.evidence.signing import KeySigner
from triton.verifier import triton_verify
from triton.verifier.triton_verify import main

WHOLE, TAMPERED, INCOMPLETE, UNKNOWN = range(4)


def signer(seed: int = 1, name: str = "example.com/triton") -> KeySigner:
    private = Ed25519PrivateKey.from_private_bytes(bytes((seed,)) * 32)
    return KeySigner(VerifierKey(name, private.public_key().public_bytes_raw()), private)


KEY = str(signer().key)


@pytest.fixture
def made(tmp_path: Path) -> MadeArchive:
    """Three segments of 300, 500 and 200 events."""
    archive = MadeArchive(tmp_path / "archive", signer())
    for after, count in ((0, 300), (300, 500), (800, 200)):
        archive.seal(records(count, after=after))
    return archive


def rewrite(made: MadeArchive, number: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Replaces the records of a segment, and its manifest's hash and size: all that is not signed."""
    path = made.segments[number]
    first, last = layout.range_of(str(path.relative_to(made.root))) or (0, 0)
    data = packed(change(made.records[first - 1 : last]), first, 64)
    path.write_bytes(data)
    forge_manifests(made, {number: {"sha256": manifest.digest(data), "size": len(data)}})


def forge_manifests(made: MadeArchive, changes: dict[int, dict[str, object]]) -> None:
    """Writes all manifests again as a right chain."""
    previous = ""
    for number, path in enumerate(made.segments):
        name = path.with_suffix(".json")
        fields = {**json.loads(name.read_bytes()), **changes.get(number, {}), "previous": previous}
        raw = json.dumps(fields).encode()
        name.write_bytes(raw)
        previous = manifest.digest(raw)


def with_time(record: bytes, at: int) -> bytes:
    values = msgspec.msgpack.decode(record)
    values[5] = b"%d" % at
    return msgspec.msgpack.encode(values)


def test_an_honest_archive_is_whole(made: MadeArchive) -> None:
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["verdict"]) == (WHOLE, "whole")
    assert report["logs"][0]["events"] == 1000
    assert report["logs"][0]["origin"] == made.origin
    for part in ("log", "log/triton", "log/triton/p0", "log/triton/p0/e1"):
        assert verify(made.root / part, "--key", KEY)[0] == WHOLE


def test_without_a_key_nothing_is_sure(made: MadeArchive) -> None:
    code, report = verify(made.root)
    assert code == UNKNOWN
    assert KEY in report["sentence"]
    assert verify(made.root, "--trust-first")[0] == WHOLE
    code, report = verify(made.root, "--key", str(signer(2).key))
    assert code == UNKNOWN
    assert "no head of this log is signed by a trusted key" in report["sentence"]


def test_drop(made: MadeArchive) -> None:
    rewrite(made, 1, lambda old: old[:100] + old[101:])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 401)
    assert "holds position 402" in report["sentence"]


def test_swap(made: MadeArchive) -> None:
    rewrite(made, 1, lambda old: [*old[:100], old[101], old[100], *old[102:]])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 401)


def test_duplicate(made: MadeArchive) -> None:
    rewrite(made, 1, lambda old: [*old[:100], old[99], *old[100:]])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 401)
    assert "holds position 400" in report["sentence"]


def test_one_event_too_many(made: MadeArchive) -> None:
    rewrite(made, 2, lambda old: old + records(1, after=1000))
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 1001)


def test_re_time(made: MadeArchive) -> None:
    rewrite(made, 1, lambda old: [*old[:100], with_time(old[100], 1), *old[101:]])
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    # Position 401 is in the tile hash of 257 to 512: no closer without hashes of single events.
    assert (report["position"], report["until"]) == (301, 512)


def test_a_footer_that_shows_readers_something_else(made: MadeArchive) -> None:
    """Who reads a segment goes by its footer, and no root covers that."""
    path = made.segments[1]
    whole = path.read_bytes()
    size = int.from_bytes(whole[-8:-4])
    footer = json.loads(zlib.decompress(whole[-8 - size : -8]))
    frames = whole[: sum(block[1] for block in footer["blocks"])]
    part = [with_time(record, 1) for record in made.records[300:364]]
    forged = packed(part, 301, 64)
    hidden = forged[: next(triton_verify.zstd_frames(forged))[1]]

    def says(**changes: object) -> str:
        made_up = frames + skippable(hidden) + end_of_segment({**footer, **changes})
        path.write_bytes(made_up)
        said = {"sha256": manifest.digest(made_up), "size": len(made_up)}
        forge_manifests(made, {1: said})
        code, report = verify(made.root, "--key", KEY)
        assert code in (WHOLE, TAMPERED)
        assert code == WHOLE or (report["position"], report["until"]) == (301, 800)
        return str(report["sentence"])

    first, *others = footer["blocks"]
    assert says().startswith("whole")  # nobody looks there
    elsewhere = [len(frames) + 8, len(hidden), *first[2:]]
    assert "other blocks" in says(blocks=[elsewhere, *others])
    assert "other blocks" in says(blocks=[[*first[:4], 1, 2], *others])
    assert "other jobs" in says(jobs=[triton_verify.index_of(set()), *footer["jobs"][1:]])
    assert "other epoch" in says(epoch="e2")


def test_re_time_with_new_tiles_and_roots(made: MadeArchive) -> None:
    """A forger without the key can make everything fit but the signed heads."""
    forger = MadeArchive(made.root.parent / "forged", signer(2))
    for after, count in ((0, 300), (300, 500), (800, 200)):
        new = records(count, after=after)
        if after == 300:
            new[100] = with_time(new[100], 1)
        forger.seal(new)
    for part in ("heads", "checkpoint"):
        theirs, ours = forger.path(forger.tree.prefix + part), made.path(made.tree.prefix + part)
        shutil.rmtree(theirs) if theirs.is_dir() else theirs.unlink()
        (shutil.copytree if ours.is_dir() else shutil.copy)(ours, theirs)
    shutil.rmtree(forger.root / "log/triton/keys")
    code, report = verify(forger.root, "--key", KEY)
    assert code == TAMPERED
    assert (report["position"], report["until"]) == (301, 800)


def test_truncated_file(made: MadeArchive) -> None:
    path = made.segments[1]
    path.write_bytes(path.read_bytes()[:-4000])
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert 301 <= report["position"] <= 800


def test_truncated_tail(made: MadeArchive) -> None:
    last = made.segments[-1]
    last.unlink()
    last.with_suffix(".json").unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 801, 1000)


def test_missing_middle(made: MadeArchive) -> None:
    """What is behind a gap is verified all the same, by the tiles and the records that are there."""
    made.segments[1].unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 301, 800)


def test_missing_manifest(made: MadeArchive) -> None:
    made.segments[1].with_suffix(".json").unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (INCOMPLETE, 301)


def test_a_manifest_that_is_nested_without_end(made: MadeArchive) -> None:
    made.segments[1].with_suffix(".json").write_bytes(b"[" * 200_000)
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (TAMPERED, 301, 800)


@pytest.mark.parametrize("suffix", [".zst", ".json"])
def test_a_pipe_is_no_file(made: MadeArchive, suffix: str) -> None:
    """Whoever opens one waits for a writer."""
    path = made.segments[1].with_suffix(suffix)
    path.unlink()
    os.mkfifo(path)
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (INCOMPLETE, 301)


def test_spliced_logs(made: MadeArchive, tmp_path: Path) -> None:
    """A segment of another log of the same owner, rightly signed there, put into this one."""
    other = MadeArchive(tmp_path / "other", signer(), epoch="e2")
    for after, count in ((0, 300), (300, 500)):
        other.seal(records(count, after=after, job="k"))
    shutil.copy(other.segments[1], made.segments[1])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 301)
    data = other.segments[1].read_bytes()
    forge_manifests(made, {1: {"sha256": manifest.digest(data), "size": len(data)}})
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 301)


def test_spliced_heads(made: MadeArchive, tmp_path: Path) -> None:
    """A changed origin: heads of another log stand where this one's belong."""
    other = MadeArchive(tmp_path / "other", signer(), epoch="e2")
    other.seal(records(1000, job="k"))
    made.publish(other.head())
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "is of the log example.com/triton/triton/0/e2" in report["sentence"]


def test_a_whole_log_under_another_origin(made: MadeArchive) -> None:
    tree_of = made.path(made.tree.prefix)
    tree_of.rename(tree_of.with_name("e9"))
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "expected example.com/triton/triton/0/e9" in report["sentence"]


def test_changed_root_size_and_signature(made: MadeArchive) -> None:
    path = made.path(layout.checkpoint(made.tree))
    good = path.read_text()
    lines = good.split("\n")
    for at, text in ((1, "999"), (2, notes.encode(bytes(32))), (4, lines[4][:-3] + "A==")):
        path.write_text("\n".join([*lines[:at], text, *lines[at + 1 :]]))
        code, report = verify(made.root, "--key", KEY)
        assert code == TAMPERED, report
    path.write_text(good)
    assert verify(made.root, "--key", KEY)[0] == WHOLE


def test_old_checkpoint(made: MadeArchive) -> None:
    made.write(layout.checkpoint(made.tree), made.head(300))
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 301, 1000)
    assert "the file checkpoint is an old one of size 300" in report["sentence"]


def test_an_old_copy_against_a_head_that_was_seen(made: MadeArchive, tmp_path: Path) -> None:
    """The whole archive is put back to an older state: only who kept a newer head can tell."""
    shutil.copytree(made.root, tmp_path / "old")
    made.seal(records(50, after=1000))
    (tmp_path / "seen").write_bytes(made.head())
    assert verify(tmp_path / "old", "--key", KEY)[0] == WHOLE
    code, report = verify(tmp_path / "old", "--key", KEY, "--seen", str(tmp_path / "seen"))
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1001, 1050)


def test_split_view(made: MadeArchive, tmp_path: Path) -> None:
    """The owner of the key shows two histories to two auditors: each is whole, together they are not."""
    other = MadeArchive(tmp_path / "other", signer())
    for after, count in ((0, 300), (300, 400), (700, 300)):
        new = records(count, after=after)
        if after == 300:
            new[50] = with_time(new[50], 1)
        other.seal(new)
    assert verify(other.root, "--key", KEY)[0] == WHOLE
    (tmp_path / "seen").write_bytes(other.head(300) + other.head(700))
    code, report = verify(made.root, "--key", KEY, "--seen", str(tmp_path / "seen"))
    assert code == TAMPERED
    assert report["position"] == 301
    assert "two histories" in report["sentence"]


def test_two_signed_histories_in_one_archive(made: MadeArchive) -> None:
    made.publish(notes.sign_head(TreeHead(made.origin, 1000, bytes(32)), [made.signer]))
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "two histories were signed" in report["sentence"]


def test_sealed_behind_the_last_head_that_can_be_tried(made: MadeArchive) -> None:
    """A head of 1020 events covers 991 to 1000, but nobody can try it with 1000."""
    made.path(layout.heads(made.tree, 1000, made.signed)).unlink()
    made.hashes += tree.leaf_hashes(records(20, after=1000))
    made.publish(made.head(990), made.head(1020))
    code, report = verify(made.root, "--key", KEY, "--sealed")
    assert (code, report["position"], report["until"]) == (UNKNOWN, 991, 1000)


def test_heads_in_one_file_with_empty_lines_between(made: MadeArchive) -> None:
    made.publish(b"\n".join([made.head(7), made.head(500), made.head(1000)]))
    made.write(layout.checkpoint(made.tree), made.head())
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    made.write(layout.checkpoint(made.tree), made.head() + b"\n\n")
    assert verify(made.root, "--key", KEY)[0] == TAMPERED


def test_unsigned_tail(made: MadeArchive) -> None:
    made.seal(records(50, after=1000), signed=False)
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (UNKNOWN, 1001, 1050)


def test_signed_but_not_sealed(made: MadeArchive) -> None:
    made.hashes += tree.leaf_hashes(records(20, after=1000))
    made.publish(made.head())
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1001, 1020)
    assert verify(made.root, "--key", KEY, "--sealed")[0] == WHOLE


def test_changed_manifests(made: MadeArchive) -> None:
    for number, field, value in (
        (0, "types", {"job.submitted": 300}),
        (1, "first_at", 5),
        (2, "last_at", 5),
        (1, "root", "00" * 32),
        (2, "events", 199),
        (2, "size", 7),
        (0, "origin", "example.com/triton/triton/0/e2"),
    ):
        kept = {path: path.with_suffix(".json").read_bytes() for path in made.segments}
        forge_manifests(made, {number: {field: value}})
        code, report = verify(made.root, "--key", KEY)
        assert code == TAMPERED, (field, report)
        for path, raw in kept.items():
            path.with_suffix(".json").write_bytes(raw)
    first = made.segments[0].with_suffix(".json")
    first.write_bytes(first.read_bytes() + b" ")
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 301)
    assert "it or the manifest before was changed" in report["sentence"]


def test_a_changed_tile(made: MadeArchive) -> None:
    path = sorted(made.path(made.tree.prefix + "tile").rglob("[0-9]*"))[-1]
    path.write_bytes(bytes(len(path.read_bytes())))
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "the tile tile/1/" in report["sentence"]


def test_every_flipped_bit_of_a_small_archive(tmp_path: Path) -> None:
    """Run within this process: a few thousand archives."""
    from triton.verifier import triton_verify as program

    made = MadeArchive(tmp_path, signer())
    made.seal(records(2))
    made.seal(records(1, after=2))
    files = {
        str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()
    }

    class Memory:
        def list(self, prefix: str) -> list[str]:
            return sorted(key for key in files if key.startswith(prefix))

        def read(self, key: str) -> bytes:
            return files[key]

    def check(public: bytes, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    options = program.Options(check=check)

    def run() -> str:
        return program.check_archive(Memory(), [program.parse_key(KEY)], options).verdict

    assert run() == "whole"
    passed = []
    for key, raw in list(files.items()):
        for at in range(0, len(raw), 2 if "heads" in key else 17):
            changed = bytearray(raw)
            changed[at] ^= 1 << at % 8
            files[key] = bytes(changed)
            if run() == "whole":
                passed.append((key, at))
        files[key] = raw
    # Nothing names the last manifest's bytes, only its fields: the space between them can change.
    assert {key.rpartition("/")[2] for key, _ in passed} <= {made.segments[-1].stem + ".json"}
    assert len(passed) < 40, passed


def test_lives_of_a_log(made: MadeArchive) -> None:
    """A second life must be declared by who signs, and share what it says it shares."""
    second = MadeArchive(made.root, signer(), epoch="e2")
    second.seal(records(800))
    second.seal(records(100, after=800, job="k"))
    code, report = verify(made.root, "--key", KEY)
    assert code == UNKNOWN
    assert "nothing signed says which follows which" in report["sentence"]

    def declare(common: int, by: KeySigner) -> None:
        note = lives.declaration(second.origin, made.origin, common, [by])
        second.write(lives.key_of(second.tree), note)

    declare(800, signer())
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    # One that began where the server was found empty, and was given up for a restored one.
    empty = MadeArchive(made.root, signer(), epoch="e0")
    head = notes.TreeHead(empty.origin, 0, tree.EMPTY_ROOT)
    empty.write(layout.checkpoint(empty.tree), notes.sign_head(head, [signer()]))
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    declare(900, signer())
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["until"]) == (TAMPERED, 900)
    assert "though they were declared to be" in report["sentence"]
    declare(800, signer(2))
    assert verify(made.root, "--key", KEY)[0] == TAMPERED
    declare(800, signer())
    shutil.rmtree(made.path(made.tree.prefix))
    code, report = verify(made.root, "--key", KEY)
    assert code == INCOMPLETE


def test_expired_segments_are_not_missing_if_the_log_says_so(made: MadeArchive) -> None:
    """Events as they were first: they name no leaf hashes, and the tree goes on from a manifest."""
    gone = [made.segments[0], made.segments[1]]
    said = [manifest.decode(path.with_suffix(".json").read_bytes()) for path in gone]
    for path in gone:
        path.unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1, 300)
    made.seal([expiry(1001, said[0]), *records(1021)[1001:]])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 301, 800)
    made.seal([expiry(1022, said[1], sha256="00" * 32)])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (TAMPERED, 301, 800)
    made.seal([expiry(1023, said[1])])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["logs"][0]["expired"]) == (WHOLE, [[1, 300, 1001], [301, 800, 1023]])
    assert (
        "800 more, up to 800 of triton/0/e1, expired by declared events at positions 1001, 1023"
        in report["sentence"]
    )


def test_what_stays_of_expired_segments_proves_all_that_was_signed(made: MadeArchive) -> None:
    """300 is no whole tile: the leaf hashes of both sides are needed for it."""
    old = made.root / "old"
    old.write_bytes(made.head(137))
    made.expire(0)
    code, report = verify(made.root, "--key", KEY, "--seen", str(old))
    assert (code, report["logs"][0]["expired"]) == (WHOLE, [[1, 300, 1001]]), report
    assert (
        "300 more, up to 300 of triton/0/e1, expired by declared event at position 1001"
        in (report["sentence"])
    )
    forked = made.root / "forked"
    root = tree.root_of(made.hashes[1:138])
    forked.write_bytes(notes.sign_head(TreeHead(made.origin, 137, root), [made.signer]))
    code, report = verify(made.root, "--key", KEY, "--seen", str(forked))
    assert code == TAMPERED
    for path in made.segments[:1]:  # what spans the expired and the kept is proved too
        assert path.name.startswith(f"{301:020d}")
    rewrite_kept = made.segments[0]
    data = bytearray(rewrite_kept.read_bytes())
    rewrite_kept.write_bytes(bytes(data[:-1]))
    assert verify(made.root, "--key", KEY)[0] == TAMPERED


def test_changed_or_lost_leaf_hashes_of_an_expired_segment(made: MadeArchive) -> None:
    leaves = made.expire(0).with_suffix(".leaves")
    raw = leaves.read_bytes()
    leaves.write_bytes(raw[:32] + bytes(32) + raw[64:])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (TAMPERED, 1, 256)
    leaves.write_bytes(raw[:-32])
    assert verify(made.root, "--key", KEY)[0] == TAMPERED
    leaves.unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1, 300)
    assert "leaf hashes are missing" in report["sentence"]
    leaves.write_bytes(raw)
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    leaves.with_suffix(".json").unlink()
    assert verify(made.root, "--key", KEY)[0] == INCOMPLETE


def test_a_segment_that_is_merely_gone_is_missing_whatever_lies_beside_it(
    made: MadeArchive,
) -> None:
    path = made.segments[0]
    path.with_suffix(".leaves").write_bytes(b"".join(made.hashes[:300]))
    path.unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1, 300)
    # A claim for another range, or of another log, says nothing for it.
    said = manifest.decode(path.with_suffix(".json").read_bytes())
    made.seal([expiry(1001, said, epoch="e2"), expiry(1002, said, partition=1)])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (INCOMPLETE, 1, 300)


@pytest.mark.parametrize(
    "lie",
    [
        {"root": "00" * 32},
        {"sha256": "00" * 32},
        {"manifest": "00" * 32},
        {"leaves": "00" * 32},
        {"events": 299},
        {"key": "log/triton/p0/e1/segments/other.zst"},
        {"last": 299},
        {"last": 800},
        {"first": 2},
        {"first": 300, "last": 1},
    ],
)
def test_a_declaration_that_does_not_fit(made: MadeArchive, lie: dict[str, object]) -> None:
    made.expire(0, **lie)
    assert verify(made.root, "--key", KEY)[0] == TAMPERED


def test_a_lie_about_a_segment_that_is_there_is_one_too(made: MadeArchive) -> None:
    path = made.segments[0]
    raw = path.read_bytes()
    made.expire(0, root="00" * 32)
    path.write_bytes(raw)
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (TAMPERED, 1, 300)
    assert "declares another root" in report["sentence"]


def test_a_declaration_that_expired_itself_is_carried_by_the_next(made: MadeArchive) -> None:
    """The newest one stands for all before: they hang together by their manifests."""
    made.expire(0)  # said at 1001, in the segment from there on
    for _ in range(3):
        made.expire(0)
    code, report = verify(made.root, "--key", KEY)
    ends = [300, 800, 1000, 1021]
    assert (code, [last for _, last, _ in report["logs"][0]["expired"]]) == (WHOLE, ends), report
    assert report["logs"][0]["expired"][0] == [1, 300, 1064], "whoever said so at first is gone"
    path = made.path(layout.manifest(made.tree, 1, 300))
    said = msgspec.structs.replace(manifest.decode(path.read_bytes()), sha256="00" * 32)
    path.write_bytes(manifest.encode(said))
    assert verify(made.root, "--key", KEY)[0] == TAMPERED


def test_an_event_in_a_later_life_declares_for_the_one_before(made: MadeArchive) -> None:
    said = manifest.decode(made.segments[0].with_suffix(".json").read_bytes())
    raw = made.segments[0].with_suffix(".json").read_bytes()
    second = MadeArchive(made.root, made.signer, epoch="e2")
    origins = second.origin, made.origin
    second.write(lives.key_of(second.tree), lives.declaration(*origins, 1000, [made.signer]))
    second.seal(made.records[:])
    leaves = b"".join(made.hashes[:300])
    made.segments[0].with_suffix(".leaves").write_bytes(leaves)
    made.segments[0].unlink()
    assert verify(made.root, "--key", KEY)[0] == INCOMPLETE
    more = {"manifest": manifest.digest(raw), "leaves": manifest.digest(leaves)}
    second.seal([expiry(1001, said, **more)])
    code, report = verify(made.root, "--key", KEY)
    assert code == WHOLE, report
    assert report["logs"][0]["expired"] == [[1, 300, 1001]]


def test_what_is_behind_a_gap_leads_to_signed_roots(made: MadeArchive) -> None:
    """The tree before it is taken from a manifest, which anyone can write."""
    rewrite(made, 1, lambda old: [with_time(old[0], 1), *old[1:]])
    made.segments[0].unlink()
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"], report["until"]) == (TAMPERED, 301, 512)


def test_a_missing_partition(made: MadeArchive) -> None:
    MadeArchive(made.root, signer(), partition=2).seal(records(10))
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["log"]) == (INCOMPLETE, "triton/1")


def test_keys_that_followed_one_another(made: MadeArchive) -> None:
    made.signer = signer(2)
    made.seal(records(50, after=1000))
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "whom nobody trusts here" in report["sentence"]
    text = keyring.text_of("triton", [signer().key, signer(2).key])
    announced = made.path(keyring.key_of("triton", 2))
    announced.write_bytes(bytes(notes.sign(text, [signer(), signer(2)])))
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    assert verify(made.root, "--key", str(signer(2).key))[0] == WHOLE
    announced.write_bytes(bytes(notes.sign(text, [signer(2)])))
    assert verify(made.root, "--key", KEY)[0] == TAMPERED
    announced.write_bytes(bytes(notes.sign(text, [signer(), signer(2)])))
    made.signer = signer()
    made.seal(records(50, after=1050))
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED
    assert "signed by a key that was replaced" in report["sentence"]


def test_a_rotation_in_the_log_says_from_which_size_on_a_key_signs(made: MadeArchive) -> None:
    """Here the list of keys alone shows nothing wrong: the old key's head comes before the new one's."""
    ids = signer().key.id.hex(), signer(2).key.id.hex()
    made.seal([rotation(1001, *ids, 1000), *records(50, after=1001)], signed=False)
    late = made.head()
    made.signer = signer(2)
    fine = made.head()
    text = keyring.text_of("triton", [signer().key, signer(2).key])
    announced = made.path(keyring.key_of("triton", 2))
    made.publish(fine)
    code, report = verify(made.root, "--key", KEY)
    assert code == TAMPERED, "nobody announced the key"
    announced.write_bytes(bytes(notes.sign(text, [signer(), signer(2)])))
    code, report = verify(made.root, "--key", KEY)
    assert code == WHOLE
    said = {"previous": ids[0], "key": ids[1], "size": 1000}
    assert report["logs"][0]["rotated"] == [[1001, said]]
    heads = made.write(layout.heads(made.tree, 1051, 1), late)
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (TAMPERED, 1001)
    assert f"the key {ids[1]} signs from size 1001 on" in report["sentence"]
    heads.unlink()
    seen = made.root / "seen"
    seen.write_bytes(late)
    assert verify(made.root, "--key", KEY, "--seen", str(seen))[0] == TAMPERED


def test_a_rotation_that_the_list_of_keys_does_not_know(made: MadeArchive) -> None:
    ids = signer().key.id.hex(), signer(2).key.id.hex()
    made.seal([rotation(1001, *ids, 1000)])
    code, report = verify(made.root, "--key", KEY)
    assert (code, report["position"]) == (INCOMPLETE, 1001)
    assert "unlike the list of keys" in report["sentence"]
    text = keyring.text_of("triton", [signer().key, signer(2).key])
    announced = made.path(keyring.key_of("triton", 2))
    announced.write_bytes(bytes(notes.sign(text, [signer(), signer(2)])))
    made.seal([rotation(1002, *reversed(ids), 1001)])
    assert verify(made.root, "--key", KEY)[0] == TAMPERED


def test_witnesses(made: MadeArchive, tmp_path: Path) -> None:
    """Who pins a witness's key as well wants a head that it saw."""
    witness = signer(7, "witness.example")
    key = VerifierKey("witness.example", witness.key.public, notes.COSIGNATURE)

    def cosigned(raw: bytes) -> bytes:
        text = notes.parse_note(raw).text
        seconds = (1_800_000_000).to_bytes(8)
        value = witness.sign(b"cosignature/v1\ntime 1800000000\n" + text.encode())
        line = notes.Note(text, (notes.Signature(key.name, key.id, seconds + value),))
        return raw + bytes(line)[len(text.encode()) + 1 :]

    options = ("--key", KEY, "--key", str(key))
    code, report = verify(made.root, *options)
    assert code == UNKNOWN
    assert "the witness witness.example signed no head" in report["sentence"]
    (tmp_path / "seen").write_bytes(cosigned(made.head(777)))
    code, report = verify(made.root, *options, "--seen", str(tmp_path / "seen"))
    assert (code, report["logs"][0]["witnesses"]) == (WHOLE, {"witness.example": 777})
    made.write(layout.checkpoint(made.tree), cosigned(made.head()))
    code, report = verify(made.root, *options)
    assert (code, report["logs"][0]["witnesses"]) == (WHOLE, {"witness.example": 1000})
    assert verify(made.root, "--key", KEY)[0] == WHOLE
    assert verify(made.root, "--key", str(key))[0] == UNKNOWN
    spoiled = bytearray(cosigned(made.head()))
    spoiled[-30] ^= 1
    made.write(layout.checkpoint(made.tree), bytes(spoiled))
    assert verify(made.root, *options)[0] == TAMPERED


def test_since(made: MadeArchive) -> None:
    code, report = verify(made.root, "--key", KEY, "--since", "850")
    assert (code, report["logs"][0]["first"], report["logs"][0]["events"]) == (WHOLE, 801, 200)
    code, report = verify(made.root, "--key", KEY, "--since", "2023-11-14T22:13:20.400Z")
    assert (code, report["logs"][0]["first"]) == (WHOLE, 301)
    rewrite(made, 2, lambda old: [with_time(old[0], 1), *old[1:]])
    assert verify(made.root, "--key", KEY, "--since", "850")[0] == TAMPERED


def test_a_proof_file(made: MadeArchive, tmp_path: Path) -> None:
    path = tmp_path / "event.tlog-proof"
    path.write_bytes(made.prove(555))
    code, report = verify(path, "--key", KEY)
    assert (code, report["position"], report["size"]) == (WHOLE, 555, 1000)
    assert report["event"]["job"] == "j184"
    assert verify(path)[0] == UNKNOWN
    assert verify(path, "--key", str(signer(2).key))[0] == UNKNOWN
    for old, new in (("index 554", "index 555"), ("\n1000\n", "\n1001\n")):
        path.write_bytes(made.prove(555).replace(old.encode(), new.encode()))
        assert verify(path, "--key", KEY)[0] == TAMPERED
    path.write_text("no proof")
    assert verify(path, "--key", KEY)[0] == UNKNOWN


def test_a_wrong_call_is_said_in_one_line(made: MadeArchive) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--key", KEY])
    assert ended.value.code == UNKNOWN
    code, report = verify(made.root / "none", "--key", KEY)
    assert (code, report["sentence"].count("\n")) == (UNKNOWN, 1)
    code, report = verify(made.root, "--key", "nonsense")
    assert code == UNKNOWN
    assert "is no verifier key" in report["sentence"]
    assert "no such file" in report["sentence"]
    (made.root / "empty").mkdir()
    code, report = verify(made.root / "empty", "--key", KEY)
    assert code == UNKNOWN
