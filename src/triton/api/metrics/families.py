"""Owns making Prometheus' families of figures, by the catalogue, and how many names are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from triton.api.metrics.catalogue import BY_NAME

#: Queues, actors, tenants that are told apart: anybody who submits can name a new one.
MOST: Final = 100
OTHERS: Final = "(others)"


class Names:
    """Tells the first names apart, for a counter: a series that begins must go on for ever."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[bytes, str] = {}

    def of(self, raw: bytes) -> str:
        name = self._known.get(raw)
        if name is None:
            if len(self._known) >= self._most:
                return OTHERS
            name = self._known[raw] = raw.decode(errors="replace")
        return name


def family(name: str, samples: Iterable[tuple[Sequence[str], float]] = ()) -> Metric:
    """A gauge or counter of the catalogue: for each sample the labels' values, and its own."""
    one = BY_NAME[name]
    made: CounterMetricFamily | GaugeMetricFamily
    if one.kind == "counter":
        made = CounterMetricFamily(name, one.about, labels=one.labels)
    else:
        made = GaugeMetricFamily(name, one.about, labels=one.labels)
    for labels, value in samples:
        made.add_metric(labels, value)
    return made


def single(name: str, value: float) -> Metric:
    """One that has no labels."""
    return family(name, [((), value)])


def histogram(
    name: str, samples: Iterable[tuple[Sequence[str], Sequence[tuple[str, float]], float]]
) -> Metric:
    """A histogram of the catalogue: for each sample labels, cumulated buckets (bound, count) and the sum."""
    one = BY_NAME[name]
    made = HistogramMetricFamily(name, one.about, labels=one.labels)
    for labels, buckets, total in samples:
        made.add_metric(labels, buckets, total)
    return made
