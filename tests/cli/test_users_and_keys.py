"""`triton users`, `triton keys` and `triton tenants` on a running stack; no secret where others see it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from command_line import Commands, Invoke, Up

PASSWORD = "correct horse battery staple"


def test_a_user_is_added_changed_and_disabled(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    commands.run("tenants", "add", "umbra", "--name", "Umbra")
    made = commands.json(
        "users",
        "add",
        "Ada",
        "--role",
        "developer",
        "--tenant",
        "umbra",
        "--password-file",
        str(file),
    )
    assert (made["login"], made["role"], made["tenant"]) == ("ada", "developer", "umbra")
    assert "ada" in commands.run("users", "list", "--tenant", "umbra").stdout

    commands.run("users", "role", "ada", "viewer", "--reason", "moved")
    commands.run("users", "disable", "ada", "--reason", "left")
    (shown,) = commands.json("users", "list", "--tenant", "umbra")["users"]
    assert (shown["role"], shown["disabled"]) == ("viewer", True)
    assert commands.run("users", "disable", "nobody", status=1).stderr.startswith("error: ")


def test_a_password_is_no_argument(commands: Commands) -> None:
    said = commands.run("users", "add", "eve", "--role", "viewer", status=2)
    assert "--password-file" in said.stderr
    taken = commands.run("users", "add", "eve", "--password-file", "-", input=f"{PASSWORD}\n")
    assert PASSWORD not in taken.output


def test_a_key_is_created_used_from_elsewhere_and_revoked(
    commands: Commands, invoke: Invoke, up: Up, tmp_path: Path
) -> None:
    key = commands.run("keys", "create", "--name", "ci", "--role", "viewer").stdout.strip()
    prefix = key.split("_")[1]
    url = up.running().api
    file = tmp_path / "key"
    file.write_text(key + "\n")
    elsewhere = {"TRITON_DATA": str(tmp_path / "no stack"), "TRITON_API_KEY_FILE": str(file)}

    assert invoke("jobs", "--url", url, env=elsewhere).exit_code == 0
    refused = invoke("queues", "pause", "default", "--reason", "x", "--url", url, env=elsewhere)
    assert refused.exit_code == 1
    assert "queues.act" in refused.stderr
    # The folder's own key goes to nobody else.
    alone = invoke("jobs", "--url", url, env={"TRITON_DATA": str(tmp_path / "no stack")})
    assert alone.exit_code == 2
    assert "TRITON_API_KEY" in alone.stderr

    assert prefix in commands.run("keys", "list").stdout
    assert key not in commands.run("keys", "list", "--json").stdout
    commands.run("keys", "revoke", prefix, "--reason", "a test")
    gone = invoke("jobs", "--url", url, env=elsewhere)
    assert gone.exit_code == 2
    assert key not in gone.output


def test_a_lost_admin_key_is_made_again(commands: Commands, up: Up) -> None:
    key = commands.run("keys", "recover").stdout.strip()
    me = httpx.get(
        f"{up.running().api}/api/v1/auth/me",
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
        timeout=30,
    ).json()
    assert (me["role"], me["tenant"]) == ("admin", "")


def test_the_keys_of_tokens_rotate(commands: Commands, up: Up) -> None:
    kid = commands.run("keys", "rotate-tokens", "--reason", "a year").stdout.split()[0]
    assert (up.data / "token-keys" / f"{kid}.EdDSA").stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_any_log(commands: Commands, up: Up) -> None:
    key = json.loads((up.data / "credentials.json").read_text())["api_key"]
    for log in (up.data / "logs").iterdir():
        said = log.read_text(errors="replace")
        assert key not in said
        assert PASSWORD not in said
