"""compose.yaml against the program that it starts: roles, settings, commands, folders, memory, ends."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from deploy_files import ROOT, SETTINGS, compose, interpolated, refuse_wrong_command, variables

from triton import settings
from triton.broker import drain
from triton.settings import Settings
from triton.stack.up import Stack
from whole_api import whole_api

#: What the image has for every role.
PROBE = ["python", "-m", "triton.health"]
UNITS = {"m": 2**20, "g": 2**30}
SECRET = re.compile("PASSWORD|SECRET|TOKEN|KEY$")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


@pytest.fixture(scope="module")
def roles(services: dict[str, Any]) -> dict[str, Any]:
    """The services that run Triton's own image."""
    return {name: one for name, one in services.items() if "build" in one}


def test_every_role_of_triton_up_is_there(tmp_path: Path, roles: dict[str, Any]) -> None:
    """A role that the supervisor learns to run must not be missing in containers."""
    stack = Stack(Settings(data=str(tmp_path), outbox_url="postgresql://x/y"))

    run = {spec.name for spec in stack.roles(listener=3)}

    assert run | {"migrate"} == roles.keys()


def test_commands_exist_with_their_options(roles: dict[str, Any]) -> None:
    for one in roles.values():
        refuse_wrong_command([str(word) for word in one["command"]])


def test_reloading_commands_exist_too(roles: dict[str, Any]) -> None:
    override = compose("dev")["services"]
    lines = {name: one["command"][0] for name, one in override.items() if "command" in one}

    assert lines.keys() == roles.keys() - {"migrate"}
    for line in lines.values():
        refuse_wrong_command(line.split()[1:])


@pytest.mark.parametrize("file", [(), ("dev",), ("prod",), ("backup",)])
def test_settings_exist_and_their_values_are_taken(file: tuple[str, ...]) -> None:
    """A name or a value that settings.py does not know would only be found when the container starts."""
    for one in compose(*file)["services"].values():
        given = {
            name: interpolated(value)
            for name, value in one.get("environment", {}).items()
            if name.startswith(settings.PREFIX)
        }
        assert given.keys() <= SETTINGS
        settings.load(given)


def test_no_secret_has_a_default() -> None:
    for name, how, default in variables():
        if SECRET.search(name):
            assert how == "?", f"{name} has the default {default!r}"


def test_all_limits_of_memory_are_below_four_gigabytes(services: dict[str, Any]) -> None:
    """With every profile, and with the migration that has ended when the others run."""
    limits = {
        name: one["deploy"]["resources"]["limits"]["memory"] for name, one in services.items()
    }

    assert sum(int(size[:-1]) * UNITS[size[-1]] for size in limits.values()) < 4e9


def test_ports_are_open_on_this_machine_only() -> None:
    for file in ((), ("dev",), ("prod",)):
        for name, one in compose(*file)["services"].items():
            for port in one.get("ports", ()):
                assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_every_service_has_health_and_a_time_to_end(services: dict[str, Any]) -> None:
    """Only what ends by itself has no health check."""
    for name, one in services.items():
        if name == "migrate":
            assert one["healthcheck"] == {"disable": True}
        else:
            assert one["healthcheck"]["start_period"]
            assert one["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert name == "migrate" or one["stop_grace_period"]
        assert one["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_a_worker_gets_longer_to_end_than_it_needs(services: dict[str, Any]) -> None:
    needed = Settings().drain_ms / 1000 + drain._BEYOND

    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > needed


def test_health_checks_ask_for_routes_that_exist(services: dict[str, Any]) -> None:
    routes = whole_api().openapi()["paths"]
    (asked,) = re.findall(r"127\.0\.0\.1:8000(/[a-z/]*)", str(services["api"]))

    assert asked in routes


def test_roles_without_a_port_are_asked_for_their_signs_of_life(roles: dict[str, Any]) -> None:
    """They leave them where the image says so, in a folder that is there and that no volume shares."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in roles.keys() - {"api", "migrate"}:
        assert roles[name]["healthcheck"]["test"] == ["CMD", *PROBE], name
        assert "TRITON_HEALTH" not in roles[name]["environment"]
    assert f"CMD {json.dumps(PROBE)}" in dockerfile
    assert "TRITON_HEALTH=/dev/shm/" in dockerfile
    assert find_spec(PROBE[-1]) is not None


def test_folders_in_settings_are_volumes_of_the_role(roles: dict[str, Any]) -> None:
    """What a role writes must not lie in the container: its file system is read-only, and gone with it."""
    writes = {
        "api": ("TRITON_DATA", "TRITON_TENANT_KEYS", "TRITON_SUBJECT_KEYS"),
        "worker": ("TRITON_TENANT_KEYS", "TRITON_SUBJECT_KEYS"),
        "archiver": ("TRITON_DATA",),
        "relay": ("TRITON_SUBJECT_KEYS",),
    }
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name, folders in writes.items():
        mounted = {volume.split(":")[1] for volume in roles[name]["volumes"]}
        for setting in folders:
            path = Path(urlsplit(roles[name]["environment"][setting]).path)
            assert {str(path), str(path.parent)} & mounted, f"{name}: {setting}"
        for path in mounted - {"/tmp"}:
            assert path in dockerfile, f"the image has no {path} that its user may write"


def test_what_is_named_is_declared(services: dict[str, Any]) -> None:
    """Volumes, networks, secrets and dependencies; files of ours that are mounted are in the checkout."""
    whole = compose()
    for name, one in services.items():
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in whole["volumes"] or (ROOT / source).exists(), f"{name}: {volume}"
        assert set(one["networks"]) <= whole["networks"].keys()
        assert {secret["source"] for secret in one.get("secrets", ())} <= whole["secrets"].keys()
        assert one.get("depends_on", {}).keys() <= services.keys()


def test_a_backup_finds_engines_and_keys_where_the_roles_have_them(
    services: dict[str, Any],
) -> None:
    """A volume or a URL that moved would be missing in every backup from then on."""
    backup = compose("backup")["services"]["backup"]
    api, archiver = services["api"], services["archiver"]
    tokens = Path(urlsplit(backup["environment"]["TRITON_TOKEN_KEYS"]).path)
    mounted = {*api["volumes"], *archiver["volumes"]} - {"uploads:/tmp"}

    refuse_wrong_command(["backup", "create", "/backups/x"])
    assert "${BACKUPS:-./backups}:/backups" in backup["volumes"]
    assert mounted < set(backup["volumes"])
    assert backup["environment"]["TRITON_DATA"] == archiver["environment"]["TRITON_DATA"]
    assert tokens == Path(api["environment"]["TRITON_DATA"]) / "token-keys"
    for name, value in api["environment"].items():
        if name.endswith(("_URL", "_ID", "_ACCESS_KEY", "TENANT_KEYS", "SUBJECT_KEYS")):
            assert backup["environment"][name] == value


def test_a_backup_starts_no_engine_anew() -> None:
    """`run` makes what a service depends on as the files at hand say: a server's, small again."""
    assert "depends_on" not in compose("backup")["services"]["backup"]


def test_clickhouse_is_well_only_where_others_reach_it(services: dict[str, Any]) -> None:
    """Its image makes the database with a server on 127.0.0.1, and migrate would find nobody."""
    check = " ".join(services["clickhouse"]["healthcheck"]["test"])
    assert "//clickhouse:8123/" in check


def test_engines_are_out_of_reach_and_the_roles_wait_for_them(roles: dict[str, Any]) -> None:
    whole = compose()
    assert whole["networks"]["engines"] == {"internal": True}
    for name, one in roles.items():
        ready = {
            on for on, how in one["depends_on"].items() if how["condition"] != "service_started"
        }
        wanted = {"postgres", "clickhouse"}
        if name != "migrate":
            wanted |= {"valkey", "object-store", "migrate"}
        assert ready == wanted, name


def test_the_log_is_kept_and_never_evicted(services: dict[str, Any]) -> None:
    for valkey in (services["valkey"], compose("prod")["services"]["valkey"]):
        line = " ".join(valkey["command"])
        assert "--appendonly yes" in line
        assert "--maxmemory-policy noeviction" in line


def test_prometheus_and_grafana_find_what_is_mounted(services: dict[str, Any]) -> None:
    """The folders and addresses that their own files name."""
    watched = ROOT / "deploy" / "observability"
    provisioning = watched / "grafana" / "provisioning"
    boards = yaml.safe_load((provisioning / "dashboards" / "triton.yml").read_text())
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    config = yaml.safe_load((watched / "prometheus" / "prometheus.yml").read_text())
    (scraped,) = config["scrape_configs"]
    (names,) = scraped["dns_sd_configs"]
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    key = f"/etc/prometheus/{scraped['authorization']['credentials_file']}"

    assert {one["options"]["path"] for one in boards["providers"]} <= mounted
    assert {one["url"] for one in sources["datasources"]} == {"http://prometheus:9090"}
    assert services["prometheus"]["secrets"][0]["target"] == key
    assert set(names["names"]) <= services.keys()
    assert names["port"] == 8000
