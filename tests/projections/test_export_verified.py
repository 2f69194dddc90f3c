"""An export with proofs, as an auditor without Triton checks it: and each thing that may be changed in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from archiving import archive_once, signer_of, with_archive
from log_writer import LogWriter
from projecting import run

from triton.archive import open_archive
from triton.archive.file import FileArchive
from triton.audit.cuts import cut_of
from triton.audit.export.exporting import Export, Wanted
from triton.audit.export.writers import Format
from triton.audit.instants import instant
from triton.evidence import keyring, manifest
from triton.history import ALL, History, open_past
from triton.projections.engines import open_engines
from triton.settings import Settings
from triton.verifier import triton_verify

NOW = 4_000_000_000_000_000
WHOLE, TAMPERED, INCOMPLETE, UNKNOWN = range(4)


def verify(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-I", "-S", triton_verify.__file__, str(folder), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def archived(settings: Settings, writer: LogWriter, tmp_path: Path) -> Settings:
    """A log of which the most was archived and trimmed."""
    archived = with_archive(settings, tmp_path)
    store = open_archive(archived.archive_url)
    keyring.settle(store, archived.namespace, signer_of(archived))
    writer.history(30, 30)
    run(archive_once(archived))
    writer.history(36, 36)
    run(archive_once(msgspec.structs.replace(archived, seal_events=1000, seal_ms=10_000_000)))
    return archived


def export(settings: Settings, folder: Path, form: Format, *, proofs: bool = True) -> None:
    async def take() -> None:
        async with open_engines(settings) as (log, _, _):
            history = History.over(log, open_past(settings))
            upto = await cut_of(history, instant("now", NOW))
            wanted = Wanted(
                format=form,
                asked={},
                after=None,
                upto=upto,
                chosen=ALL,
                proofs=proofs,
                by="user:ann",
                now=NOW,
            )
            await Export(history, folder, wanted, lambda: open_archive(settings.archive_url)).run()

    run(take())


@pytest.mark.parametrize("form", ["jsonl", "csv", "cloudevents"])
def test_an_export_with_proofs_is_whole(
    archived: Settings, writer: LogWriter, tmp_path: Path, form: Format
) -> None:
    folder = tmp_path / "export"
    export(archived, folder, form)
    key = str(signer_of(archived).key)
    code, report = verify(folder, "--key", key)
    assert (code, report["events"]) == (WHOLE, writer.position), report["findings"]
    assert verify(folder)[0] == UNKNOWN
    assert verify(folder, "--trust-first")[0] == WHOLE


def test_proofs_of_all_events_read_the_archive_once(
    archived: Settings, writer: LogWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    for name in ("read", "read_range", "list"):
        own = getattr(FileArchive, name)

        def counted(self: FileArchive, key: str, *more: Any, own: Any = own) -> Any:
            asked[key] += 1
            return own(self, key, *more)

        monkeypatch.setattr(FileArchive, name, counted)
    folder = tmp_path / "export"
    export(archived, folder, "jsonl")
    assert len(list((folder / "proofs").iterdir())) == writer.position > 30
    # The head is read once more for the manifest; a segment's footer and its one block are two reads.
    assert max(asked.values()) <= 3, asked


def test_without_proofs_or_in_parquet_nothing_is_sure(archived: Settings, tmp_path: Path) -> None:
    key = str(signer_of(archived).key)
    export(archived, tmp_path / "bare", "jsonl", proofs=False)
    code, report = verify(tmp_path / "bare", "--key", key)
    assert code == UNKNOWN
    assert "there is no proof of this event" in report["sentence"]
    export(archived, tmp_path / "parquet", "parquet")
    code, report = verify(tmp_path / "parquet", "--key", key)
    assert code == UNKNOWN
    assert "parquet" in report["sentence"]


def test_what_is_changed_in_an_export_is_named(archived: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    export(archived, folder, "jsonl")
    key = str(signer_of(archived).key)
    rows = folder / "events.jsonl"
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def forge(change: Callable[[list[dict[str, Any]]], object]) -> tuple[int, dict[str, Any]]:
        """Changes rows, and the manifest so that it fits."""
        lines = [json.loads(line) for line in kept[rows].splitlines()]
        change(lines)
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        said = json.loads(kept[folder / "manifest.json"])
        for file in said["files"]:
            raw = (folder / file["name"]).read_bytes()
            file.update(size=len(raw), sha256=manifest.digest(raw))
        (folder / "manifest.json").write_text(json.dumps(said))
        return verify(folder, "--key", key)

    assert forge(lambda _: None)[0] == WHOLE
    for column, value in (
        ("by", "user:mallory"),
        ("time", "2001-01-01T00:00:00.000000Z"),
        ("subject", "another"),
        ("tenant", "other"),
        ("attempt", 7),
        ("leaf", "00" * 32),
    ):
        code, report = forge(lambda lines, c=column, v=value: lines[4].update({c: v}))
        assert (code, report["position"]) == (TAMPERED, 5), column
    code, report = forge(lambda lines: lines.pop(4))
    assert code == TAMPERED
    code, report = forge(lambda lines: lines.insert(4, lines[4]))
    assert code == TAMPERED
    code, report = forge(lambda lines: lines[4].update(position=6))
    assert (code, report["position"]) == (TAMPERED, 6)
    for path, raw in kept.items():
        path.write_bytes(raw)
    rows.write_bytes(kept[rows].replace(b"default", b"another"))
    assert verify(folder, "--key", key)[0] == TAMPERED
    rows.write_bytes(kept[rows])
    proof = folder / "proofs" / "0-5.tlog-proof"
    proof.write_bytes((folder / "proofs" / "0-6.tlog-proof").read_bytes())
    assert verify(folder, "--key", key)[0] == TAMPERED
    proof.unlink()
    assert verify(folder, "--key", key)[0] == INCOMPLETE
    (folder / "manifest.json").write_text('{"kind": "triton.audit.export", "version": 2}')
    assert verify(folder, "--key", key)[0] == UNKNOWN
