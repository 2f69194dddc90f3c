"""Owns which of a process's attempts have said something, and when the first of it is due for the log."""

from __future__ import annotations

import math
import time

from triton.broker.proxy import JobProxy
from triton.broker.trip import Report


class DueReports:
    """Changed under the dispatcher's lock only. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, int], JobProxy] = {}
        #: When something is due; infinite for never.
        self.next = math.inf

    def add(self, proxy: JobProxy, at: float) -> bool:
        """Whether that is due before all others."""
        self._proxies[proxy.lease] = proxy
        if at >= self.next:
            return False
        self.next = at
        return True

    def drop(self, proxy: JobProxy) -> None:
        """All that it said is taken already."""
        self._proxies.pop(proxy.lease, None)

    def take(self) -> list[Report]:
        """What is due now."""
        if self.next > time.monotonic():
            return []
        self.next = math.inf
        reports: list[Report] = []
        for lease, proxy in list(self._proxies.items()):
            # Taken off first: what cannot be packed must not come back with each trip.
            del self._proxies[lease]
            reports += (Report(lease[0], *said) for said in proxy.reports.take())
            due = proxy.reports.due()
            if due is not None:
                self._proxies[lease] = proxy
                self.next = min(self.next, due)
        return reports
