"""Owns the decision what a document is: by its bytes; its name only decides between kinds of text."""

from __future__ import annotations

import re
import zipfile
from pathlib import PurePosixPath

from triton.extraction import errors, ooxml
from triton.extraction.model import DOCX, HTML, MARKDOWN, PDF, TEXT
from triton.extraction.source import Source
from triton.extraction.text import decode

HEAD_BYTES = 64 * 1024
SUPPORTED = "PDF, DOCX, HTML, Markdown and plain text are supported"

LABELS = {PDF: "PDF", DOCX: "DOCX", HTML: "HTML", MARKDOWN: "Markdown", TEXT: "plain text"}

_BY_SUFFIX = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
}
_BY_MEDIA_TYPE = {
    **{name: name for name in LABELS},
    "application/xhtml+xml": HTML,
    "text/x-markdown": MARKDOWN,
}

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHERS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
)
_PDF_HEADER = re.compile(rb"%PDF-\d\.\d")
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--(?:(?!-->).){0,4000}-->\s*)*"
    r"<(?:!doctype\s+html|html|head|body|title|meta|table|div|p|h[1-6]|article|section|main)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_WHOLE = re.compile(r"<(?:!doctype\s+html|html|body)\b", re.IGNORECASE)
_MARKDOWN_SIGNS = (
    re.compile(r"^ {0,3}#{1,6} +\S", re.MULTILINE),
    re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE),
    re.compile(r"!?\[[^\]\n]{1,200}\]\([^)\s]{1,500}\)"),
    re.compile(r"^ {0,3}\|?(?: *:?-{3,}:? *\|)+", re.MULTILINE),
    re.compile(r"\*\*\w[^*\n]{0,200}\*\*"),
    re.compile(r"^[^\n#|>-]{1,80}\n(?:={3,}|-{3,}) *$", re.MULTILINE),
)
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def detect(source: Source, *, filename: str, media_type: str | None) -> str:
    """One of the five media types. Raises ExtractionError for whatever is none of them."""
    head = source.head(HEAD_BYTES)
    if _PDF_HEADER.match(head.lstrip(b"\xef\xbb\xbf \t\r\n\x00")):
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip(source)
    if head.startswith(_OLE):
        raise _ole(source)
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise errors.unsupported(f"The document is {name}; {SUPPORTED}.", found=name)
    text = _as_text(head)
    if text is None:
        # Readers take a PDF whose header comes late, after what a mail or a proxy put before it.
        if _PDF_HEADER.search(head[:1024]):
            return PDF
        raise errors.unsupported(f"The document is binary data of an unknown kind; {SUPPORTED}.")
    return _kind_of_text(text, expectations(filename, media_type))


def expectations(filename: str, media_type: str | None) -> set[str]:
    """What the name and the declared media type promise, as far as they promise one of the five."""
    declared = (media_type or "").partition(";")[0].strip().lower()
    suffix = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    found = {_BY_SUFFIX.get(suffix), _BY_MEDIA_TYPE.get(declared)}
    return {name for name in found if name}


def refuse_renamed(found: str, filename: str) -> None:
    """Raises ExtractionError for a file whose name promises another format than it holds.

    Only a PDF or a DOCX on one of the two sides counts: kinds of text are told apart by habit. A media
    type that disagrees is no reason, because clients guess it.
    """
    suffix = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    promised = _BY_SUFFIX.get(suffix)
    if promised is None or promised == found or not {promised, found} & {PDF, DOCX}:
        return
    raise errors.renamed(
        f"The name {PurePosixPath(filename).name!r} promises {LABELS[promised]}, but the content is "
        f"{LABELS[found]}; give it the right name and upload it again.",
        promised=promised,
        found=found,
    )


def mismatch(found: str, *, filename: str, media_type: str | None) -> str | None:
    """A note for a person when name or declared type promised something else than the content is."""
    wrong = expectations(filename, media_type) - {found}
    if found in (MARKDOWN, TEXT):
        wrong -= {TEXT, MARKDOWN}
    if not wrong:
        return None
    promised = " and ".join(sorted(LABELS[name] for name in wrong))
    return f"announced as {promised}, but the content is {LABELS[found]}"


def _zip(source: Source) -> str:
    try:
        with zipfile.ZipFile(source.rewound()) as archive:
            kind = ooxml.kind(archive)
    except errors.ExtractionError:
        raise
    except Exception as error:
        # zipfile raises BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError and more.
        raise errors.broken(
            "The document begins like a DOCX (a ZIP archive) but is damaged or cut off; upload it again."
        ) from error
    if kind == "DOCX":
        return DOCX
    raise errors.unsupported(f"The document is {kind}; {SUPPORTED}.", found=kind)


def _ole(source: Source) -> errors.ExtractionError:
    # Office wraps an encrypted DOCX in this older container; the name of its stream tells them apart.
    if "EncryptedPackage".encode("utf-16-le") in source.read():
        return errors.encrypted(
            "The document is an Office file that is encrypted with a password; "
            "save it without the password and upload it again."
        )
    return errors.unsupported(
        f"The document is an Office file of before 2007 (DOC, XLS, PPT or MSG); {SUPPORTED}.",
        found="an OLE document",
    )


def _as_text(head: bytes) -> str | None:
    """The beginning as text, or None when it has more control characters than text has."""
    text, _ = decode(head, cut=True)
    controls = len(_CONTROLS.findall(text))
    return None if "\x00" in text or controls * 50 > len(text) else text


def _kind_of_text(text: str, expected: set[str]) -> str:
    if _HTML_START.match(text):
        # A README often begins with a centred <p> or <div>: Markdown may.
        fragment = not _HTML_WHOLE.search(text[:4096])
        return MARKDOWN if fragment and MARKDOWN in expected else HTML
    signs = sum(bool(sign.search(text)) for sign in _MARKDOWN_SIGNS)
    if MARKDOWN in expected or signs >= (4 if TEXT in expected else 2):
        return MARKDOWN
    return TEXT
