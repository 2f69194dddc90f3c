"""Owns what a reader has who comes to a block of a page: what they did before, and values of their own."""

from __future__ import annotations

from typing import NamedTuple


class Reader(NamedTuple):
    """`before` is run first; `own` has what the page writes in place of the reader's own, and that."""

    before: str = ""
    own: tuple[tuple[str, str], ...] = ()
    #: A program that the page takes for granted.
    needs: str = "bash"
    #: How commands begin that need a container engine or a cluster. They are named, and not run.
    engine: tuple[str, ...] = ()

    def script(self, block: str) -> str:
        for written, value in self.own:
            assert written in block, f"the page does not say {written} any more"
            block = block.replace(written, value)
        for command in self.engine:
            assert command in block, f"the page does not say {command} any more"
            block = block.replace(command, f"needs_engine {command}")
        return f"{self.before}\n{block}"


_KEY = "KEY=$(jq -r .api_key .triton/credentials.json)"
_POST = 'curl -s localhost:8000/api/v1/{} -H "Authorization: Bearer $KEY" --json'
_ADDS = f"""
{_KEY}
added() {{ {_POST.format('"$1"')} "$2" | jq -r .id; }}
CLIENT=$(added clients '{{"name": "of domain.md"}}')
PROSPECT=$(added prospects '{{"name": "of domain.md", "client": "'$CLIENT'"}}')
TEMPLATE=$(added dashboard-templates '{{"name": "of domain.md"}}')
"""
_DRY = f"""
{_KEY}
TOKEN=$({_POST.format("jobs/requeue")} '{{"filter": {{"actor": "nobody"}}, "dry_run": true}}' | jq -r .token)
"""
#: Who types a password has it in a file here.
_TYPES = """
echo 'a passphrase of some length' > password
triton() {
    if [ "$1 $2" = "users add" ]; then set -- "$@" --password-file password; fi
    command triton "$@"
}
triton users add ana@example.org --role developer
"""
_LINES = f"""
{_KEY}
printf '%s\\n' '{{"actor": "cli.count", "args": [1]}}' > jobs.jsonl
"""
#: Of the pages whose blocks `sh run` do not stand by themselves.
READERS = {
    "access.md": Reader(
        _TYPES,
        (
            (
                '"dev@example.org", "password": "..."',
                '"ana@example.org", "password": "\'"$(cat password)"\'"',
            ),
        ),
    ),
    "bulk.md": Reader(_LINES, (("mail.send", "cli.count"),)),
    "domain.md": Reader(
        _ADDS, (("prospects/ID", "prospects/$PROSPECT"), ("/TEMPLATE", "/$TEMPLATE"))
    ),
    "keys.md": Reader(
        own=(("SOCKET", ".triton/run/valkey.sock"), ("{triton:0}", "{up.test:0}")),
        needs="redis-cli",
    ),
    "requeue.md": Reader(_DRY, (("eyJh...", "'$TOKEN'"),)),
}
