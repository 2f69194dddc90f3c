"""Python in the documents: it compiles, and what it takes from Triton is there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator

from doc_pages import PAGES, Fence, fences

BLOCKS = [fence for page in PAGES for fence in fences(page) if fence.language == "python"]


def test_it_compiles_and_its_names_are_there() -> None:
    wrong = []
    for fence in BLOCKS:
        tree = ast.parse(fence.text, fence.name)
        compile(tree, fence.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        wrong += [f"{fence.name}: {name}" for name in names(fence, tree) if not there(name)]
    assert not wrong, "\n".join(wrong)


def names(fence: Fence, tree: ast.Module) -> Iterator[str]:
    """What is imported, and what is asked of the module `triton`, as dotted names."""
    # A page of clients calls one of these `triton`.
    is_module = "as triton" not in fence.page.read_text()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "outbox":
                yield f"triton.outbox.{node.attr}"
            elif node.value.id == "triton" and is_module:
                yield f"triton.{node.attr}"


def there(name: str) -> bool:
    """Whether it can be imported; what the reader brings (an application, Celery) is not looked for."""
    top = name.partition(".")[0]
    if top in OF_READERS or importlib.util.find_spec(top) is None:
        return top in OF_READERS
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        return bool(module) and hasattr(importlib.import_module(module), attribute)
    return True


#: Modules of the reader's own, and libraries that Triton does not bring.
OF_READERS = frozenset(
    {"actors", "answers", "app", "celery", "hello", "httpx_sse", "orders", "shop"}
)


def test_the_blocks_that_are_run_are_found() -> None:
    """A mark that is misspelt would leave a program out without a word."""
    wrong = [
        fence.name for fence in BLOCKS if fence.marks not in ((), ("file",), ("worker",), ("run",))
    ]
    assert not wrong, "\n".join(wrong)
