"""The tree shows the data's one way: who may import whom, and who may import a driver."""

from __future__ import annotations

import ast
import graphlib
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "triton"

#: Modules that take clock, ids and randomness as arguments and do no I/O.
PURE = {
    "job",
    "job_view",
    "keys",
    "submit",
    "retry",
    "references",
    "signature",
    "bulk",
    "causes",
    "explain",
    "facts",
    "errors",
    "events.types",
    "events.envelope",
    "events.codec",
    "events.upcasts",
    "events.replies",
    "events.render",
    "events.render_page",
    "events.submission",
    "evidence.tree",
    "evidence.tiles",
    "evidence.notes",
    "evidence.proofs",
    "evidence.lives",
    "evidence.segment",
    "evidence.manifest",
    "evidence.layout",
    "evidence.grown",
    "broker.outcomes",
    "erasure.attempt",
    "erasure.envelopes",
    "erasure.marks",
    "erasure.places",
    "outbox.rows",
    "broker.gather",
    "broker.reports",
    "broker.shares",
    "history.filters",
    "history.blocks",
    "history.segments",
    "feed.admission",
    "client.calls",
    "client.following",
    "client.problems",
    "client.sse",
    "client.targets",
    "client.views",
    "feed.cursor",
    "feed.frames",
    "feed.gzipped",
    "projections.fold",
    "restore.jobs",
    "restore.kept",
    "api.bulk",
    "api.selection",
    "api.dead_letters",
    "api.views",
    "identity.permissions",
    "identity.principal",
    "identity.stream_tokens",
}
IMPURE = {"redis", "psycopg", "clickhouse_connect", "boto3", "socket", "subprocess", "random"}
#: The write side and the read side meet in `events` only.
APART = {
    # What runs in other people's programs knows the wire, and nothing of the platform.
    "client": {"broker", "projections", "feed", "api", "cli", "stack", "events", "history"},
    "broker": {"projections", "feed", "api", "cli"},
    "keeper": {"broker", "projections", "feed", "api", "cli", "stack"},
    "checkpoints": {"broker", "projections", "feed", "api", "cli", "stack", "history"},
    "projections": {"broker", "feed", "api", "cli"},
    "feed": {"broker", "projections", "api", "cli"},
    "history": {"broker", "projections", "feed", "api", "cli", "stack"},
    "events": {"broker", "projections", "feed", "api", "cli", "stack"},
    "audit": {"broker", "feed", "api", "cli", "stack"},
    "extraction": {"broker", "events", "projections", "feed", "api", "cli", "stack", "documents"},
    "erasure": {"broker", "projections", "feed", "api", "cli", "stack"},
    "identity": {"broker", "projections", "feed", "api", "cli"},
    "archive": {"broker", "events", "projections", "feed", "api", "cli", "stack"},
    # What is sealed and signed does not know who reads it; `archiving` puts the archiver together.
    "evidence": {
        "broker",
        "projections",
        "feed",
        "api",
        "cli",
        "stack",
        "history",
        "audit",
        "expiry",
        "restore",
        "archiving",
    },
}
DRIVERS = {
    "redis": {
        "checkpoints",
        "webhooks",
        "quotas",
        "identity",
        "restore",
        "audit",
        "expiry",
        "events",
        "broker",
        "keeper",
        "feed",
        "api",
        "projections",
        "stack",
        "cli",
        "history",
    },
    "psycopg": {
        "archiving",
        "checkpoints",
        "postgres",
        "handlers",
        "webhooks",
        "quotas",
        "restore",
        "expiry",
        "projections",
        "evidence",
        "documents",
        "domain",
        "api",
        "stack",
        "cli",
        "demo",
        "backup",
        "history",
        "migration_targets",
        "outbox",
        "erasure",
        "identity",
        "observe",
    },
    "opentelemetry": {"observe"},
    "clickhouse_connect": {
        "backup",
        "projections",
        "stack",
        "cli",
        "demo",
        "migration_targets",
    },
    "boto3": {"archive", "evidence"},
    "chdb": {"stack"},
}


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def imports(tree: ast.Module, *, types: bool = False) -> set[str]:
    """Full names of what a module imports when it is loaded or later; with `types` also what they need."""
    unseen = (
        set()
        if types
        else {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
    )
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def top(name: str) -> str:
    return name.partition(".")[0]


def test_pure_modules_import_no_driver_and_no_chance() -> None:
    found = modules()
    wrong = {
        name: sorted({top(i) for i in imports(found[name])} & IMPURE)
        for name in PURE
        if {top(i) for i in imports(found[name])} & IMPURE
    }

    assert wrong == {}


def test_packages_that_must_not_know_each_other_do_not() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in imports(tree)
        if imported.startswith("triton.")
        and top(imported.removeprefix("triton.")) in APART.get(top(name), set())
    ]

    assert wrong == []


def test_drivers_are_imported_in_few_named_places() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in imports(tree)
        if top(imported) in DRIVERS and top(name) not in DRIVERS[top(imported)]
    ]

    assert wrong == []


def test_every_module_says_first_what_it_owns() -> None:
    silent = [name for name, tree in modules().items() if not ast.get_docstring(tree)]

    assert silent == []


def test_only_the_settings_read_the_environment() -> None:
    """Elsewhere the environment is only handed on to children."""
    reading = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }

    assert reading <= {
        "settings",
        "worker_role",
        "keeper.parent",
        *(n for n in reading if top(n) in {"stack", "cli"}),
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = modules()
    known = {
        name: {
            imported.removeprefix("triton.")
            for imported in imports(tree, types=True)
            if imported.removeprefix("triton.") in found
        }
        - {name}
        for name, tree in found.items()
        # A package's face only hands names on.
        if not (SOURCE / name.replace(".", "/")).is_dir()
    }

    graphlib.TopologicalSorter(known).prepare()  # raises CycleError, which names the circle


def test_the_log_server_s_clock_is_asked_in_one_place() -> None:
    """A cluster answers TIME for each of its primaries; `server_time` knows."""
    asking = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Await)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "time"
    }

    assert asking == {"events.client"}
