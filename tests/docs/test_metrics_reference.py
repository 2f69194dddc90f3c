"""The catalogue of metrics keeps to Prometheus' rules (the page that is made of it is compared in
test_reference)."""

from __future__ import annotations

import re

from triton.api.metrics.catalogue import BY_NAME, METRICS


def test_metrics_are_named_as_prometheus_wants_them() -> None:
    assert len(BY_NAME) == len(METRICS)
    for one in METRICS:
        assert re.fullmatch(r"triton_[a-z_]+", one.name), one.name
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert one.name.endswith("_seconds") or one.unit != "seconds", one.name
        assert one.name.endswith("_bytes") or one.unit != "bytes", one.name
        assert one.about.endswith("."), one.name
        assert "|" not in one.about, one.name
