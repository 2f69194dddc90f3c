"""Dashboards, alerts and runbooks are whole, and ask for nothing that there is not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import FILES, ROOT, asked, dashboards, rules

from triton.api.metrics.catalogue import BY_NAME

RUNBOOKS = ROOT / "docs" / "runbooks"
#: Put on by Prometheus.
ADDED = {"job", "instance", "le"}
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def catalogued(name: str) -> str:
    """The catalogue's name of a series: a histogram has three."""
    return name if name in BY_NAME else re.sub(r"_(bucket|sum|count)\Z", "", name)


def test_alerts_and_dashboards_name_only_metrics_and_labels_that_there_are() -> None:
    found = asked()
    assert len(found) > 100
    wrong = [
        (where, name, sorted(labels))
        for where, name, labels in found
        if name.startswith("triton_")
        and (
            catalogued(name) not in BY_NAME
            or not labels <= {*BY_NAME[catalogued(name)].labels, *ADDED}
        )
    ]
    assert wrong == []


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    """What nobody looks at need not be collected. (Whether a process drains is for who asks by hand.)"""
    unseen = BY_NAME.keys() - {catalogued(one.metric) for one in asked()} - {"triton_draining"}
    assert unseen == set()


def test_dashboards_are_what_their_source_says() -> None:
    run(sys.executable, "tools/dashboards.py", "--check", cwd=ROOT)


def test_dashboards_are_whole() -> None:
    boards = dashboards()
    assert len(boards) >= 5
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    assert len({board["title"] for board in boards.values()}) == len(boards)
    for name, board in boards.items():
        source = board["templating"]["list"][0]
        assert (source["name"], source["type"]) == ("datasource", "datasource"), name
        assert board["description"], name
        panels: list[dict[str, Any]] = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels), name
        places = set()
        for panel in panels:
            where = f"{name}: {panel['title']}"
            assert panel["title"], where
            assert panel["description"].endswith("."), where
            assert panel["fieldConfig"]["defaults"]["unit"], where
            assert panel["datasource"]["uid"] == "${datasource}", where
            assert panel["targets"], where
            place = panel["gridPos"]
            places.add((place["x"], place["y"]))
            assert place["x"] + place["w"] <= 24, where
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "${datasource}", where
                # What all processes say alike must not be shown once for each.
                assert not re.match(r"triton_(log|queue|projector|archive)", target["expr"]), where
        assert len(places) == len(panels), name


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    provisioning = FILES / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["type"] == "prometheus"
    provider = yaml.safe_load((provisioning / "dashboards" / "triton.yml").read_text())
    assert provider["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len(rules()) > 20
    for rule in rules():
        name, notes = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["for"], name
        assert notes["summary"] and notes["description"], name
        assert notes["runbook_url"] == f"docs/runbooks/{name}.md", name


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    names = {rule["alert"] for rule in rules()}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == names
    index = (RUNBOOKS / "README.md").read_text()
    for name in names:
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert re.findall(r"^## (.*)$", text, re.M) == [
            "What it means",
            "What users feel",
            "First look",
            "What to do",
            "How to know that it is over",
        ], name
        severities = [rule["labels"]["severity"] for rule in rules() if rule["alert"] == name]
        assert f"| [{name}]({name}.md) | {', '.join(severities)} |" in index


def told(text: str) -> Iterator[str]:
    """Commands in a page: lines of its shell blocks, and what stands in a sentence as `triton ...`."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        yield from (line for line in block.splitlines() if line.strip())
    yield from re.findall(r"`(triton [a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S))


def test_every_command_of_a_runbook_is_one() -> None:
    """An option or a subcommand that there is not fails here, before somebody types it at night."""
    from typer.main import get_command

    from triton.cli.app import app

    root: Any = get_command(app)
    wrong = []
    seen = 0
    for page in sorted(RUNBOOKS.glob("*.md")):
        for line in told(page.read_text()):
            head, *words = shlex.split(line)
            if head == "curl" or words == ["..."]:
                continue
            command = root
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            seen += 1
            try:
                # As the command line does, without running it.
                command.make_context("triton", words)
            except Exception as error:
                wrong.append(f"{page.name}: {line}: {error!r}")
            if head != "triton" or command is root:
                wrong.append(f"{page.name}: {line}: is no command of Triton")
    assert wrong == []
    assert seen > 60


def test_what_a_runbook_looks_for_in_a_log_is_written_there() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "triton").rglob("*.py"))
    wrong = [
        f"{page.name}: {word}"
        for page in RUNBOOKS.glob("*.md")
        for word in re.findall(r"`((?:projector\.|archiver\.|feed_)\w+)`", page.read_text())
        if f'"{word}"' not in source and f'word}}.{word.partition(".")[2]}"' not in source
    ]
    assert wrong == []


@promtool
def test_prometheus_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    copy = shutil.copytree(FILES / "prometheus", tmp_path / "prometheus", dirs_exist_ok=True)
    # The key is not in the repository.
    (copy / "secrets").mkdir(exist_ok=True)
    (copy / "secrets" / "triton-metrics-key").write_text("key")
    run("promtool", "check", "rules", "rules/triton.yml", cwd=copy)
    run("promtool", "check", "config", "prometheus.yml", cwd=copy)


@promtool
def test_prometheus_can_read_every_question_of_the_dashboards(tmp_path: Path) -> None:
    """Grafana would show the error, but only to who looks."""
    asked_for = [
        re.sub(r"\$(queue|tenant)", ".*", target["expr"].replace("$__rate_interval", "5m"))
        for board in dashboards().values()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    rules = [{"record": f"asked:{n}", "expr": expr} for n, expr in enumerate(asked_for)]
    groups = {"groups": [{"name": "asked", "rules": rules}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(groups))
    run("promtool", "check", "rules", "rules.yml", cwd=tmp_path)


@promtool
def test_alerts_fire_when_they_should_and_not_when_they_should_not() -> None:
    run("promtool", "test", "rules", "tests/triton.yml", cwd=FILES / "prometheus")


def test_every_alert_is_tried_both_ways() -> None:
    """Of each severity of each alert there is a time at which it fires, and of each alert one at which it
    does not."""
    tried = (FILES / "prometheus" / "tests" / "triton.yml").read_text()
    found: set[tuple[str, str]] = set()
    for test in yaml.safe_load(tried)["tests"]:
        for one in test["promql_expr_test"]:
            (alert,) = re.findall(r'alertname="(\w+)"', one["expr"])
            fired = re.findall(r'severity="(\w+)"', str(one["exp_samples"]))
            found |= {(alert, severity) for severity in fired or ["none"]}
    wanted = {(rule["alert"], rule["labels"]["severity"]) for rule in rules()}
    assert found == wanted | {(alert, "none") for alert, _ in wanted}
