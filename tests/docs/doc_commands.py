"""Owns what is wrong with a command that a document names: is there such a program, option, route, target?"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from doc_pages import ROOT
from typer.main import get_command

from triton.cli.app import app
from triton.verifier import triton_verify
from whole_api import whole_api

_OTHERS = """
    apt-get aws bash caddy cat cd chmod chown cp crontab cut date df docker dramatiq du echo export git grep
    head helm ip jq kill kubectl kustomize ls mkdir mount mv nginx npm npx openssl patch pg_dump pg_dumpall
    pg_restore pip prometheus promtool psql redis-benchmark redis-cli rm rsync scp sed set sleep sort source
    ssh sudo sysctl systemctl tail tar tee test touch umask unset uuidgen uvicorn valkey-cli watch wget xargs
    zstd
"""
#: Programs of others, whose options are theirs.
OTHERS = frozenset(_OTHERS.split())
#: Routes that the OpenAPI document does not name.
UNDESCRIBED = frozenset(
    {("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json"), ("GET", "/live")}
)
_KEYWORDS = frozenset({"do", "done", "then", "else", "fi", "while", "until", "if", "!", "{", "}"})


def commands(block: str) -> Iterator[list[str]]:
    """The simple commands of a piece of shell, those in `$(...)` too, as words without redirections."""
    for line in _logical_lines(block):
        text, inner = _substitutions(line)
        for piece in inner:
            yield from commands(piece)
        yield from _simple(text)


def _logical_lines(block: str) -> Iterator[str]:
    pending, until = "", ""
    for line in block.splitlines():
        if until:
            until = "" if line.strip() == until else until
            continue
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        try:
            shlex.split(pending, comments=True)
        except ValueError:
            pending += "\n"
            continue
        if here := re.search(r"<<-?\s*'?(\w+)'?", pending):
            until = here[1]
        yield pending
        pending = ""
    assert not pending, f"a quote has no end: {pending}"


def _substitutions(line: str) -> tuple[str, list[str]]:
    """The line with a word for each `$(...)`, and what stood in them."""
    kept, inner, at = "", [], 0
    while (start := line.find("$(", at)) >= 0:
        end, depth = start + 2, 1
        while end < len(line) and depth:
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            end += 1
        kept += line[at:start] + "$ANSWER"
        inner.append(line[start + 2 : end - 1])
        at = end
    return kept + line[at:], inner


def _simple(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for token in lexer:
        if set(token) <= set("|&;"):
            yield from _named(words)
            words = []
        elif token[0] in "<>":
            skip = True
            if words and words[-1].isdigit():
                words.pop()
        elif skip:
            skip = False
        else:
            words.append(token)
    yield from _named(words)


def _named(words: list[str]) -> Iterator[list[str]]:
    while words and (words[0] in _KEYWORDS or re.match(r"^\w+=", words[0])):
        words = words[1:]
    if words and words[0] != "for":
        yield words


def complaint(words: list[str]) -> str:
    """What is wrong with a command; empty for nothing."""
    program = words[0].removeprefix(".venv/bin/")
    rest = words[1:]
    if program == ".":
        return "" if rest == [".venv/bin/activate"] else f"what is {rest}?"
    if program in ("python", "python3"):
        return _python(rest)
    if "/" in program:
        return _script(program, rest)
    known = {"triton": triton, "triton-verify": verify, "make": _make, "curl": curl}
    if program in known:
        return known[program](rest)
    if program in ("docker", "kubectl", "kustomize"):
        return _paths(rest) or _inside(rest)
    return "" if program in OTHERS else f"{program} is of no class"


@functools.cache
def _root() -> Any:
    return get_command(app)


def triton(words: list[str], *, whole: bool = True) -> str:
    """With `whole` the command is parsed as it would be run; else its name and the names of options count."""
    command, context = _root(), _root().make_context("triton", [], resilient_parsing=True)
    name, rest = "triton", list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        if found is None:
            break
        name, command = f"{name} {rest.pop(0)}", found
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    if command is _root() and rest[:1] in ([], ["--help"], ["--version"]):
        return ""
    if hasattr(command, "commands") and not command.invoke_without_command:
        named = rest and (whole or re.fullmatch(r"[a-z][a-z-]*", rest[0]))
        return f"{name} has no command {rest[0]}" if named else ""
    if hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        return f"{name} has no command {rest[0]}"
    if whole and "--help" not in rest:
        try:
            command.make_context(name, rest, parent=context.parent)
        except Exception as error:
            return f"{name}: {getattr(error, 'message', error)}"
        return ""
    known = {each for one in command.params for each in (*one.opts, *one.secondary_opts)}
    wrong = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{name} has no {wrong[0]}" if wrong and wrong != ["--help"] else ""


def verify(words: list[str]) -> str:
    return _parsed(triton_verify.parser(), words)[1]


def _make(words: list[str]) -> str:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and not re.search(rf"\$[({{]{name}\b", text):
            return f"the Makefile reads no {name}"
        if not equals and not re.search(rf"^{name}:", text, re.MULTILINE):
            return f"the Makefile has no target {name}"
    return ""


def _python(words: list[str]) -> str:
    match words:
        case ["-c", code, *_]:
            compile(code, "-c", "exec")
            return ""
        case ["-m", "triton", *rest]:
            return triton(rest)
        case ["-m", module, *_]:
            here = (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
            return (
                "" if here or importlib.util.find_spec(module) else f"there is no module {module}"
            )
        case [file, *rest] if file.endswith("triton_verify.py"):
            return verify(rest)
        case [file, *_]:
            return "" if (ROOT / file).exists() else f"there is no {file}"
    return ""


def _script(program: str, words: list[str]) -> str:
    """An option of a script is in its text, unless it hands all of them on."""
    if not (ROOT / program).exists():
        return f"there is no {program}"
    text = (ROOT / program).read_text()
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    wrong = [option for option in options if option not in text and '"$@"' not in text]
    return f"{program} has no {wrong[0]}" if wrong else ""


def _paths(words: list[str]) -> str:
    named = [after for word, after in itertools.pairwise(words) if word in ("-k", "-f")]
    missing = [path for path in named if "/" in path and not (ROOT / path).exists()]
    return f"there is no {missing[0]}" if missing else ""


def _inside(words: list[str]) -> str:
    """What is run in a container is a command as well."""
    after = words[words.index("exec") :] if "exec" in words else []
    return triton(after[after.index("triton") + 1 :]) if "triton" in after else ""


def _curl_options() -> argparse.ArgumentParser:
    """Those of curl's that documents use."""
    made = argparse.ArgumentParser(prog="curl", allow_abbrev=False, add_help=False)
    made.add_argument("url")
    for letter in "sSNfiLkvI":
        made.add_argument(f"-{letter}", action="store_true")
    made.add_argument("-X", "--request", default="")
    made.add_argument("-H", "--header", action="append", default=[])
    made.add_argument("-d", "--data", "--data-raw", "--data-binary")
    made.add_argument("--json")
    made.add_argument("-F", "--form", action="append")
    made.add_argument("-o", "--output")
    made.add_argument("-m", "--max-time")
    return made


def curl(words: list[str]) -> str:
    """A call of ours is one of a route that there is, with parameters and a body that it knows, and a key."""
    sent, wrong = _parsed(_curl_options(), words)
    if sent is None:
        return wrong
    ours = re.match(
        r"^(?:\$TRITON_API_URL|(?:https?://)?(?:localhost|127\.0\.0\.1|[A-Z]+)(?::8000)?)"
        r"(/[^?]*)(?:\?(.*))?$",
        sent.url,
    )
    if ours is None:
        return ""
    headers = [one.lower() for one in sent.header]
    headers += ["content-type: application/json"] if sent.json else []
    data = sent.json or sent.data
    method = sent.request or ("POST" if data or sent.form else "GET")
    return call(method, re.sub(r"\$\w+", "x", ours[1]), ours[2] or "", headers, data)


def _parsed(
    parser: argparse.ArgumentParser, words: list[str]
) -> tuple[argparse.Namespace | None, str]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            return parser.parse_args(words), ""
        except SystemExit:
            return None, said.getvalue().strip().splitlines()[-1]


def call(
    method: str, path: str, query: str = "", headers: list[str] | None = None, data: Any = None
) -> str:
    """What is wrong with a call of the API; with `headers` it is one that is sent."""
    paths = whole_api().openapi()["paths"]
    fits = [each for each in paths if _fits(each, path) and method.lower() in paths[each]]
    if not fits:
        return "" if (method, path) in UNDESCRIBED else f"there is no route {method} {path}"
    template = min(fits, key=lambda each: each.count("{"))
    operation = paths[template][method.lower()]
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    asked = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if asked - known:
        return f"{method} {template} has no parameter {sorted(asked - known)}"
    if headers is None:
        return ""
    if operation.get("security") and "token" not in asked:
        named = [one for one in headers if one.startswith(("authorization:", "x-api-key:"))]
        if not named and "$auth" not in headers:
            return f"{method} {template} wants a key, and none is sent"
    return _body(operation, headers, data)


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) is not None


def _body(operation: dict[str, Any], headers: list[str], data: Any) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    if data is None or "application/json" not in content:
        return ""
    if not any("content-type: application/json" in one for one in headers):
        return "curl -d says that its body is a form: use --json, or name the content type"
    if data.startswith("@"):
        return ""
    sent = json.loads(data)
    schemas = whole_api().openapi()["components"]["schemas"]
    schema = content["application/json"]["schema"]
    choices = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    fields: set[str] = set()
    for one in choices:
        found = schemas[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        fields |= set(found.get("properties", ()))
    wrong = set(sent) - fields if fields and isinstance(sent, dict) else set()
    return f"the body has no field {sorted(wrong)}" if wrong else ""
