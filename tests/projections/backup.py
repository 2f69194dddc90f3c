"""Owns a partition's keys as they once were: what a server that lost its tail comes back with."""

from __future__ import annotations

from log_writer import LogWriter


class Backup:
    """What a server that was killed would come back with: the partition's keys as they were."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        names = list(writer.client.scan_iter(writer.prefix.replace("{", "[{]") + "*"))
        dumped = {name: writer.client.dump(name) for name in names}
        self._keys = {name: value for name, value in dumped.items() if value is not None}

    def come_back(self) -> None:
        client = self._writer.client
        for name in client.scan_iter(self._writer.prefix.replace("{", "[{]") + "*"):
            client.delete(name)
        for name, dumped in self._keys.items():
            client.restore(name, 0, dumped)
