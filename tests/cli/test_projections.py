"""`triton projections` on a stack that works: the live projector, jobs and the API go on throughout."""

from __future__ import annotations

import pytest
from command_line import Commands

from eventually import eventually


@pytest.mark.parametrize("name", ["postgres", "clickhouse"])
def test_a_rebuild_from_its_plan_to_its_end(commands: Commands, name: str) -> None:
    for _ in range(3):
        commands.ended("cli.count", "--args", "[1]")
    plan = commands.json("projections", "plan", name)
    assert plan["events"] >= 9
    assert plan["obstacles"] == []
    commands.run("projections", "cutover", name, "--yes", status=1)
    assert "say --yes" in commands.run("projections", "cutover", name, status=2).stderr

    assert commands.json("projections", "rebuild", name)["state"] == "ready"
    job = commands.ended("cli.count", "--args", "[1]")
    found = commands.json("projections", "diff", name)
    assert found["ok"]
    assert found["differences"] == []
    assert "ready" in commands.run("projections", "status", name).stdout
    commands.run("projections", "cutover", name, "--yes")

    def goes_on() -> bool:
        return bool(commands.json("verify")["ok"])

    later = commands.ended("cli.count", "--args", "[1]")
    for one in (job, later):
        assert "completed" in commands.run("events", one).stdout
    assert eventually(goes_on)
    commands.run("projections", "rollback", name, "--yes")
    commands.ended("cli.count", "--args", "[1]")
    assert eventually(goes_on)
    commands.run("projections", "cutover", name, "--yes")
    assert "dropped" in commands.run("projections", "finalize", name, "--yes").stdout
    (status,) = commands.json("projections", "status", name)["projections"]
    assert status["state"] is None
    commands.run("projections", "rebuild", "nothing", status=2)
