"""What Prometheus reads of a whole stack: everything that alerts and dashboards ask for, and true."""

from __future__ import annotations

import httpx
from command_line import Commands, Up
from prometheus_client.parser import text_string_to_metric_families
from tests.observability.asked import asked

from eventually import eventually

#: What has no series before something happened: nobody was refused, nothing verified, nobody has a quota.
LATER = {
    "triton_quota_limit",
    "triton_quota_streams",
    "triton_quota_refused_total",
    "triton_streams_closed_total",
    "triton_streams_refused_total",
    "triton_failed_jobs",
    "triton_role_errors_total",
}


def test_a_stack_serves_all_that_is_asked_for_and_lets_prometheus_read_it(
    commands: Commands, up: Up
) -> None:
    created = ("keys", "create", "--name", "prometheus", "--role", "auditor")
    key = commands.run(*created, "--scope", "metrics.read").stdout.strip()
    bearer = {"Authorization": f"Bearer {key}"}
    api = up.running().api
    commands.ended("cli.count", "--args", "[2]")
    assert commands.json("verify")["ok"]

    def scraped() -> dict[str, list[tuple[dict[str, str], float]]]:
        answer = httpx.get(f"{api}/metrics", headers=bearer, timeout=30, verify=False)
        assert answer.status_code == 200
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(answer.text):
            for one in family.samples:
                found.setdefault(one.name, []).append((one.labels, one.value))
        return found

    def signed() -> bool:
        """A head covers the whole log."""
        found = scraped()
        ends = [v for _, v in found.get("triton_log_position", [])]
        return bool(ends) and ends == [
            v for _, v in found.get("triton_archive_signed_position", [])
        ]

    def whole() -> dict[str, list[tuple[dict[str, str], float]]]:
        """What one scrape found where each source answered it in time."""
        found = scraped()
        assert [value for _, value in found["triton_scrape_ok"]] == [1] * 6
        return found

    eventually(signed)
    commands.json("audit", "verify")
    found = eventually(whole)
    missing = {
        (where, name)
        for where, name, _ in asked()
        if name != "up" and name not in LATER and name not in found
    }
    assert missing == set()
    for name in ("triton_projector_running", "triton_archiver_running", "triton_redis_durable"):
        assert {value for _, value in found[name]} == {1}, name
    assert len(found["triton_projector_running"]) == 4
    assert found["triton_workers"][0][1] >= 1
    ended = {labels["actor"]: value for labels, value in found["triton_job_seconds_count"]}
    assert ended["cli.count"] >= 1
    checks = {labels["check"]: value for labels, value in found["triton_check_ok"]}
    assert checks == {"audit_verify": 1, "verify": 1}
    assert all(one["working"] for one in commands.json("archive", "status")["partitions"])
    # The key may nothing else.
    assert httpx.get(f"{api}/api/v1/jobs", headers=bearer, timeout=30).status_code == 403
