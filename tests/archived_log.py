"""Owns sealing and trimming a part of a test's log, as the archiver does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

import msgspec
import psycopg
import redis

from triton import keys
from triton.archive import ArchiveStore, open_archive
from triton.events.client import connect, send
from triton.events.entries import Page, Raw, page_of
from triton.events.scripts import Scripts
from triton.evidence import layout, manifest, segment
from triton.evidence.layout import Tree
from triton.evidence.manifest import Manifest
from triton.settings import Settings

_ROW: Final = """
INSERT INTO segments (partition, epoch, first_position, last_position, events, state, key, sha256, size,
                      manifest_sha256, first_at, last_at, root, sealed_at)
VALUES (%(partition)s, %(epoch)s, %(first_position)s, %(last_position)s, %(events)s, 'sealed', %(key)s,
        %(sha256)s, %(size)s, '', to_timestamp(0) + %(first_at)s * interval '1 microsecond',
        to_timestamp(0) + %(last_at)s * interval '1 microsecond', '', now())
"""


class ArchivedLog:
    """One partition's log, of which parts go into an archive and out of Redis."""

    def __init__(
        self,
        client: redis.Redis,
        store: ArchiveStore,
        namespace: str,
        partition: int = 0,
        *,
        block_events: int = segment.BLOCK_EVENTS,
        database_url: str = "",
    ) -> None:
        self.client = client
        self.store = store
        self.prefix = keys.prefix(namespace, partition)
        epoch = cast("bytes", client.hget(keys.meta(self.prefix), "epoch")).decode()
        self.tree = Tree(namespace, partition, epoch)
        self.sealed = 0
        self._database_url = database_url
        self._block_events = block_events

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> ArchivedLog:
        """The log of these settings, in their archive; `database_url` for rows in `segments`, too."""
        client = connect(settings.redis_url)
        return cls(client, open_archive(settings.archive_url), settings.namespace, **options)

    @property
    def position(self) -> int:
        return int(self.client.hget(keys.meta(self.prefix), "pos") or 0)

    def page(self, first: int, last: int) -> Page:
        command = ("XRANGE", keys.log(self.prefix), f"{first}-0", f"{last}-0")
        raw = cast("Raw", self.client.execute_command(*command))
        return page_of(self.tree.partition, first - 1, raw)

    def seal(self, last: int | None = None) -> None:
        """What follows the last segment up to a position (default: the end) becomes a segment."""
        first, last = self.sealed + 1, last or self.position
        page = self.page(first, last)
        writer = segment.Writer(
            self.tree.partition, self.tree.epoch, block_events=self._block_events
        )
        writer.add(page)
        made = writer.finish()
        key = layout.segment(self.tree, first, last)
        self.store.put_new(key, made.data)
        blocks = made.footer.blocks
        written = Manifest(
            origin=self.tree.origin("tests"),
            partition=self.tree.partition,
            epoch=self.tree.epoch,
            first_position=first,
            last_position=last,
            events=page.size,
            types={},
            first_at=blocks[0].first_at,
            last_at=blocks[-1].last_at,
            key=key,
            size=len(made.data),
            sha256=made.sha256,
            root="",
            previous="",
        )
        self.store.put_new(layout.manifest_of(key), manifest.encode(written))
        if self._database_url:
            with psycopg.connect(self._database_url, autocommit=True) as connection:
                connection.execute(_ROW, msgspec.structs.asdict(written))
        self.sealed = last

    def seal_all(self, lasts: Sequence[int]) -> None:
        """A segment up to each of these positions."""
        for last in lasts:
            self.seal(last)

    def trim(self, upto: int | None = None, *, grace_ms: int = -1) -> None:
        """Entries up to a position (default: all that are sealed) leave Redis; and the heads of what ended
        in them, after their grace."""
        upto = self.sealed if upto is None else upto
        while send(self.client, [Scripts().trim(self.prefix, upto, grace_ms=grace_ms)])[0] < upto:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()


def folder_archive(folder: Path) -> ArchiveStore:
    return open_archive(folder.as_uri())
