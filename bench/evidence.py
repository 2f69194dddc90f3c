"""Owns the cost of evidence: sealing a realistic log into segments with its tree, and verifying all of it.

Beside both stands a bare SHA-256 of the same records, one after the other. Everything runs on one core, and
is measured in its CPU time.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import history
from bench.scale import Scale
from bench.servers import valkey
from bench.table import Goal, Measure, Sample, lines
from triton import keys
from triton.archive import ArchiveStore, open_archive
from triton.audit import verifying
from triton.events.entries import Page, Raw, page_of
from triton.events.envelope import AT, TYPE
from triton.evidence import layout, manifest, notes, segment, tiles, tree
from triton.evidence.layout import Tree
from triton.evidence.manifest import Manifest
from triton.evidence.notes import TreeHead, VerifierKey
from triton.evidence.signing import KeySigner
from triton.evidence.tree import Frontier
from triton.verifier import triton_verify

NAME, NAMESPACE, EPOCH = "bench.example", "bench", "e1"
SEGMENT = 50_000
PAGE = 500
MEASURES = (
    Measure("hash and grow the tree", "events/s", "tree", "sha256"),
    Measure(
        "seal: pack, hash, tiles", "events/s", "seal", "sha256", Goal("figure", "at least", 1e5)
    ),
    Measure(
        "archive, tiles included",
        "bytes/event",
        "bytes",
        goal=Goal("figure", "at most", 40),
        digits=1,
    ),
    Measure(
        "verify, with libraries", "events/s", "verify", "sha256", Goal("figure", "at least", 2e5)
    ),
    Measure("verify, standard library only", "events/s", "alone", "sha256"),
)


def run(scale: Scale) -> list[str]:
    pages = read(scale)
    ours, beside = [], []
    for _ in range(scale.repeats):
        ours.append(turn(pages))
        beside.append(bare(pages))
    return lines(MEASURES, ours, beside, "bare SHA-256")


def read(scale: Scale) -> list[Page]:
    with valkey(tcp=scale.tcp) as server:
        history.write(server.client, NAMESPACE, scale.events)
        stream = keys.log(keys.prefix(NAMESPACE, 0))
        raw = cast("Raw", server.client.xrange(stream))
    return [page_of(0, at, raw[at : at + PAGE]) for at in range(0, len(raw), PAGE)]


def turn(pages: Sequence[Page]) -> Sample:
    events = sum(page.size for page in pages)
    records = [record for page in pages for record in segment.records_of(page)]
    private = Ed25519PrivateKey.generate()
    signer = KeySigner(VerifierKey(NAME, private.public_key().public_bytes_raw()), private)
    with tempfile.TemporaryDirectory() as folder:
        store = open_archive(Path(folder).as_uri())
        begin = time.process_time()
        Frontier().extend(tree.leaf_hashes(records))
        hashed = time.process_time()
        frontier = seal(pages, store)
        sealed = time.process_time()
        head = TreeHead(Tree(NAMESPACE, 0, EPOCH).origin(NAME), events, frontier.root())
        store.put_new(
            layout.heads(Tree(NAMESPACE, 0, EPOCH), events, 1), notes.sign_head(head, [signer])
        )
        key = triton_verify.parse_key(str(signer.key))
        size = sum(store.size(name) for name in store.list("log/"))
        checked = time.process_time()
        report = verifying.verify_archive(store, NAMESPACE, [key])
        by_library = time.process_time()
        alone = triton_verify.check_archive(
            triton_verify.Folder(folder), [key], triton_verify.Options()
        )
        ended = time.process_time()
    assert report.verdict == alone.verdict == triton_verify.WHOLE, report.sentence()
    return {
        "tree": events / (hashed - begin),
        "seal": events / (sealed - hashed),
        "bytes": size / events,
        "verify": events / (by_library - checked),
        "alone": events / (ended - by_library),
    }


def seal(pages: Sequence[Page], store: ArchiveStore) -> Frontier:
    """As the archiver does: pack, put, read back, hash, tiles, manifest."""
    of = Tree(NAMESPACE, 0, EPOCH)
    frontier, previous = Frontier(), ""
    for start in range(0, len(pages), SEGMENT // PAGE):
        part = pages[start : start + SEGMENT // PAGE]
        writer = segment.Writer(0, EPOCH)
        types: dict[str, int] = {}
        for page in part:
            writer.add(page)
            for name in page.columns[TYPE]:
                types[name.decode()] = types.get(name.decode(), 0) + 1
        written = writer.finish()
        first, last = part[0].positions[0], part[-1].positions[-1]
        key = layout.segment(of, first, last)
        store.put_new(key, written.data)
        back = store.read(key)
        hashes = tree.leaf_hashes(segment.read_all(back))
        frontier, made = tiles.grow(frontier, hashes, lambda at: store.read(layout.tile(of, at)))
        for tile, raw in made:
            store.put_new(layout.tile(of, tile), raw)
        described = Manifest(
            origin=of.origin(NAME),
            partition=0,
            epoch=EPOCH,
            first_position=first,
            last_position=last,
            events=last - first + 1,
            types=types,
            first_at=int(part[0].columns[AT][0]),
            last_at=int(part[-1].columns[AT][-1]),
            key=key,
            size=len(back),
            sha256=hashlib.sha256(back).hexdigest(),
            root=frontier.root().hex(),
            previous=previous,
            peaks=tuple(peak.hex() for peak in frontier.peaks),
        )
        encoded = manifest.encode(described)
        previous = manifest.digest(encoded)
        store.put_new(layout.manifest(of, first, last), encoded)
    return frontier


def bare(pages: Sequence[Page]) -> Sample:
    records = [record for page in pages for record in segment.records_of(page)]
    begin = time.process_time()
    for record in records:
        hashlib.sha256(record).digest()
    return {"sha256": len(records) / (time.process_time() - begin)}
