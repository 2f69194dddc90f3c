"""The page of the metrics names each that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from triton.api import http_metrics, platform_metrics

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def test_the_page_names_every_metric() -> None:
    told = set(re.findall(r"`(triton_[a-z_]+)`", PAGE.read_text()))
    source = "".join(
        Path(str(one.__file__)).read_text() for one in (http_metrics, platform_metrics)
    )
    made = set(re.findall(r'"(triton_[a-z_]+)"', source))
    made |= {
        f"triton_projector_{name}" for name in re.findall(r'^        "([a-z_]+)": \(', source, re.M)
    }
    assert {name.removesuffix("_total") for name in told} == made
