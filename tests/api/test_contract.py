"""The API against its own OpenAPI document: whatever schemathesis makes up, no answer is a 500, and every
answer is one that the document knows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
from alike import ALIKE
from live_api import LiveApi

from triton.archiving.running import run_archiver

#: Cases that are made up for each operation, besides those at the bounds of what the document allows;
#: `make contract` asks for more, from another seed each time.
FEW: Final = "3"
CASES: Final = os.environ.get("TRITON_CONTRACT_CASES", FEW)
SEED: Final = os.environ.get("TRITON_CONTRACT_SEED", "20261121")
#: What is left out, and why:
#: - Streams that never end: of queues and of many jobs the form in JSON is tried. Of jobs that never were a
#:   stream is a 404.
#: - A proof costs milliseconds, and this run writes thousands of events: those of one type are taken out, of
#:   which there are few.
#: - That what fits the document is accepted: it cannot say that a `next` comes from a page before, that an id
#:   is of a record that is there, or a key from the same call.
OPTIONS: Final = """
[[operations]]
include-path = ["/api/v1/queues/subscribe"]
headers = { Accept = "application/json" }

[[operations]]
include-path = ["/api/v1/audit/export"]
parameters = { type = "quota.set" }

[[operations]]
include-path = ["/api/v1/events/subscribe"]
headers = { Accept = "application/json" }
parameters = { wait_ms = 0 }

# It asks every engine, each with a deadline of its own: on a busy machine that adds up.
[[operations]]
include-path = ["/metrics"]
request-timeout = 30

[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
# A list that is too long may be a body that is too large, a text that is too long a request line.
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 428, 431]

[checks.missing_required_header]
# What RFC 6585 has for a missing If-Match.
expected-statuses = [400, 401, 403, 415, 422, 428]
"""
#: What `make contract` tries on all routes and the short form on some: how a method that a path does not have
#: is refused is the framework's, and bodies of one kind are judged by the same lines wherever they are sent.
FEWER: Final = """
[phases.coverage]
unexpected-methods = ["PATCH", "TRACE"]

[[operations]]
include-name = [
    "POST /api/v1/jobs/bulk",
    "POST /api/v1/jobs/cancel",
    "PUT /api/v1/clients/{record}",
    "PUT /api/v1/prompts/{record}",
    "PUT /api/v1/webhook-sources/{record}",
]
phases.coverage.generation.mode = "positive"
"""
#: `python -m schemathesis.cli`, that looks for garbage seldom: it takes a sixth less time.
SCHEMATHESIS: Final = """
import gc
gc.set_threshold(100_000)
from schemathesis.cli import schemathesis
schemathesis()
"""


@pytest.fixture
def archiver(api: LiveApi) -> Iterator[None]:
    """Signs heads, for which proofs wait."""

    async def run() -> None:
        nonlocal told
        stop = asyncio.Event()
        loop, told = asyncio.get_running_loop(), lambda: loop.call_soon_threadsafe(stop.set)
        started.set()
        await run_archiver(msgspec.structs.replace(api.settings, head_ms=200), stop)

    told: Callable[[], object] = bool
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait()
    yield
    told()
    thread.join()


@pytest.mark.timeout(400 if CASES == FEW else 3600)
def test_every_answer_is_one_that_the_document_knows(
    api: LiveApi, archiver: None, tmp_path: Path
) -> None:
    options = tmp_path / "schemathesis.toml"
    options.write_text(OPTIONS + FEWER if CASES == FEW else OPTIONS)
    assert api.http.put("/api/v1/quotas?tenant=proved", json={}).status_code == 200
    # Who asks is off here; tests/identity walks every route with every role.
    document = api.http.get("/openapi.json").json()
    document.pop("security", None)
    document["components"].pop("securitySchemes", None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-c", SCHEMATHESIS, "--config-file", str(options), "run"]
    command += [str(tmp_path / "openapi.json"), "--url", api.url]
    # A few cases made at random find nothing that the bounds do not, and cost as much as those.
    command += ["--phases", "examples,coverage" if CASES == FEW else "examples,coverage,fuzzing"]
    command += ["--no-color"]
    # On a busy machine making up data is slow, too.
    command += ["--suppress-health-check", "too_slow"]
    command += [
        "--max-examples",
        CASES,
        "--seed",
        SEED,
        "--continue-on-failure",
        # Some cases follow a stream that goes on: so long, each of them.
        "--request-timeout",
        "8",
    ]
    if CASES == FEW:
        command += ["--exclude-path-regex", ALIKE]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    generated = re.search(r"(\d+) generated, \1 passed", ran.stdout)
    assert generated, ran.stdout
    assert int(generated[1]) > 1000, "the document lost its routes"
