"""The manifests against the program that they run: settings, commands, probes, secrets, rights, ends."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from deploy_files import MANIFESTS, ROOT, SETTINGS, documents, refuse_wrong_command, workloads

from triton import settings
from triton.backup import keyfiles
from triton.broker import drain
from triton.domain.key_ring import RingFile
from triton.evidence.signing import file_signer
from triton.identity import token_keys
from triton.settings import PREFIX, Settings
from whole_api import whole_api

ENGINES = {"valkey", "postgres", "clickhouse", "object-store"}


@pytest.fixture(scope="module")
def pods() -> dict[str, Any]:
    return workloads()


@pytest.fixture(scope="module")
def given() -> dict[str, str]:
    """The settings of base/settings.env."""
    lines = (MANIFESTS / "base" / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def secrets() -> dict[str, dict[str, str]]:
    """Name -> content of every secret, as scripts/kubernetes-secrets.sh makes them."""
    script = ROOT / "scripts" / "kubernetes-secrets.sh"
    made = subprocess.run([script, "somewhere"], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(made.stdout))
    assert {one["metadata"]["namespace"] for one in found} == {"somewhere"}
    return {one["metadata"]["name"]: one["stringData"] for one in found}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container.get("env", ())}


def test_roles_and_engines_are_all_there(pods: dict[str, Any]) -> None:
    roles = {"api", "worker", "projector", "archiver", "relay", "migrate", "backup"}

    assert pods.keys() == {f"triton-{role}" for role in roles} | ENGINES


def test_commands_exist_with_their_options(pods: dict[str, Any]) -> None:
    for name, pod in pods.items():
        if name in ENGINES:
            continue
        args = pod["containers"][0]["args"]
        lines = [line.split() for line in args[0].splitlines() if line.startswith("triton ")]
        assert bool(lines) == (name == "triton-backup")
        for words in [line[1:] for line in lines] or [args]:
            refuse_wrong_command(words)
        for first in pod.get("initContainers", ()):
            refuse_wrong_command(
                re.findall(r"triton ([a-z]+ [a-z]+ --json)", first["args"][0])[0].split()
            )


def test_settings_exist_and_their_values_are_taken(
    pods: dict[str, Any], given: dict[str, str], secrets: dict[str, dict[str, str]]
) -> None:
    """In base, overlays, components, each role's own, and the secret that is an environment."""
    named = {**given, **secrets["triton-engines"]}
    for file in MANIFESTS.rglob("kustomization.yaml"):
        for one in yaml.safe_load(file.read_text()).get("configMapGenerator", ()):
            if one["name"] == "triton-settings":
                named |= dict(line.split("=", 1) for line in one.get("literals", ()))
    for name, pod in pods.items():
        if name not in ENGINES:
            for container in containers(pod):
                named |= variables(container)
    named = {name: value for name, value in named.items() if not name.startswith("AWS_")}
    traces = {name: named.pop(name) for name in [*named] if name.startswith("OTEL_")}

    assert settings.traces_exporter(traces) == "otlp"
    assert named.keys() <= SETTINGS
    settings.load(named)


def test_the_schema_is_waited_for_and_a_newer_one_is_not(
    tmp_path: Path, pods: dict[str, Any]
) -> None:
    """The line of shell itself, over answers of `triton migrate status` as they come."""
    line = pods["triton-worker"]["initContainers"][0]["args"][0].replace("sleep 3", "exit 9")
    program = tmp_path / "triton"

    def ends(answer: str, status: int) -> int:
        program.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
        program.chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["sh", "-c", line], env=path, check=False).returncode

    assert ends('{"migrations":[{"state":"applied"}]}', 0) == 0
    assert ends('{"migrations":[{"state":"applied"},{"state":"pending"}]}', 1) == 9
    assert ends('{"migrations":[{"state":"applied"},{"state":"unknown"}]}', 1) == 0
    assert ends("", 3) == 9, "PostgreSQL is away"


def test_probes_ask_for_routes_at_ports_that_exist(pods: dict[str, Any]) -> None:
    routes = whole_api().openapi()["paths"]
    api = pods["triton-api"]["containers"][0]
    port = api["ports"][0]
    asked = {name: api[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}

    assert {name: one["path"] for name, one in asked.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/health/ready",
    }
    assert {one["path"] for one in asked.values()} <= routes.keys()
    assert {one["port"] for one in asked.values()} == {port["name"]}
    assert str(port["containerPort"]) in api["args"]


def test_roles_without_a_port_say_themselves_that_they_go_on(
    pods: dict[str, Any], given: dict[str, str]
) -> None:
    """An engine that is away ends nobody: alive is less than ready. And they can write where they say it."""
    probe = ["python", "-m", "triton.health"]
    for name in ("triton-worker", "triton-projector", "triton-archiver", "triton-relay"):
        container = pods[name]["containers"][0]
        asked = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
        assert {kind: one["exec"]["command"] for kind, one in asked.items()} == {
            "startup": [*probe, "--alive"],
            "liveness": [*probe, "--alive"],
            "readiness": probe,
        }, name
        # A Python has to start in that time.
        assert min(one["timeoutSeconds"] for one in asked.values()) >= 5
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        assert str(Path(given["TRITON_HEALTH"]).parent) in mounted, name


def test_what_runs_may_do_as_little_as_it_can(pods: dict[str, Any]) -> None:
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        # A service named triton-x would become the variable TRITON_X_PORT.
        assert pod["enableServiceLinks"] is False, name
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert rights["readOnlyRootFilesystem"] or name in ("clickhouse", "object-store")
            if name not in ENGINES:
                # Those that come first, too: Kubernetes gives a read-only root no /tmp by itself.
                assert "/tmp" in {one["mountPath"] for one in container["volumeMounts"]}, name
            assert container["resources"]["limits"]["memory"], name


def test_the_user_is_the_one_of_the_image(pods: dict[str, Any]) -> None:
    user = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert {
        str(pod["securityContext"]["runAsUser"])
        for name, pod in pods.items()
        if name not in ENGINES
    } == set(user)


def test_a_worker_gets_longer_to_end_than_it_needs(
    pods: dict[str, Any], given: dict[str, str]
) -> None:
    needed = int(given["TRITON_DRAIN_MS"]) / 1000 + drain._BEYOND

    assert pods["triton-worker"]["terminationGracePeriodSeconds"] > needed


def test_files_in_settings_are_mounted(pods: dict[str, Any], given: dict[str, str]) -> None:
    reads = {
        "triton-api": ("TRITON_TOKEN_KEYS", "TRITON_TENANT_KEYS", "TRITON_ADMIN_PASSWORD_FILE"),
        "triton-worker": ("TRITON_TENANT_KEYS",),
        "triton-archiver": ("TRITON_SIGNING_KEY",),
        "triton-backup": ("TRITON_SIGNING_KEY", "TRITON_TOKEN_KEYS", "TRITON_TENANT_KEYS"),
    }
    for name, wanted in reads.items():
        container = pods[name]["containers"][0]
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        known = {**given, **variables(container)}
        for setting in wanted:
            path = Path(urlsplit(known[setting]).path)
            assert {str(path), str(path.parent)} & mounted, f"{name}: {setting}"


def test_volumes_and_secrets_are_there(
    pods: dict[str, Any], secrets: dict[str, dict[str, str]]
) -> None:
    """Each mount has its volume; each secret is one that the script makes and the example explains."""
    example = yaml.safe_load_all((MANIFESTS / "secrets.example.yaml").read_text())
    explained = {one["metadata"]["name"]: one["stringData"].keys() for one in example}
    for name, pod in pods.items():
        named = {one["name"] for one in pod.get("volumes", ())} | {"data"}
        for container in containers(pod):
            assert {one["name"] for one in container.get("volumeMounts", ())} <= named, name
    text = "".join(
        file.read_text() for file in MANIFESTS.rglob("*.yaml") if "example" not in file.name
    )
    used = set(re.findall(r"secretName: (triton-[a-z-]+)", text)) - {"triton-tls"}
    used |= set(re.findall(r"secretRef:\s+name: (triton-[a-z-]+)", text))
    keys = set(re.findall(r"secretKeyRef:\s+name: (triton-[a-z-]+)", text))

    assert used <= secrets.keys()
    assert keys <= explained.keys()
    assert secrets.keys() == explained.keys() - {"triton-metrics", "triton-outbox"}
    for name in secrets.keys() - {"triton-token-keys"}:
        assert secrets[name].keys() == explained[name], name


def test_made_secrets_are_what_triton_reads(
    tmp_path: Path, secrets: dict[str, dict[str, str]]
) -> None:
    for name in ("triton-token-keys", "triton-tenant-keys", "triton-signing-key"):
        for file, content in secrets[name].items():
            (tmp_path / file).write_text(content)

    (token,) = token_keys.read(tmp_path)
    ring = RingFile((tmp_path / "tenant-keys.json").as_uri()).read()
    sealed = ring.seal(b"secret", tenant="t", name="n", version=1)
    signer = file_signer("triton", tmp_path / "signing-key.pem")

    assert token.algorithm == "EdDSA"
    assert ring.open(sealed, tenant="t", name="n", version=1) == b"secret"
    assert len(signer.sign(b"head")) == 64
    engines = secrets["triton-engines"]
    passwords = secrets["triton-engine-passwords"]
    assert urlsplit(engines["TRITON_REDIS_URL"]).password == passwords["valkey"]
    assert urlsplit(engines["TRITON_DATABASE_URL"]).password == passwords["postgres"]
    assert urlsplit(engines["TRITON_CLICKHOUSE_URL"]).password == passwords["clickhouse"]


def test_a_backup_takes_each_key_of_a_mounted_secret_once(tmp_path: Path) -> None:
    """Kubernetes mounts links to a folder of links; restored, that folder could not be written."""
    real = tmp_path / "keys" / "..2026_11_21"
    real.mkdir(parents=True)
    (real / "1-00000000.HS256").write_bytes(b"k" * 32)
    (tmp_path / "keys" / "..data").symlink_to("..2026_11_21")
    (tmp_path / "keys" / "1-00000000.HS256").symlink_to("..data/1-00000000.HS256")
    chosen = Settings(data=str(tmp_path), token_keys=(tmp_path / "keys").as_uri())

    keyfiles.write(chosen, tmp_path / "backup")

    kept = tmp_path / "backup" / "keys" / "token-keys"
    assert [path.relative_to(kept).as_posix() for path in kept.rglob("*")] == ["1-00000000.HS256"]


def test_no_secret_is_part_of_what_is_applied() -> None:
    assert not [file for file, one in documents() if one["kind"] == "Secret"]


def test_services_and_policies_find_their_pods(pods: dict[str, Any]) -> None:
    """A selector with a slip selects nothing, and says nothing."""
    found = [one for _, one in documents()]
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in found
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    ]
    wanted = []
    for one in found:
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                wanted.append(spec["selector"])
            case "PodDisruptionBudget" | "PodMonitor":
                wanted.append(spec["selector"]["matchLabels"])
            case "NetworkPolicy":
                wanted.append(spec["podSelector"].get("matchLabels", {}))
    for selector in wanted:
        assert any(selector.items() <= label.items() for label in labels), selector
    named = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in found
        if "scaleTargetRef" in one.get("spec", {})
    }
    assert named == {"triton-api", "triton-worker"} <= pods.keys()


def test_everything_is_denied_that_is_not_named() -> None:
    policies = [one for _, one in documents(MANIFESTS / "base") if one["kind"] == "NetworkPolicy"]
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    assert deny in [one["spec"] for one in policies]


def test_workers_are_scaled_by_a_metric_that_exists(given: dict[str, str]) -> None:
    """And one worker more for as many jobs as one runs at once."""
    path = MANIFESTS / "components" / "keda" / "scaled-object.yaml"
    (trigger,) = yaml.safe_load(path.read_text())["spec"]["triggers"]
    metrics = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    named = re.findall(r"triton_[a-z_]+", trigger["metadata"]["query"])
    at_once = int(given["TRITON_WORKER_PROCESSES"]) * int(given["TRITON_WORKER_THREADS"])

    assert named
    assert all(f"`{name}`" in metrics for name in named)
    assert int(trigger["metadata"]["threshold"]) == at_once


def test_the_ingress_lets_streams_and_documents_through() -> None:
    path = MANIFESTS / "overlays" / "production" / "ingress.yaml"
    ingress = yaml.safe_load(path.read_text())
    said = ingress["metadata"]["annotations"]
    size = said["nginx.ingress.kubernetes.io/proxy-body-size"]

    assert said["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(said["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 15
    assert int(size.removesuffix("m")) * 2**20 > Settings().max_document_bytes
    assert ingress["spec"]["tls"]
    assert PREFIX not in json.dumps(ingress)
