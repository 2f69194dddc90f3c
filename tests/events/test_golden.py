"""Owns the promise that stored events decode for ever: golden files, today's encoder, and upcasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golden.samples import SAMPLES, plain
from golden.write import FOLDER, path_of, write
from triton.errors import DecodeError
from triton.events.codec import decode_data, encode_data
from triton.events.types import SCHEMA, TYPES, EventData, type_of
from triton.events.upcasts import STEPS, upcast

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("event_type", TYPES)
def test_every_type_has_a_file_for_every_schema(event_type: str) -> None:
    missing = [n for n in range(1, SCHEMA + 1) if not path_of(event_type, n).exists()]
    assert not missing, "python -m tests.golden.write adds them"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stored_bytes_decode_to_what_they_meant(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert path == path_of(golden["type"], golden["schema"])
    assert golden["entries"]
    for entry in golden["entries"]:
        data = decode_data(golden["type"], golden["schema"], bytes.fromhex(entry["data"]))
        # Fields that came later may be there too; none of the stored ones may be gone or changed.
        assert plain(data).items() >= entry["fields"].items()


@pytest.mark.parametrize("sample", SAMPLES, ids=type_of)
def test_what_is_written_today_decodes_equal(sample: EventData) -> None:
    assert decode_data(type_of(sample), SCHEMA, encode_data(sample)) == sample


def test_the_samples_use_every_field() -> None:
    """So that a field without a golden value cannot change unnoticed."""
    for event_type, cls in TYPES.items():
        samples = [s for s in SAMPLES if type_of(s) == event_type]
        for field in msgspec.structs.fields(cls):
            assert any(
                getattr(sample, field.name) != field.default or field.required for sample in samples
            ), f"{event_type} {field.name}"


def test_a_file_is_added_and_never_written_again(tmp_path: Path) -> None:
    kept = path_of("job.due", SCHEMA, tmp_path)
    kept.write_text("as it was")
    assert {path.name for path in write(tmp_path)} == {
        f"{event_type}.{SCHEMA}.json" for event_type in TYPES if event_type != "job.due"
    }
    assert kept.read_text() == "as it was"
    assert write(tmp_path) == []


def _rename(data: dict[str, Any]) -> dict[str, Any]:
    return {"stage": data["phase"], "percent": data["percent"]}


def _scale(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "percent": data["percent"] * 100}


INVENTED = {("job.progressed", 1): _rename, ("job.progressed", 3): _scale}


def test_steps_are_chained_from_the_schema_on_and_versions_without_one_passed_over() -> None:
    old = {"phase": "one", "percent": 0.5}
    new = {"stage": "one", "percent": 0.5}
    kind = "job.progressed"
    assert upcast(kind, 1, old, steps=INVENTED, target=4) == {"stage": "one", "percent": 50.0}
    assert upcast(kind, 1, old, steps=INVENTED, target=3) == new
    assert upcast(kind, 2, new, steps=INVENTED, target=4) == {"stage": "one", "percent": 50.0}
    assert upcast(kind, 4, new, steps=INVENTED, target=4) == new
    assert upcast("job.output", 1, old, steps=INVENTED, target=4) == old
    assert old == {"phase": "one", "percent": 0.5}


def test_a_newer_schema_says_to_upgrade() -> None:
    with pytest.raises(DecodeError, match=rf"schema {SCHEMA + 1}.*upgrade Triton"):
        decode_data("job.due", SCHEMA + 1, b"\x80")


def test_steps_exist_only_for_schemas_that_are_past() -> None:
    assert all(name in TYPES and 1 <= schema < SCHEMA for name, schema in STEPS)
