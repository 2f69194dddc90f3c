"""Owns measuring the dashboards' questions over many claims: through our stack, and by the bare engine.

python -m bench.claims --claims 10000000

The same statements over the same files: first as the platform asks them (clickhouse-connect over HTTP to the
engine's process), then by chDB alone, opened in this process as `clickhouse local` would be.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chdb
import clickhouse_connect

from triton import migrate
from triton.domain import dashboards, samples
from triton.stack.engines import Engines

TENANT = "default"
TURNS = 2
SPANS = {
    "all 36 months": ("2023-01-01", "2026-01-01"),
    "one year": ("2025-01-01", "2026-01-01"),
}
SIZES = (
    "SELECT table, sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes) FROM system.parts"
    " WHERE active AND database = 'triton' GROUP BY table ORDER BY 3 DESC"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument("--claims", type=int, default=10_000_000)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="a folder that stays, instead of a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="triton-claims-") as temporary:
        folder = chosen.keep or Path(temporary)
        ours: dict[tuple[str, str], float] = {}
        bare: dict[tuple[str, str], float] = {}
        # One process at a time may hold the files, so the sides take turns.
        for _ in range(TURNS):
            best(ours, through_the_stack(folder, chosen.claims, chosen.members, chosen.repeats))
            best(bare, by_the_engine(folder / "clickhouse" / "store", chosen.repeats))
    print("\n| question | span | through the stack, ms | bare engine, ms | ratio |")
    print("|---|---|---|---|---|")
    for key, found in ours.items():
        print(
            f"| {' | '.join(key)} | {found:.0f} | {bare[key]:.0f} | {found / bare[key]:.2f} |",
            flush=True,
        )


def best(kept: dict[tuple[str, str], float], found: dict[tuple[str, str], float]) -> None:
    for key, value in found.items():
        kept[key] = min(value, kept.get(key, value))


def through_the_stack(
    folder: Path, claims: int, members: int, repeats: int
) -> dict[tuple[str, str], float]:
    with Engines(folder, fast_unsafe=True) as engines:
        migrate.up(engines.database_url, engines.clickhouse_url)
        with clickhouse_connect.get_client(
            dsn=engines.clickhouse_url, send_receive_timeout=600
        ) as client:
            begun = time.monotonic()
            done = list(samples.fill(client, TENANT, claims=claims, members=members))
            rows, seconds = sum(one.added for one in done), time.monotonic() - begun
            print(f"{rows:,} rows in {seconds:.1f} s: {rows / seconds:,.0f} rows/s")
            for table, count, stored, plain in client.query(SIZES).result_rows:
                print(f"{table}: {count:,} rows, {stored / 1e6:.1f} MB of {plain / 1e6:.1f} MB")

            def ask(name: str, values: dict[str, str]) -> int:
                return len(client.query(dashboards.sql(name), parameters=values).result_rows)

            return measured(ask, repeats)


def by_the_engine(store: Path, repeats: int) -> dict[tuple[str, str], float]:
    engine: Any = chdb.connect(str(store))
    engine.query("USE triton")

    def ask(name: str, values: dict[str, str]) -> int:
        answer = engine.query(dashboards.sql(name), "Native", params=values)
        return len(answer.bytes())

    try:
        return measured(ask, repeats)
    finally:
        engine.close()


def measured(
    ask: Callable[[str, dict[str, str]], int], repeats: int
) -> dict[tuple[str, str], float]:
    """Milliseconds of each question, the best of some."""
    found = {}
    for name in dashboards.NAMES:
        for span, (since, until) in SPANS.items():
            values = {"tenant": TENANT, "since": since, "until": until}
            times = []
            for _ in range(repeats):
                begun = time.perf_counter()
                assert ask(name, values)
                times.append((time.perf_counter() - begun) * 1000)
            found[name, span] = min(times)
    return found


if __name__ == "__main__":
    main()
