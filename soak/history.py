"""Owns reading all that ever happened: what left the server from the archive, the rest from the log.

It stands beside Triton's own reader on purpose: of that one it uses the format of a segment, and no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec
import redis

from triton import keys
from triton.events.codec import decode_entry
from triton.events.envelope import FIELDS, Event
from triton.evidence import segment
from triton.settings import Settings

_PAGE = 2000


def read_history(client: redis.Redis, settings: Settings) -> list[Event]:
    """Every entry, partition by partition, as it is: holes are for the checker to find. Raises
    ForeignEntryError, DecodeError, EvidenceError."""
    events: list[Event] = []
    for partition in range(settings.partitions):
        prefix = keys.prefix(settings.namespace, partition)
        trimmed = int(cast("bytes", client.hget(keys.meta(prefix), "trimmed") or b"0"))
        found = archived(settings, partition)
        events += [found[position] for position in sorted(found) if position <= trimmed]
        events += _live(client, partition, keys.log(prefix))
    return events


def archived(settings: Settings, partition: int) -> dict[int, Event]:
    """Position -> event, of the segments of all of the partition's lives. Lives that differ in a position
    differ behind what the server has let go."""
    found: dict[int, Event] = {}
    if not settings.archive_url:
        return found
    root = Path(urlsplit(settings.archive_url).path) / "log" / settings.namespace
    for path in sorted(root.glob(f"p{partition}/*/segments/*.zst")):
        for record in segment.read_all(path.read_bytes()):
            position, *values = msgspec.msgpack.decode(record)
            fields = [part for pair in zip(FIELDS, values, strict=True) for part in pair]
            found.setdefault(position, decode_entry(partition, b"%d-0" % position, fields))
    return found


def _live(client: redis.Redis, partition: int, key: str) -> list[Event]:
    events: list[Event] = []
    after = "-"
    while entries := client.execute_command("XRANGE", key, after, "+", "COUNT", _PAGE):
        found = [decode_entry(partition, entry, fields) for entry, fields in entries]
        events += found
        after = f"({found[-1].position}-0"
    return events
