"""Owns the geometry of a PDF's page: positioned pieces of text become lines, rows and table cells.

A PDF has no tables, only text at places. A table here is what stands in columns over several rows:
a guess that prefers missing one over inventing one. Lengths are in points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

#: Lines of a table's cell; longer ones are columns of the page.
MAX_CELL_LINES = 12
#: Mean width of a character in ems: fonts' real widths are not looked up.
_CHARACTER_WIDTH = 0.45


class Piece(msgspec.Struct, frozen=True):
    """Text shown at one place; `y` grows upwards along the page as the reader sees the text."""

    text: str
    x: float
    y: float
    size: float
    bold: bool
    mono: bool = False


class Cell(msgspec.Struct):
    """Lines of text that stand below each other at one left edge."""

    x: float
    y: float
    size: float
    bold: bool
    lines: list[str]
    bottom: float

    @property
    def right(self) -> float:
        return self.x + max(len(line) for line in self.lines) * self.size * _CHARACTER_WIDTH


class Row(msgspec.Struct):
    """Cells that stand beside each other, from left to right."""

    cells: list[Cell]

    @property
    def top(self) -> float:
        return max(cell.y for cell in self.cells)

    @property
    def bottom(self) -> float:
        return min(cell.bottom for cell in self.cells)


def rows(pieces: Iterable[Piece]) -> list[Row]:
    """The page's rows in the order of its content stream; running text is rows of one cell and line."""
    found: list[Row] = []
    for line in _lines(pieces):
        if found and _beside_last(found, line):
            found[-1].cells.append(line)
        elif found and len(found[-1].cells) > 1 and _below(found[-1].cells[-1], line):
            _grow(found[-1].cells[-1], line)
        else:
            found.append(Row([line]))
    return found


def aligned(above: Row, below: Row) -> bool:
    """Whether the lower row can continue a table: as many cells, each in its column."""
    if len(above.cells) != len(below.cells) or above.bottom <= below.top:
        return False
    return all(
        any(how(one, other) for how in _ALIGNMENTS)
        for one, other in zip(above.cells, below.cells, strict=True)
    )


def in_columns(run: list[Row]) -> bool:
    """Whether each column keeps one alignment from top to bottom, or the rows only met by chance."""
    if any(len(cell.lines) > MAX_CELL_LINES for row in run for cell in row.cells):
        return False
    columns = zip(*(row.cells for row in run), strict=True)
    return all(
        any(all(how(cells[0], cell) for cell in cells[1:]) for how in _ALIGNMENTS)
        for cells in columns
    )


def _lines(pieces: Iterable[Piece]) -> Iterator[Cell]:
    """Pieces of one height and without a gap between them are one line of one cell."""
    current: Cell | None = None
    end, broke = 0.0, False
    for piece in pieces:
        text = piece.text.replace("\n", " ")
        if not text.strip():
            if current is not None and text:
                current.lines[0] += text
            continue
        width = len(text) * piece.size * _CHARACTER_WIDTH
        if current is not None and _same_line(current, piece, end, broke=broke):
            current.lines[0] += text
            # Pieces of one line often all tell the line's own beginning as their place.
            end = max(end, piece.x) + width if piece.x <= current.x else piece.x + width
            current.size = max(current.size, piece.size)
            current.bold = current.bold and piece.bold
        else:
            if current is not None:
                yield current
            current = Cell(piece.x, piece.y, piece.size, piece.bold, [text], piece.y)
            end = piece.x + width
        # The writer went to a new line; when it comes back up, another cell begins.
        broke = piece.text.endswith("\n")
    if current is not None:
        yield current


def _same_line(line: Cell, piece: Piece, end: float, *, broke: bool) -> bool:
    if abs(piece.y - line.y) >= 0.4 * max(piece.size, line.size, 0.1) or piece.x < line.x:
        return False
    apart = piece.x - line.x > piece.size if broke else piece.x - end > 0.8 * piece.size
    return not apart


def _beside_last(found: list[Row], line: Cell) -> bool:
    """Whether the line begins a cell of the last row, which takes in the lines above when needed.

    A writer that fills a row cell by cell comes back up after a cell of several lines: only then one
    sees that those lines were the first cell. A longer way up leads to another column of the page.
    """
    size = max(line.size, 0.1)
    row, cell = found[-1], found[-1].cells[-1]
    rise = line.y - cell.bottom
    if line.x <= cell.x + 0.5 * size or not -0.5 * size <= rise <= MAX_CELL_LINES * 1.3 * size:
        return False
    if len(row.cells) > 1:
        return line.y <= row.top + 0.5 * size or row.cells[0].y <= row.bottom + 0.5 * size
    while (
        len(found) > 1
        and len(found[-2].cells) == 1
        and found[-2].top <= line.y + 0.5 * size
        and _below(found[-2].cells[0], found[-1].cells[0])
    ):
        _grow(found[-2].cells[0], found.pop().cells[0])
    return True


def _below(cell: Cell, line: Cell) -> bool:
    """Whether the line is the cell's next one."""
    size = max(line.size, 0.1)
    return abs(line.x - cell.x) <= 0.5 * size and 0 < cell.bottom - line.y <= 1.6 * size


def _grow(cell: Cell, more: Cell) -> None:
    cell.lines += more.lines
    cell.bottom = more.bottom


def _left(one: Cell, other: Cell) -> bool:
    return abs(one.x - other.x) <= 0.3 * max(one.size, other.size)


def _right(one: Cell, other: Cell) -> bool:
    return _short(one, other) and abs(one.right - other.right) <= 0.7 * max(one.size, other.size)


def _centre(one: Cell, other: Cell) -> bool:
    distance = abs(one.x + one.right - other.x - other.right) / 2
    return _short(one, other) and distance <= 0.7 * max(one.size, other.size)


def _short(one: Cell, other: Cell) -> bool:
    """The right edge is an estimate: good enough for numbers and a word or two, and running text that
    ends at the same margin must not look like a column.
    """
    return max(len(line) for cell in (one, other) for line in cell.lines) <= 15


_ALIGNMENTS = (_left, _right, _centre)
