"""What each format yields: headings with levels, tables, pages, metadata, and offsets that are exact."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import document_samples as samples
import docx
import pytest
from docx.oxml import parse_xml
from reportlab.platypus import Paragraph, Table

from triton.extraction import Extraction, extract

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
ROWS = tuple(tuple(row) for row in samples.ROWS)


def outline(found: Extraction) -> list[tuple[int, str, int]]:
    return [(heading.level, heading.text, heading.page) for heading in found.headings]


def check_offsets(found: Extraction) -> None:
    """The law of every extraction: each place names exactly its text."""
    for heading in found.headings:
        assert found.pages[heading.page - 1].text[heading.start : heading.end] == heading.text
    for table in found.tables:
        text = found.pages[table.page - 1].text[table.start : table.end]
        assert text == "\n".join("\t".join(row) for row in table.rows)
    for number, page in enumerate(found.pages, 1):
        assert page.number == number
        end = 0
        for span in page.spans:
            assert page.text[end : span.start].strip("\n") == ""
            end = span.end
        assert end == len(page.text)
    for row in found.lineage:
        assert 0 <= row.start <= row.end <= len(found.pages[row.page - 1].text)


def test_a_pdf_gives_pages_headings_tables_and_metadata() -> None:
    found = extract(samples.pdf(), filename="report.pdf", media_type="application/pdf")
    check_offsets(found)
    assert found.media_type == "application/pdf"
    assert found.title == "Quarterly report"
    assert found.metadata["author"] == "Ada Example"
    assert found.metadata["created"].startswith("2000-01-01")
    assert "mismatch" not in found.metadata
    assert outline(found) == [
        entry
        for page in (1, 2, 3)
        for entry in (
            (1, f"Chapter number {page}", page),
            (2, f"Section {page}.1 on foxes", page),
        )
    ]
    assert [(table.page, table.rows) for table in found.tables] == [(p, ROWS) for p in (1, 2, 3)]
    assert "lazy dog. It was" in found.pages[0].text.replace("\n", " ")


@pytest.mark.parametrize("valign", ["TOP", "MIDDLE", "BOTTOM"])
def test_a_pdf_table_with_cells_of_several_lines_stays_one_table(valign: str) -> None:
    style = samples.STYLES["BodyText"]
    rows = [
        ["a key that needs two lines", "a text that needs two lines in here", "1"],
        ["key two", "another text that needs two lines", "2"],
        ["key three", "short", "3"],
    ]
    cells = [[Paragraph(cell, style) for cell in row] for row in rows]
    table = Table(cells, colWidths=[90, 110, 60], style=[("VALIGN", (0, 0), (-1, -1), valign)])
    data = samples.pdf_of([Paragraph(samples.BODY, style), table])
    (found,) = extract(data, filename="t.pdf").tables
    assert found.rows == tuple(tuple(row) for row in rows)


def test_a_bulleted_list_in_a_pdf_is_no_table() -> None:
    style = samples.STYLES["BodyText"]
    data = samples.pdf_of(
        [Paragraph(f"Item {n} of a list", style, bulletText="•") for n in range(6)]
    )
    found = extract(data, filename="t.pdf")
    assert found.tables == ()
    assert found.pages[0].text.count("Item") == 6


def test_a_docx_gives_structure_in_order_and_breaks_as_pages() -> None:
    found = extract(samples.word(), filename="handbook.docx")
    check_offsets(found)
    assert found.title == "Handbook"
    assert found.metadata["author"] == "Ada Example"
    assert found.metadata["paging"] == "breaks"
    assert outline(found) == [(1, "Handbook", 1), (1, "Tables", 1), (2, "Lists", 2)]
    assert [table.rows for table in found.tables] == [ROWS]
    assert [span.kind for span in found.pages[1].spans] == ["heading", "item", "item"]
    assert found.pages[1].text == "Lists\n\nfirst item\nsecond item"


def word_with(*xml: str) -> Any:
    document = docx.Document()
    body = document.element.body
    for element in xml:
        body.insert(len(body) - 1, parse_xml(element))
    return document


def test_a_docx_counts_what_a_reader_sees_and_not_what_was_deleted() -> None:
    data = samples.saved(
        word_with(
            f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>",
            f"<w:p {W}><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>"
            "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
            "<w:hyperlink><w:r><w:tab/><w:t>linked</w:t></w:r></w:hyperlink></w:p>",
            f'<w:p {W}><w:pPr><w:outlineLvl w:val="2"/></w:pPr><w:r><w:t>By level</w:t></w:r></w:p>',
            f"<w:tbl {W}><w:tr><w:tc><w:tcPr><w:gridSpan w:val='1000000'/></w:tcPr>"
            "<w:p><w:r><w:t>wide</w:t></w:r></w:p>"
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
            "</w:tc></w:tr></w:tbl>",
        )
    )
    found = extract(data, filename="x.docx")
    check_offsets(found)
    assert found.pages[0].text == "in a control\n\ninserted\tlinked\n\nBy level\n\nwide inner"
    assert outline(found) == [(3, "By level", 1)]
    assert [table.rows for table in found.tables] == [(("wide inner",),)]


def test_markdown_gives_what_a_reader_sees() -> None:
    found = extract(samples.MARKDOWN.encode(), filename="notes.md")
    check_offsets(found)
    assert found.title == "Notes on *foxes*"
    assert found.metadata["author"] == "Ada Example"
    assert found.metadata["created"] == "2024-05-01"
    assert outline(found) == [
        (1, "Foxes & friends", 1),
        (2, "Numbers", 1),
        (3, "From HTML", 1),
        (2, "Setext", 1),
    ]
    assert [table.rows for table in found.tables] == [(("name", "count"), ("a", "1"), ("b|c", "2"))]
    text = found.pages[0].text
    assert "A paragraph with bold, code, a link and a picture." in text
    assert "Second line\nhard break." in text
    assert "one\ntwo with stress" in text
    assert '# not a heading\nprint("x")' in text


def test_html_gives_what_a_reader_sees() -> None:
    found = extract(samples.HTML.encode(), filename="page.html")
    check_offsets(found)
    assert found.title == "The page"
    assert found.metadata["language"] == "en"
    assert found.metadata["author"] == "Ada Example"
    assert outline(found) == [(1, "Foxes & friends", 1), (2, "Layout", 1)]
    assert [table.rows for table in found.tables] == [(("a", "b"), ("1", "2 x"))]
    assert found.pages[0].text == (
        "Foxes & friends\n\nOne bold word,\na new line é.\n\nLoose text\n\ninner\n\ntail\n\n"
        "a\tb\n1\t2 x\n\nLayout\n\nfirst\nsecond\n\n  kept\n    as is"
    )


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        ("Fuchs – süß".encode(), "utf-8", "Fuchs – süß"),
        (b"\xef\xbb\xbfmark", "utf-8", "mark"),
        ("\ufeffFüchse".encode("utf-16-le"), "utf-16-le", "Füchse"),
        ("\ufeffFüchse".encode("utf-16-be"), "utf-16-be", "Füchse"),
        ("Füchse – süß".encode("cp1252"), "cp1252", "Füchse – süß"),
        (b"caf\xe9 \x81 is not in Windows-1252", "latin-1", "café  is not in Windows-1252"),
        (b"one\r\ntwo\rthree  \n\n\n  four", "utf-8", "one\ntwo\nthree\n\n  four"),
    ],
)
def test_text_is_decoded_by_its_mark_or_its_bytes(data: bytes, encoding: str, text: str) -> None:
    found = extract(data, filename="x.txt")
    check_offsets(found)
    assert (found.metadata["encoding"], found.pages[0].text) == (encoding, text)


def test_form_feeds_are_the_pages_of_a_text() -> None:
    found = extract(b"one\n\fmore\n\ntwo\f\fthree\n", filename="rfc.txt")
    assert [page.text for page in found.pages] == ["one", "more\n\ntwo", "three"]
    assert found.metadata["paging"] == "breaks"


def test_a_long_text_falls_into_sections_and_loses_nothing() -> None:
    paragraphs = [f"Paragraph {n}. " + "word " * 50 for n in range(200)]
    found = extract("\n\n".join(paragraphs).encode(), filename="long.txt")
    check_offsets(found)
    assert len(found.pages) > 10
    assert "\n\n".join(page.text for page in found.pages) == "\n\n".join(
        paragraph.rstrip() for paragraph in paragraphs
    )


def test_progress_and_findings_come_page_by_page() -> None:
    news: list[object] = []
    extract(
        samples.pdf(),
        filename="report.pdf",
        on_page=lambda done, total: news.append((done, total)),
        on_finding=lambda finding: news.append(type(finding).__name__),
    )
    page = ["Heading", "Heading", "Table"]
    assert news == [*page, (1, 3), *page, (2, 3), *page, (3, 3)]


def test_what_on_page_raises_ends_the_extraction_as_it_is() -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        extract(b"text", filename="x.txt", on_page=stop)


def test_lineage_names_every_page_heading_and_table_with_its_extractor() -> None:
    found = extract(samples.pdf(pages=2), filename="report.pdf")
    assert [(row.page, row.kind) for row in found.lineage] == [
        (page, kind) for page in (1, 2) for kind in ("page", "heading", "heading", "table")
    ]
    assert {row.extractor for row in found.lineage} == {"pypdf"}
    assert "+triton." in found.lineage[0].version


def test_a_stream_that_cannot_seek_is_read_as_well() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self._data.read(min(size, 1000))

    found = extract(Pipe(samples.word()), filename="x.docx")  # type: ignore[arg-type]
    assert found.title == "Handbook"


def test_a_big_document_is_read_within_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_text(("word " * 20 + "\n\n") * 10_000)
    tracemalloc.start()
    try:
        with path.open("rb") as stream:
            found = extract(stream, filename=path.name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.statistics.words == 200_000
    assert peak < 12 * path.stat().st_size
