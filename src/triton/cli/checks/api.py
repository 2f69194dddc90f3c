"""Owns what the doctor wants of the API: that it answers, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator

from triton.cli.checks.finding import Finding


def check(url: str) -> Iterator[Finding]:
    """Raises UnavailableError where it does not answer."""
    import httpx
    import msgspec

    from triton.client.problems import local, unreachable

    try:
        answer = httpx.get(f"{url}/health/ready", timeout=10.0, trust_env=not local(url))
        report = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise unreachable(url, error) from error
    if report["ready"]:
        yield Finding("ok", "api", f"{url} is ready, with {report['streams']} streams open")
        return
    down = [
        f"{name}: {found['reason']}"
        for name, found in report["dependencies"].items()
        if not found["ok"]
    ]
    why = "; ".join(down) or ("it is about to end" if report["draining"] else "it does not say why")
    yield Finding("fail", "api", f"{url} is not ready ({why})", "Look at what it names.")
