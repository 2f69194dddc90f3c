"""Broken, encrypted, empty, renamed, huge and hostile documents: one error, one sentence, no noise."""

from __future__ import annotations

import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator

import document_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.platypus import PageBreak, Paragraph, Spacer

from triton.extraction import Extraction, ExtractionError, Limits, extract

PDF = samples.pdf(pages=2)
DOCX = samples.word()


@pytest.fixture(autouse=True)
def no_noise(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a document does, no library writes a line."""
    logging.lastResort, before = logging.StreamHandler(), logging.lastResort
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        logging.lastResort = before
    assert capfd.readouterr() == ("", "")


def code_of(data: bytes, filename: str = "x", limits: Limits | None = None) -> str:
    with pytest.raises(ExtractionError) as caught:
        extract(data, filename=filename, limits=limits)
    message = caught.value.message
    assert message.endswith(".")
    assert "Traceback" not in message
    assert "\n" not in message
    return caught.value.code


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "document_empty"),
        (b" \n\t\n", "document_empty"),
        (b"<html><body><img src='x.png'></body></html>", "document_empty"),
        (samples.pdf_of([Spacer(1, 10), PageBreak(), Spacer(1, 1)]), "document_empty"),
        (samples.saved(samples.docx.Document()), "document_empty"),
        (PDF[: len(PDF) // 3], "document_broken"),
        (b"%PDF-1.7\nnothing of a PDF", "document_broken"),
        (DOCX[: len(DOCX) // 2], "document_broken"),
        (samples.with_part(DOCX, "word/document.xml", b"<w:document"), "document_broken"),
        (samples.encrypted_pdf("secret"), "document_encrypted"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "document_encrypted",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 a doc of 1997", "document_unsupported"),
        (b"\x89PNG\r\n\x1a\n rest", "document_unsupported"),
        (zipped({"some.txt": b"x"}), "document_unsupported"),
        (zipped({"[Content_Types].xml": b"... spreadsheetml ..."}), "document_unsupported"),
        (bytes(range(256)) * 4, "document_unsupported"),
    ],
)
def test_each_bad_document_has_its_reason(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_a_pdf_that_only_forbids_printing_is_read() -> None:
    assert extract(samples.encrypted_pdf(""), filename="x.pdf").title == "Quarterly report"


@pytest.mark.parametrize(
    ("data", "filename", "media_type", "found", "note"),
    [
        (PDF, "letter", "text/html", "application/pdf", ("HTML", "PDF")),
        (b"plain", "a.txt", "application/pdf", "text/plain", ("PDF", "plain text")),
        (samples.HTML.encode(), "a.txt", "text/plain", "text/html", ("plain text", "HTML")),
        (b"plain", "a.txt", "text/html", "text/plain", ("HTML", "plain text")),
        (b"plain", "a.md", "application/octet-stream", "text/markdown", None),
        (b"<p align=center>x</p>\n\n# y", "README.md", None, "text/markdown", None),
        (b"<p>fragment</p>", "unknown", None, "text/html", None),
        (samples.MARKDOWN.encode(), "notes", None, "text/markdown", None),
        (b"# a comment\nx = 1\n", "script.py", "", "text/plain", None),
        (b"junk \x00\x01\n" + PDF, "a.pdf", "", "application/pdf", None),
    ],
)
def test_the_content_decides_and_what_was_announced_is_noted(
    data: bytes, filename: str, media_type: str | None, found: str, note: tuple[str, str] | None
) -> None:
    result = extract(data, filename=filename, media_type=media_type)
    expected = note and f"announced as {note[0]}, but the content is {note[1]}"
    assert (result.media_type, result.metadata.get("mismatch")) == (found, expected)


@pytest.mark.parametrize(
    ("data", "filename"),
    [(PDF, "letter.docx"), (PDF, "letter.md"), (b"plain", "a.pdf"), (b"plain", "a.DOCX")],
)
def test_a_renamed_file_fails_with_both_formats_named(data: bytes, filename: str) -> None:
    with pytest.raises(ExtractionError, match=r"promises .* but the content is") as caught:
        extract(data, filename=filename)

    assert caught.value.code == "document_renamed"


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"x" * 101, Limits(max_bytes=100)),
        (PDF, Limits(max_pages=1)),
        (b"one\ftwo\fthree", Limits(max_pages=2)),
        (b"word " * 100, Limits(max_characters=100)),
        (b"a\n\n" * 100, Limits(max_blocks=50)),
        (b"<html><body>" + b"<p>x" * 100, Limits(max_tags=50)),
        (b"x" * 200, Limits(max_text_bytes=100)),
        (b"# x\n\n[a](b)\n" * 20, Limits(max_markdown_bytes=100)),
        (DOCX, Limits(max_part_bytes=1000)),
        (DOCX, Limits(max_unpacked_bytes=10_000)),
    ],
)
def test_each_limit_holds(data: bytes, limits: Limits) -> None:
    assert code_of(data, limits=limits) == "document_too_large"


def test_the_time_limit_holds_between_pages_and_inside_one() -> None:
    ticks = iter(range(10_000))
    many = samples.pdf_of([Paragraph("word " * 30_000, samples.STYLES["BodyText"])])
    for data in (PDF, many, samples.MARKDOWN.encode(), samples.HTML.encode(), DOCX):
        with pytest.raises(ExtractionError, match="takes longer than the 3 seconds") as caught:
            extract(data, filename="x", limits=Limits(max_seconds=3), clock=lambda: next(ticks))
        assert caught.value.code == "document_too_large"


def test_a_zip_bomb_is_refused_before_it_unpacks() -> None:
    bomb = samples.with_part(DOCX, "word/media/image1.bin", b"\0" * 30_000_000)
    assert code_of(bomb) == "document_too_large"


@pytest.mark.parametrize(
    "doctype",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_entities_are_refused(doctype: bytes) -> None:
    xml = samples.part(DOCX, "word/document.xml")
    start = xml.index(b"<w:document")
    assert (
        code_of(samples.with_part(DOCX, "word/document.xml", doctype + xml[start:]))
        == "document_broken"
    )


def test_a_pdf_whose_page_tree_bites_its_tail_ends() -> None:
    match = re.search(rb"/Kids \[ (\d+ 0 R)", PDF)
    assert match
    tree = re.search(rb"(\d+) 0 obj\s*<<\s*/Count 2 /Kids", PDF)
    assert tree
    loop = PDF.replace(match[1] + b" ", tree[1].ljust(len(match[1]) - 4) + b" 0 R ", 1)
    assert len(loop) == len(PDF)
    try:
        found = extract(loop, filename="x.pdf")
    except ExtractionError as error:
        assert error.code in ("document_broken", "document_too_large")
    else:
        assert found.statistics.pages <= 2


def test_one_damaged_page_costs_that_page_only() -> None:
    writer = samples.pypdf.PdfWriter(clone_from=io.BytesIO(samples.pdf(pages=3)))
    contents = writer.pages[1]["/Contents"].get_object()
    contents._data = b"\xff\xfe not deflated"
    out = io.BytesIO()
    writer.write(out)
    found = extract(out.getvalue(), filename="x.pdf")
    assert found.statistics.pages == 3
    assert "Chapter number 1" in found.pages[0].text
    assert "Chapter number 3" in found.pages[2].text
    assert found.pages[1].text == ""


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>" + b"<div>" * 50_000 + b"deep",
        b"<html><body>" + b"<table><tr><td>" * 10_000 + b"deep",
        b"# deep\n\n" + b">" * 5_000 + b" deep [x](y)",
        b"# deep\n\n" + b"- " * 2_000 + b" deep [x](y)",
        b"# deep\n\n" + b"[" * 20_000 + b"deep [x](y)",
        b"# deep\n\n" + b"*a _b " * 5_000 + b"deep [x](y)",
    ],
)
def test_deep_nesting_ends_in_text_or_an_error(data: bytes) -> None:
    try:
        found = extract(data, filename="x.md" if data.startswith(b"#") else "x.html")
    except ExtractionError:
        return
    assert found.statistics.words


def outcome(data: bytes, filename: str) -> Extraction | None:
    try:
        return extract(data, filename=filename, limits=Limits(max_seconds=5))
    except ExtractionError:
        return None


NAMES = st.sampled_from(["x.pdf", "x.docx", "x.html", "x.md", "x.txt", "x"])
STARTS = st.sampled_from(
    [b"", b"%PDF-1.7\n", b"PK\x03\x04", b"<html>", b"# x\n[a](b)\n", b"\xff\xfe"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=STARTS, rest=st.binary(max_size=400), filename=NAMES)
def test_arbitrary_bytes_raise_nothing_but_an_extraction_error(
    start: bytes, rest: bytes, filename: str
) -> None:
    outcome(start + rest, filename)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sample=st.sampled_from([PDF, DOCX]),
    places=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8))
    ),
)
def test_damaged_documents_raise_nothing_but_an_extraction_error(
    sample: bytes, places: list[tuple[float, bytes]]
) -> None:
    data = bytearray(sample)
    for place, patch in places:
        at = int(place * len(data))
        data[at : at + len(patch)] = patch
    outcome(bytes(data), "x")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8"), max_size=300), filename=NAMES)
def test_any_text_keeps_its_offsets_and_can_be_stored(text: str, filename: str) -> None:
    found = outcome(text.encode(), filename)
    if found is None:
        return
    for heading in found.headings:
        assert found.pages[heading.page - 1].text[heading.start : heading.end] == heading.text
    for page in found.pages:
        page.text.encode()
        assert "\x00" not in page.text
        for span in page.spans:
            assert page.text[span.start : span.end].strip()
