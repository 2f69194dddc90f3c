"""Owns making golden files: `python -m tests.golden.write`, from the root of the sources.

Adds a file for every event type that has none for today's schema version. A file that is there is never
written again: it says what was stored once, and must decode for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triton.events.codec import decode_data, encode_data
from triton.events.types import SCHEMA, TYPES, type_of

from .samples import BY_SCRIPTS, SAMPLES, plain

FOLDER = Path(__file__).parent


def path_of(event_type: str, schema: int, folder: Path = FOLDER) -> Path:
    return folder / f"{event_type}.{schema}.json"


def golden(event_type: str) -> dict[str, Any]:
    """Today's file of a type: stored bytes in hex, each with the fields that they mean."""
    stored = [encode_data(data) for data in SAMPLES if type_of(data) == event_type]
    stored += [bytes.fromhex(data) for data in BY_SCRIPTS.get(event_type, ())]
    entries = [
        {"data": data.hex(), "fields": plain(decode_data(event_type, SCHEMA, data))}
        for data in stored
    ]
    return {"type": event_type, "schema": SCHEMA, "entries": entries}


def write(folder: Path = FOLDER) -> list[Path]:
    """Write what is missing; the files that were added."""
    added = []
    for event_type in TYPES:
        path = path_of(event_type, SCHEMA, folder)
        if not path.exists():
            text = json.dumps(golden(event_type), indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
            added.append(path)
    return added


if __name__ == "__main__":
    for path in write():
        print(f"added {path.name}; look at it, then commit it")
