"""The API against its own OpenAPI document: whatever schemathesis makes up, no answer is a 500, and every
answer is one that the document knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from alike import ALIKE
from live_api import LiveApi

#: Cases that are made up for each operation, besides those at the bounds of what the document allows;
#: `make contract` asks for more, from another seed each time.
FEW: Final = "3"
CASES: Final = os.environ.get("TRITON_CONTRACT_CASES", FEW)
SEED: Final = os.environ.get("TRITON_CONTRACT_SEED", "20261121")
#: What is left out, and why:
#: - The stream of queues has no other form and never ends: tests/api/test_queues.py follows it. Of jobs that
#:   never were a stream is a 404, so that route is tried; of many jobs the form in JSON is.
#: - A proof waits for the archiver's next signed head, and none runs here: tests/audit has them.
#: - That what fits the document is accepted: it cannot say that a `next` comes from a page before, that an id
#:   is of a record that is there, or a key from the same call.
OPTIONS: Final = """
[[operations]]
include-path = ["/api/v1/queues/subscribe"]
enabled = false

[[operations]]
include-path = ["/api/v1/events/subscribe"]
headers = { Accept = "application/json" }
parameters = { wait_ms = 0 }

[[operations]]
include-path = ["/api/v1/audit/export"]
parameters = { proofs = false }

[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
# A list that is too long may be a body that is too large, a text that is too long a request line.
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 428, 431]

[checks.missing_required_header]
# What RFC 6585 has for a missing If-Match.
expected-statuses = [400, 401, 403, 415, 422, 428]
"""


@pytest.mark.timeout(400 if CASES == FEW else 3600)
def test_every_answer_is_one_that_the_document_knows(api: LiveApi, tmp_path: Path) -> None:
    options = tmp_path / "schemathesis.toml"
    options.write_text(OPTIONS)
    # Who asks is off here; tests/identity walks every route with every role.
    document = api.http.get("/openapi.json").json()
    document.pop("security", None)
    document["components"].pop("securitySchemes", None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(options), "run"]
    command += [str(tmp_path / "openapi.json"), "--url", api.url]
    # A few cases made at random find nothing that the bounds do not, and cost as much as those.
    command += ["--phases", "examples,coverage" if CASES == FEW else "examples,coverage,fuzzing"]
    command += ["--no-color"]
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
