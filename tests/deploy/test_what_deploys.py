"""The image, the example of settings, the scripts and the workflow, each against what it is about."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from deploy_files import ROOT, SETTINGS, refuse_wrong_command

from triton import settings
from triton.settings import Settings


def test_the_example_has_every_setting_with_its_default() -> None:
    """Whoever removes the # of every line gets what counts without any."""
    text = (ROOT / ".env.example").read_text()
    lines = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    given = {name: value for name, value in lines.items() if name in SETTINGS}

    assert given.keys() == SETTINGS
    assert settings.load(given) == Settings()


def test_the_example_asks_for_every_secret_and_holds_none() -> None:
    text = (ROOT / ".env.example").read_text()
    open_ = re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)
    required = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text()))

    assert {name for name, _ in open_} == required
    assert {value for _, value in open_} == {""}


def test_the_image_gets_every_file_that_the_wheel_is_made_of() -> None:
    """A folder that hatch puts into the wheel and the Dockerfile leaves out ends the build."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
        for word in line.split()[:-1]
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {source.split("/")[0] for source in (*wheel["packages"], *wheel["force-include"])}
    needed |= {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    needed |= set(project["project"]["license-files"])

    assert copied == needed
    assert {f"!{name}" for name in copied} <= set(ignored)
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    after = lines[lines.index("USER 10001:10001") :]

    assert not [line for line in after if line.startswith(("RUN", "COPY", "USER root"))]
    assert 'ENTRYPOINT ["tini", "--", "triton"]' in after
    refuse_wrong_command(["api", "--host", "0.0.0.0"])


@pytest.fixture(scope="module")
def workflow() -> dict[str, object]:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    found: dict[str, object] = yaml.load(text, Loader=yaml.BaseLoader)
    return found


def steps(workflow: dict[str, object]) -> list[str]:
    jobs = yaml.safe_load(yaml.dump(workflow["jobs"])).values()
    return [
        line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()
    ]


def test_the_workflow_may_read_only_and_pins_its_actions(workflow: dict[str, object]) -> None:
    used = re.findall(r"uses: (\S+)", (ROOT / ".github" / "workflows" / "ci.yml").read_text())

    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in used)


def test_the_workflow_runs_what_exists(workflow: dict[str, object]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    seen = set()
    for line in steps(workflow):
        words = shlex.split(line)
        match words:
            case ["make", target]:
                assert target in targets
                seen.add(target)
            case ["triton", *rest]:
                refuse_wrong_command(rest)
                seen.add(" ".join(rest[:2]))
            case [script, *_] if script.startswith("scripts/"):
                assert os.access(ROOT / script, os.X_OK), script

    assert {"lint", "coverage", "migrate up", "migrate down", "migrate status"} <= seen


def script(name: str, *words: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / name, *words],
        env={**os.environ, "TRITON_DATA": str(data)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_reset_removes_no_folder_that_is_not_of_triton(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    done = script("reset.sh", "--yes", data=tmp_path)

    assert done.returncode == 2
    assert "no data folder of Triton" in done.stderr
    assert (tmp_path / "letter.txt").exists()


def test_reset_asks_first(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "logs").mkdir()

    done = script("reset.sh", data=tmp_path)

    assert done.returncode == 2
    assert "say --yes" in done.stderr
    assert (tmp_path / "lock").exists()


def test_reset_removes_the_data_of_a_stack_that_does_not_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "logs").mkdir(parents=True)
    (data / "lock").touch()

    done = script("reset.sh", "--yes", data=data)

    assert done.returncode == 0, done.stderr
    assert not data.exists()


def test_start_makes_secrets_once_and_starts_what_was_asked_for(tmp_path: Path) -> None:
    """In a copy of what it needs, with a docker that only says how it was called."""
    home, tools = tmp_path / "home", tmp_path / "tools"
    shutil.copytree(ROOT / "scripts", home / "scripts")
    shutil.copy(ROOT / ".env.example", home)
    tools.mkdir()
    (tools / "docker").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    (tools / "docker").chmod(0o755)
    path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    seen = set()
    for words in ([], ["--prod"], ["--dev", "--observability"]):
        argv = [home / "scripts" / "start.sh", "--compose", *words]
        subprocess.run(argv, env=path, check=True, capture_output=True)
        made = (home / ".env").read_text()
        seen.add(made)

    assert len(seen) == 1, "it is made once, and kept"
    secrets = dict(re.findall(r"^([A-Z_]+)=(.*)$", made, re.MULTILINE))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text()))
    assert secrets.keys() == required
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    assert (home / ".env").stat().st_mode & 0o077 == 0
    assert (tmp_path / "called").read_text().splitlines() == [
        "compose -f compose.yaml up --detach --wait --build",
        "compose -f compose.yaml -f compose.prod.yaml up --detach --wait --no-build",
        "compose -f compose.yaml -f compose.dev.yaml --profile observability up --detach --wait --build",
    ]
