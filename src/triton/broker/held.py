"""Owns which jobs a worker process holds, as its dispatcher knows them and as its keeper does."""

from __future__ import annotations

from collections.abc import ValuesView

from triton.broker.proxy import JobProxy
from triton.keeper.holds import Holds


class Held:
    """Jobs by their leases. Changed under the dispatcher's lock only."""

    def __init__(self) -> None:
        #: The same for the keeper's process.
        self.holds = Holds()
        self._proxies: dict[tuple[str, int], JobProxy] = {}

    def __len__(self) -> int:
        return len(self._proxies)

    def __contains__(self, lease: tuple[str, int]) -> bool:
        return lease in self._proxies

    def values(self) -> ValuesView[JobProxy]:
        return self._proxies.values()

    def add(self, proxy: JobProxy) -> None:
        job, attempt = lease = proxy.lease
        if lease not in self._proxies:
            proxy.slot = self.holds.take(job, attempt)
        self._proxies[lease] = proxy

    def drop(self, proxy: JobProxy) -> None:
        if self._proxies.pop(proxy.lease, None) is not None:
            self.holds.free(proxy.slot)
            proxy.slot = -1
