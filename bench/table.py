"""Owns the table: samples of A and B in turn become medians, spreads, ratios and verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

#: One turn of one side: a figure for each key, and the foreign cores meanwhile as `foreign:<phase>`.
Sample: TypeAlias = Mapping[str, float]

HEADER = (
    "| what | unit | Triton | beside it | ratio | goal | foreign cores |",
    "|---|---|---|---|---|---|---|",
)


class Goal(msgspec.Struct, frozen=True):
    """What a line should reach: its own median, or its ratio to the figure beside it."""

    of: Literal["figure", "ratio"]
    way: Literal["at least", "at most"]
    value: float

    def verdict(self, figure: float, ratio: float | None) -> str:
        found = figure if self.of == "figure" else ratio
        if found is None:
            return "–"
        met = found >= self.value if self.way == "at least" else found <= self.value
        ratio_word = "ratio " if self.of == "ratio" else ""
        return f"{ratio_word}{self.way} {self.value:,g}: {'met' if met else '**missed**'}"


class Measure(msgspec.Struct, frozen=True):
    """How one line of the table is made of samples. `beside` is the key in the other side's samples."""

    what: str
    unit: str
    key: str
    beside: str | None = None
    goal: Goal | None = None
    digits: int = 0
    #: The phase whose foreign cores count for this line.
    phase: str = ""


def lines(
    measures: Iterable[Measure],
    ours: Sequence[Sample],
    theirs: Sequence[Sample],
    name: str = "",
) -> list[str]:
    """Table lines of all measures. `name` says what stands beside Triton."""
    return [_line(measure, ours, theirs, name) for measure in measures]


def _line(measure: Measure, ours: Sequence[Sample], theirs: Sequence[Sample], name: str) -> str:
    mine = _values(ours, measure.key)
    other = _values(theirs, measure.beside) if measure.beside else []
    if not mine:
        return f"| {measure.what} | {measure.unit} | – | – | – | – | – |"
    figure = statistics.median(mine)
    ratio = None
    if other and (reference := statistics.median(other)):
        ratio = figure / reference
    cells = (
        measure.what,
        measure.unit,
        spread(mine, measure.digits),
        f"{name} {spread(other, measure.digits)}".strip() if other else "–",
        f"{ratio:.2f}" if ratio is not None else "–",
        measure.goal.verdict(figure, ratio) if measure.goal else "–",
        _foreign(measure.phase, ours, theirs),
    )
    return f"| {' | '.join(cells)} |"


def _values(samples: Sequence[Sample], key: str) -> list[float]:
    return [sample[key] for sample in samples if key in sample]


def _foreign(phase: str, ours: Sequence[Sample], theirs: Sequence[Sample]) -> str:
    """The median foreign load of both sides, `A / B`, so that an unfair pairing shows."""
    sides = [_values(side, f"foreign:{phase}") for side in (ours, theirs)]
    return " / ".join(f"{statistics.median(side):.2f}" for side in sides if side) or "–"


def spread(values: Sequence[float], digits: int) -> str:
    """`median (least-greatest)`, or the one value."""
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of 100 do not exceed."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
