"""What is exported is read back from each format, and is exactly what the log and the manifest say."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from past_log import PastLog

from triton.archive import open_archive
from triton.audit.cuts import cut_of
from triton.audit.export.exporting import Export, Manifest, Wanted
from triton.audit.export.writers import Format
from triton.audit.instants import instant
from triton.errors import ConfigurationError, ConflictError
from triton.events.codec import encode_data
from triton.events.envelope import Event
from triton.events.render import show
from triton.evidence.tree import leaf_hash
from triton.history import Filter, History

NOW = 1_800_000_000_000_000


def export(
    past: PastLog,
    folder: Path,
    form: Format = "jsonl",
    *,
    since: str = "",
    until: str = "now",
    **chosen: set[str],
) -> Manifest:
    async def take(history: History) -> Manifest:
        wanted = Wanted(
            format=form,
            asked={"until": until},
            after=await cut_of(history, instant(since, NOW)) if since else None,
            upto=await cut_of(history, instant(until, NOW)),
            chosen=Filter(**{name: frozenset(values) for name, values in chosen.items()}),
            by="user:ann",
            now=NOW,
        )
        return await Export(
            history, folder, wanted, lambda: open_archive(past.settings.archive_url)
        ).run()

    return past.ask(take)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    numbers = ("partition", "position", "version", "attempt")
    return [
        {**row, "data": json.loads(row["data"]), **{name: int(row[name]) for name in numbers}}
        for row in rows
    ]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    return [
        {**row, "data": json.loads(row["data"]), "time": f"{row['time']:%Y-%m-%dT%H:%M:%S.%fZ}"}
        for row in parquet.read_table(path).to_pylist()
    ]


def leaf_of(event: Event) -> str:
    """From the event's values, apart from how they are stored and read."""
    import msgspec

    values = (event.type, event.job, event.version, event.attempt, event.at, event.by)
    values += (event.causation, event.correlation, event.traceparent, event.tenant, event.queue)
    texts = [str(value).encode() for value in (*values, event.schema)]
    record = msgspec.msgpack.encode([event.position, *texts, encode_data(event.data)])
    return leaf_hash(record).hex()


@pytest.mark.parametrize(
    ("form", "name", "read"),
    [
        ("jsonl", "events.jsonl", read_lines),
        ("csv", "events.csv", read_csv),
        ("parquet", "events.parquet", read_parquet),
    ],
)
def test_every_event_comes_back(
    past: PastLog,
    tmp_path: Path,
    form: Format,
    name: str,
    read: Callable[[Path], list[dict[str, Any]]],
) -> None:
    manifest = export(past, tmp_path / "out", form)
    rows = read(tmp_path / "out" / name)
    events = past.events
    assert len(rows) == len(events) == manifest.events
    source = f"/triton/{past.settings.namespace}"
    for row, event in zip(rows, events, strict=True):
        shown = json.loads(show(event, source).json)
        assert {key: row[key] for key in shown if key != "specversion"} == {
            key: value for key, value in shown.items() if key != "specversion"
        }
    assert manifest.types == Counter(event.type for event in events)
    (file,) = [one for one in manifest.files if one.name == name]
    raw = (tmp_path / "out" / name).read_bytes()
    assert (file.size, file.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    written = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert [one["last"] for one in written["partitions"]] == [
        max(e.position for e in events if e.partition == partition) for partition in range(2)
    ]


def test_the_leaf_is_the_one_of_the_tree(past: PastLog, tmp_path: Path) -> None:
    export(past, tmp_path / "out", types={"job.started", "queue.paused"})
    rows = read_lines(tmp_path / "out" / "events.jsonl")
    wanted = [event for event in past.events if event.type in ("job.started", "queue.paused")]
    assert [row["leaf"] for row in rows] == [leaf_of(event) for event in wanted]


def test_cloud_events_have_the_registered_attributes(past: PastLog, tmp_path: Path) -> None:
    export(past, tmp_path / "out", "cloudevents")
    events = read_lines(tmp_path / "out" / "events.cloudevents.jsonl")
    assert len({(one["source"], one["id"]) for one in events}) == len(past.events)
    for one, event in zip(events, past.events, strict=True):
        assert one["specversion"] == "1.0"
        assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in one)
        assert "" not in one.values(), "an attribute is never empty"
        assert (one["type"], one["sequence"]) == (event.type, f"{event.position:020d}")
        assert datetime.fromisoformat(one["recordedtime"]).timestamp() == pytest.approx(
            event.at / 1e6
        )
        if event.job:
            assert one["subject"] == one["partitionkey"] == event.job
        else:
            assert "subject" not in one
    kinds = {one["authtype"]: one["authid"] for one in events}
    assert kinds["user"] in ("ann", "tester")
    assert (kinds["system"], kinds["service_account"]) == ("system", "w1")


def test_only_what_was_asked_for(past: PastLog, tmp_path: Path) -> None:
    events = [event for event in past.events if event.partition == 1]
    begin, end = events[40], events[90]
    job = next(event.job for event in events[50:] if event.type == "job.started")
    manifest = export(
        past,
        tmp_path / "out",
        since=f"1:{begin.position}",
        until=f"1:{end.position}",
        jobs={job},
    )
    rows = read_lines(tmp_path / "out" / "events.jsonl")
    assert [row["position"] for row in rows] == [
        event.position for event in events[41:91] if event.job == job
    ]
    assert (manifest.partitions[1].first, manifest.partitions[1].last) == (
        begin.position + 1,
        end.position,
    )


def test_a_folder_with_something_in_it_is_left_alone(past: PastLog, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConflictError, match="is not empty"):
        export(past, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_pyarrow_a_sentence_says_what_to_install(
    past: PastLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"install triton-jobs\[parquet\]"):
        export(past, tmp_path / "out", "parquet")
