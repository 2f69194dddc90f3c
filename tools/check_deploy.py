"""Has what deploys Triton judged by the tools that can do so offline: each finding on stderr, and exit 1.

python tools/check_deploy.py

Compose files and the workflow against their JSON schemas, manifests against Kubernetes' own, those for KEDA
and the Prometheus Operator against ours; YAML, shell, Dockerfile and workflow by their linters. Overlays are
put together where there is a kubectl; else their parts are looked at one by one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MANIFESTS = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("dev", "production")
#: Of Kubernetes; what is older than that has all that we use, too.
KUBERNETES = "1.31"
#: What is no manifest by itself.
PARTS = ("kustomization.yaml", "resources.yaml")
SECONDS = 60


class Check(NamedTuple):
    name: str
    argv: tuple[str, ...]


def checks(scratch: Path) -> Iterator[Check]:
    """What is to be run; overlays are put together in `scratch`."""
    schema = (tool("check-jsonschema"), "--color", "never")
    compose = sorted(map(str, ROOT.glob("compose*.yaml")))
    workflows = sorted(map(str, ROOT.glob(".github/workflows/*.yml")))
    scripts = sorted(map(str, ROOT.glob("scripts/*.sh")))
    yield Check("compose", (*schema, "--builtin-schema", "vendor.compose-spec", *compose))
    yield Check("workflow", (*schema, "--builtin-schema", "vendor.github-workflows", *workflows))
    yield Check("zizmor", (tool("zizmor"), "--offline", "--no-progress", "--quiet", *workflows))
    if actionlint := shutil.which("actionlint"):
        yield Check("actionlint", (actionlint, "-no-color", *workflows))
    yield Check("shellcheck", (tool("shellcheck"), "--external-sources", *scripts))
    yield Check("hadolint", (tool("hadolint"), "--no-color", str(ROOT / "Dockerfile")))
    yaml = [*compose, *workflows, str(ROOT / "deploy")]
    yield Check("yamllint", (tool("yamllint"), "--strict", "--format", "parsable", *yaml))
    for kind, file in (
        ("scaledobject", "keda/scaled-object"),
        ("podmonitor", "monitoring/pod-monitor"),
    ):
        against = str(MANIFESTS / "schemas" / f"{kind}.json")
        yield Check(
            kind, (*schema, "--schemafile", against, str(MANIFESTS / "components" / f"{file}.yaml"))
        )
    if promtool := shutil.which("promtool"):
        watched = ROOT / "deploy" / "observability" / "prometheus"
        config = str(watched / "prometheus.yml")
        yield Check("prometheus", (promtool, "check", "config", "--syntax-only", config))
        rules = sorted(map(str, watched.glob("tests/*.yml")))
        yield Check("alerts", (promtool, "test", "rules", *rules))
    validate = (tool("kubernetes-validate"), "--strict", "--quiet", "-k", KUBERNETES)
    yield Check("kubernetes", (*validate, *manifests(scratch)))


def manifests(scratch: Path) -> list[str]:
    """Every file that is whole by itself, and the overlays where a kubectl puts them together."""
    files = [
        path
        for path in MANIFESTS.rglob("*.yaml")
        if path.name not in PARTS and path.name not in ("scaled-object.yaml", "pod-monitor.yaml")
    ]
    if kubectl := kustomizing():
        for name in OVERLAYS:
            argv = [kubectl, "kustomize", str(MANIFESTS / "overlays" / name)]
            done = subprocess.run(argv, capture_output=True, check=False, timeout=SECONDS)
            if done.returncode:
                raise SystemExit(f"overlay {name}: {done.stderr.decode()}")
            (scratch / f"{name}.yaml").write_bytes(done.stdout)
            files.append(scratch / f"{name}.yaml")
    return sorted(map(str, files))


def kustomizing() -> str:
    """The kubectl, where there is one that knows components; old ones bring a Kustomize of 2019."""
    kubectl = shutil.which("kubectl") or ""
    if kubectl:
        argv = [kubectl, "version", "--client"]
        said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
        return kubectl if re.search(r"Kustomize Version: v[5-9]", said.stdout) else ""
    return ""


def tool(name: str) -> str:
    """Where the command is: in the environment of this Python, or on the path."""
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed: make setup")
    return found


def run(check: Check) -> str:
    """What it found; empty where all is well."""
    done = subprocess.run(
        check.argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    return "" if done.returncode == 0 else f"{check.name}:\n{done.stdout}{done.stderr}"


def main() -> int:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        asked = list(checks(Path(scratch)))
        findings = [found for found in pool.map(run, asked) if found]
    sys.stderr.write("".join(findings))
    took = time.monotonic() - begun
    sys.stdout.write(f"{len(asked)} checks of what deploys Triton, {took:.1f} s\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
