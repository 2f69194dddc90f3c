"""Owns the look into a ZIP before any parser does: what it holds, and whether it is a bomb."""

from __future__ import annotations

import zipfile

from triton.extraction import errors
from triton.extraction.model import Limits

MAX_PARTS = 10_000
#: From this many unpacked bytes on the ratio counts: small XML packs very well.
RATIO_FROM_BYTES = 1024 * 1024
_PEEK_BYTES = 1024 * 1024

_KINDS = (
    (b"wordprocessingml.document.main+xml", "DOCX"),
    (b"wordprocessingml.template.main+xml", "a Word template"),
    (b"ms-word.", "a Word document with macros (DOCM)"),
    (b"spreadsheetml", "an Excel workbook"),
    (b"presentationml", "a PowerPoint presentation"),
)
_MIME_KINDS = (
    (b"application/epub", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
)


def kind(archive: zipfile.ZipFile) -> str:
    """ "DOCX", or what else the archive is, for a message. May raise what `zipfile` raises."""
    if any(part.flag_bits & 1 for part in archive.infolist()):
        raise errors.encrypted(
            "The document is a ZIP archive that is encrypted with a password; upload it without."
        )
    names = set(archive.namelist())
    if "[Content_Types].xml" in names:
        types = _peek(archive, "[Content_Types].xml")
        for mark, name in _KINDS:
            if mark in types:
                if name == "DOCX" and b"purl.oclc.org/ooxml" in _peek(archive, "_rels/.rels"):
                    return "a Word document in the strict format (save it as an ordinary DOCX)"
                return name
    elif "mimetype" in names:
        mime = _peek(archive, "mimetype")
        for mark, name in _MIME_KINDS:
            if mime.startswith(mark):
                return name
    return "a ZIP archive"


def check(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Raises ExtractionError when unpacking would cost more than the limits, or a part has a DTD.

    `zipfile` never unpacks more of a part than the directory declares, so the declared sizes bound.
    """
    parts = archive.infolist()
    if len(parts) > MAX_PARTS:
        raise errors.too_large(f"The DOCX has {len(parts)} parts and {MAX_PARTS} are allowed.")
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    ratio = unpacked // packed
    if unpacked > limits.max_unpacked_bytes or (
        unpacked > RATIO_FROM_BYTES and ratio > limits.max_unpacked_ratio
    ):
        raise errors.too_large(
            f"The DOCX unpacks to {unpacked:,} bytes, {ratio} times its size; at most "
            f"{limits.max_unpacked_bytes:,} bytes and {limits.max_unpacked_ratio} times are allowed.",
            unpacked=unpacked,
            ratio=ratio,
        )
    for part in parts:
        if part.filename.endswith((".xml", ".rels")):
            if part.file_size > limits.max_part_bytes:
                raise errors.too_large(
                    f"The DOCX's part {part.filename[:100]} has {part.file_size:,} bytes of XML and "
                    f"{limits.max_part_bytes:,} are allowed; split the document.",
                    part=part.filename,
                )
            # The format forbids document types; only entity bombs and file readers bring one.
            if b"<!DOCTYPE" in _peek(archive, part.filename, 4096).replace(b"\x00", b""):
                raise errors.broken(
                    "The DOCX contains an XML document type, which the format forbids."
                )


def _peek(archive: zipfile.ZipFile, name: str, size: int = _PEEK_BYTES) -> bytes:
    try:
        with archive.open(name) as part:
            return part.read(size)
    except KeyError:
        return b""
