"""What the documents name is there: commands with their options, routes, settings, files, tests, messages.

Every block of shell is checked word by word against the program that it calls (`doc_commands`). Blocks marked
`run` are run too, by tests/cli/test_documented_commands.py. Another mark is a reason why neither can be.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
from pathlib import Path

import msgspec
from doc_commands import call, commands, complaint, triton
from doc_pages import GENERATED, PAGES, ROOT, Fence, anchors, fences, links, spans

from triton import keys, settings

SHELL = frozenset({"sh", "console"})
#: Languages of blocks that hold no command.
_QUIET = """
    python json yaml sql js jsx ts tsx html http text nginx caddy toml ini dockerfile lua diff mermaid promql
"""
QUIET = frozenset(_QUIET.split())
#: Settings of the tests, of the bench and of the builds, which are no settings of Triton.
NOT_OURS = ("TRITON_TEST_", "TRITON_CONTRACT_")
#: What reads like a setting and is a part of several.
PARTS = frozenset({"TRITON_STREAMS_PER_", "TRITON_"})
WRITTEN = [page for page in PAGES if page not in GENERATED]


def shell_of(fence: Fence) -> str:
    """The commands of a block; a console's are behind `$ `, the rest of it is what they print."""
    if fence.language == "sh":
        return fence.text
    found: list[str] = []
    more = False
    for line in fence.text.splitlines():
        if more or line.startswith("$ "):
            found.append(line.removeprefix("$ "))
            more = found[-1].endswith("\\")
    return "\n".join(found)


def test_every_command_of_a_block_is_one_that_can_be_given() -> None:
    wrong = [
        f"{fence.name}: {said}"
        for page in WRITTEN
        for fence in fences(page)
        if fence.language in SHELL and fence.marks in ((), ("run",))
        for words in commands(shell_of(fence))
        if (said := complaint(words))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_block_says_what_it_is_and_a_command_that_is_not_checked_says_why() -> None:
    """A block without a language, or with a mark of one word, would leave its commands in no class."""
    silent = [
        f"{fence.name}: {fence.language or 'no language'} {' '.join(fence.marks)}"
        for page in PAGES
        for fence in fences(page)
        if fence.language not in SHELL | QUIET
        or (fence.language in SHELL and len(fence.marks) == 1 and fence.marks != ("run",))
    ]
    assert not silent, "\n".join(silent)


def test_every_command_in_the_text_is_there() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}:{line}: {said}"
        for page in WRITTEN
        for line, span in spans(page)
        if span.startswith("triton ")
        for piece in re.split(r" \| | && ", span)
        if piece.startswith("triton ") and (said := triton(_words(piece)[1:], whole=False))
    ]
    assert not wrong, "\n".join(wrong)


def _words(text: str) -> list[str]:
    """`hold add|lift` is about `hold add`."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return [re.split(r"[|]", word)[0] for word in words]


def test_every_route_in_the_text_is_there() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}:{line}: {said}"
        for page in WRITTEN
        for line, span in spans(page)
        if (match := re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/[^?\s]*)(?:\?(.*))?", span))
        and "..." not in span
        if (said := call(match[1], re.sub(r"{\w+}", "x", match[2]), match[3] or ""))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_setting_is_one() -> None:
    known = {
        f"{settings.PREFIX}{field.name.upper()}"
        for field in msgspec.structs.fields(settings.Settings)
    }
    wrong = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in WRITTEN
        for name in set(re.findall(r"\bTRITON_[A-Z_]+", page.read_text()))
        if name not in known | PARTS and not name.startswith(NOT_OURS)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_and_test_that_a_page_names_is_there() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}:{line}: {span}"
        for page in WRITTEN
        for line, span in spans(page)
        if (
            match := re.fullmatch(
                r"((?:src|tests|schema|bench|soak|tools|docs|clients)/[\w./-]+?)(?:::(\w+))?", span
            )
        )
        and not (_exists(match[1]) and (match[2] is None or _is_in(match[2], ROOT / match[1])))
    ]
    assert not wrong, "\n".join(wrong)


def _exists(name: str) -> bool:
    return (ROOT / name).exists()


def _is_in(name: str, file: Path) -> bool:
    return re.search(rf"^(?:async )?def {name}\(", file.read_text(), re.MULTILINE) is not None


def test_every_link_and_anchor_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        for path, anchor in links(page):
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {path}")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                wrong.append(f"{page.relative_to(ROOT)}: {path}#{anchor}")
    assert not wrong, "\n".join(wrong)


def test_the_map_leads_to_every_page() -> None:
    """A page that docs/README.md does not name is found by nobody."""
    home = ROOT / "docs/README.md"
    led = {(home.parent / path).resolve() for path, _ in links(home)} | {home}
    lost = [
        str(page.relative_to(ROOT))
        for page in PAGES
        if page.is_relative_to(ROOT / "docs") and page not in led and page.parent.name != "runbooks"
    ]
    assert not lost, "\n".join(lost)


def test_no_page_names_a_folder_of_somebody_s_machine() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}: {found}"
        for page in PAGES
        for found in re.findall(r"(?<![\w.])/(?:home|root|Users|work)/\w*", page.read_text())
    ]
    assert not wrong, "\n".join(wrong)


def test_every_key_of_redis_is_on_its_page() -> None:
    """Each function of `triton.keys` that makes a name is a row of the page."""
    page = (ROOT / "docs/reference/keys.md").read_text()
    makers = {
        name
        for name, made in vars(keys).items()
        if callable(made)
        and getattr(made, "__module__", "") == keys.__name__
        and name not in ("prefix", "partition_of")
    }
    rows = set(re.findall(r"`([a-z-]+)[:`]", page))
    assert {name.replace("_", "-") for name in makers} - rows == set()


def test_the_architecture_names_each_part_once() -> None:
    """A package that comes or goes without its row fails here: docs/architecture.md, "The parts"."""
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition("## The parts")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    there = {
        path.stem
        for path in (ROOT / "src/triton").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.stem.startswith("__")
    }
    assert (there - set(named), set(named) - there) == (set(), set()), (
        "without a row; without a part"
    )
    assert len(named) == len(there), "a part is named twice"


MESSAGES = ROOT / "docs/troubleshooting.md"


@functools.cache
def _templates() -> str:
    """Every text of the source, `…` for each value, one a line."""
    found = []
    for file in sorted((ROOT / "src/triton").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(" ".join(text.split()) for text in found)


def test_troubleshooting_quotes_what_triton_says() -> None:
    """Word for word as it stands in the source; `…` is a value."""
    told = _templates()
    unsaid = [
        message
        for fence in fences(MESSAGES)
        if fence.language == "text"
        for message in (" ".join(said.split()) for said in fence.text.split("\n\n"))
        if message not in told
    ]
    assert not unsaid, "\n".join(unsaid)
