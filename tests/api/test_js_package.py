"""The JavaScript client as the package that npm would publish: content, types, hooks with real React."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from live_api import Hand, LiveApi
from npm import node_modules

import triton
from eventually import eventually
from triton.api.routes.clients import folder

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm"),
    pytest.mark.timeout(240),
]
HERE = Path(__file__).parent / "js"
#: What the guide for React has its reader write.
BLOCK = re.compile(r"^```tsx compiled\n// ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGES = ("react@19", "react-dom@19", "@types/react@19", "jsdom@24", "typescript@5")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The tarball, and the names in it."""
    where = tmp_path_factory.mktemp("packed")
    told = subprocess.run(
        ["npm", "pack", "--json", "--silent", "--pack-destination", str(where), str(folder())],
        capture_output=True,
        check=True,
        timeout=60,
        cwd=where,
    ).stdout
    (found,) = json.loads(told)
    return where / found["filename"], sorted(file["path"] for file in found["files"])


@pytest.fixture(scope="module")
def installed(packed: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody who installed it."""
    found = node_modules(tmp_path_factory.mktemp("project"), str(packed[0]), *PACKAGES)
    if found is None:
        pytest.skip("npm has no registry that answers")
    return found


def test_the_package_holds_what_it_names(packed: tuple[Path, list[str]]) -> None:
    package = json.loads((folder() / "package.json").read_text())
    files = ["react.d.ts", "react.js", "triton.d.ts", "triton.js"]
    assert packed[1] == sorted([*files, "LICENSE", "README.md", "package.json"])
    assert (package["version"], package["license"]) == (triton.__version__, "Apache-2.0")
    assert "dependencies" not in package
    named = {
        path
        for each in package["exports"].values()
        if isinstance(each, dict)
        for path in each.values()
    }
    assert {path.removeprefix("./") for path in named} == set(files)


@pytest.mark.parametrize("name", ["triton", "react"])
def test_the_types_name_what_there_is(name: str) -> None:
    code = (folder() / f"{name}.js").read_text()
    types = (folder() / f"{name}.d.ts").read_text()
    made = re.findall(r"^export (?:async )?(?:function\*?|class) (\w+)", code, re.M)
    assert set(made) == set(re.findall(r"^export (?:function|class) (\w+)", types, re.M))


def test_a_strict_typescript_program_compiles(installed: Path) -> None:
    (installed / "package.json").write_text('{"type": "module"}')
    for name in ("usage.ts", "usage.tsx"):
        shutil.copy(HERE / name, installed / f"a.{name}")
    guide = dict(BLOCK.findall((HERE.parents[2] / "docs/guides/react.md").read_text()))
    for name, text in guide.items():
        (installed / name).write_text(text)
    told = subprocess.run(
        [
            installed / "node_modules/.bin/tsc",
            *("--strict", "--noEmit", "--jsx", "react-jsx", "--lib", "es2022,dom"),
            *("--module", "nodenext", "--target", "es2022", "--skipLibCheck", "false"),
            *("a.usage.ts", "a.usage.tsx", *guide),
        ],
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert told.returncode == 0, told.stdout


def test_hooks_in_real_react(installed: Path, api: LiveApi, hand: Hand) -> None:
    job = hand.submit()
    hand.start(job)
    page = subprocess.Popen(
        ["node", HERE / "react.mjs", installed, api.url, job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert page.stdout is not None
    assert page.stdin is not None

    def until(**wanted: Any) -> list[dict[str, Any]]:
        assert page.stdout is not None
        seen = []
        for line in page.stdout:
            seen.append(json.loads(line))
            if wanted.items() <= seen[-1].items():
                return seen
        raise AssertionError(f"no {wanted} in {seen}")

    late = threading.Timer(100, page.kill)
    late.start()
    try:
        first = until(state="live", many="live", job={"state": "processing", "percent": 0})
        assert first[0] == {"server": "<p>nothing yet</p>"}, "nothing runs on a server"
        # StrictMode mounts twice: the first two streams are gone.
        eventually(lambda: api.services.hub.open_streams == 2)
        hand.progress(job, 40)
        until(job={"state": "processing", "percent": 40})
        hand.complete(job)
        until(state="ended", job={"state": "completed", "percent": 100})
        page.stdin.write("leave\n")
        page.stdin.flush()
        last = until(left="")[-1]
        assert last["seen"] == [3, 4]
        eventually(lambda: api.services.hub.open_streams == 0)
        page.stdin.close()
        assert page.wait(timeout=60) == 0, "something keeps the process alive"
    finally:
        late.cancel()
        page.kill()
        page.wait()
