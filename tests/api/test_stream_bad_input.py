"""Streams and what nobody should send: each has its defined answer, which a browser survives."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from live_api import Hand, LiveApi
from sse_reader import Subscriber

from eventually import eventually
from triton import keys
from triton.api.job_reader import JobReader
from triton.feed.cursor import Cursor, Signer, epoch_id
from triton.settings import Settings

MANY = "/api/v1/events/subscribe"
JSON = {"Accept": "application/json"}
SSE = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def two(module_settings: Settings) -> Settings:
    """A log of two partitions."""
    name = f"{module_settings.namespace}.two"
    return msgspec.structs.replace(module_settings, namespace=name, partitions=2)


@pytest.fixture(scope="module")
def hands(two: Settings) -> Hand:
    return Hand(two.redis_url, two.namespace, two.partitions)


@pytest.fixture(scope="module")
def served(two: Settings, hands: Hand) -> Iterator[LiveApi]:
    with LiveApi(msgspec.structs.replace(two, client_timeout_ms=2000)) as live:
        yield live


def test_each_cursor_that_is_none_is_a_reset_and_in_json_a_refusal(
    served: LiveApi, hands: Hand
) -> None:
    log = served.services.hub.log(0)
    hands.run(hands.submit())
    while not all(served.services.hub.ring(partition).last for partition in range(log.partitions)):
        hands.run(hands.submit())
    signer, epoch = served.services.framer.signer, epoch_id(log.epochs)

    def ours(*positions: int, of: str = epoch, first: int = 0) -> str:
        return signer.write(Cursor(of, first, positions), "default")

    good = ours(1, 1)
    cursors = {
        "garbage!": "invalid",
        "-": "invalid",
        "\u00e9\u00e9".encode().decode("latin-1"): "invalid",
        "A" * 64: "invalid",
        "A" * 5000: "invalid",
        good[:-1]: "invalid",
        good + "=": "invalid",
        Signer(secrets.token_bytes(32)).write(Cursor(epoch, 0, (1, 1)), "default"): "invalid",
        signer.write(Cursor(epoch, 0, (1, 1)), "somebody-else"): "invalid",
        ours(1, 1, of=epoch_id(("of", "another life"))): "epoch",
        ours(10**9, 1): "future",
        ours(2**62, 2**62): "future",
        ours(1, of=epoch_id(log.epochs[:1])): "partition",
        ours(1, of=epoch_id(log.epochs[1:]), first=1): "partition",
    }
    with Subscriber(f"{served.url}{MANY}", cursor=good) as stream:
        names = [event.name for event in stream.until("triton.caught-up")]
    assert "triton.reset" not in names
    for empty in ("from", "last_event_id"):
        assert served.http.get(MANY, params={empty: ""}, headers=JSON).json()["events"] == []
    for cursor, reason in cursors.items():
        with Subscriber(f"{served.url}{MANY}", query=cursor) as stream:
            assert stream.status == 200
            hello, reset = next(stream), next(stream)
        assert (hello.name, reset.name) == ("triton.hello", "triton.reset")
        assert (reset.json["reason"], len(hello.id) <= 64) == (reason, True), cursor
        answer = served.http.get(MANY, params={"last_event_id": cursor}, headers=JSON)
        expected = (422, "validation") if reason == "invalid" else (410, "cursor_gone")
        assert (answer.status_code, answer.json()["code"]) == expected
        if answer.status_code == 410:
            assert answer.json()["details"]["reason"] == reason


def test_a_cursor_from_before_a_fork_is_never_guessed_at(module_settings: Settings) -> None:
    """The log goes on under another epoch, as after a restore, at lower positions."""
    settings = msgspec.structs.replace(
        module_settings, namespace=f"{module_settings.namespace}.fork"
    )
    hand = Hand(settings.redis_url, settings.namespace)
    job = hand.run(hand.submit())
    with LiveApi(settings) as api:
        found = api.http.get(MANY, params={"from": "earliest"}, headers=JSON).json()
        one = api.http.get(f"/api/v1/jobs/{job}").json()["cursor"]
    hand.client.hset(keys.meta(hand.prefix(job)), "epoch", secrets.token_hex(8))
    with LiveApi(settings) as api:
        for path, cursor in ((MANY, found["cursor"]), (f"/api/v1/jobs/{job}/subscribe", one)):
            with Subscriber(f"{api.url}{path}", cursor=cursor) as stream:
                reset = stream.until("triton.reset")[-1]
            assert reset.json["reason"] == "epoch"
        answer = api.http.get(MANY, params={"last_event_id": found["cursor"]}, headers=JSON)
        assert (answer.status_code, answer.json()["details"]) == (410, {"reason": "epoch"})


@pytest.mark.parametrize(
    "begin",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T00:00:00Z",
        "20260101T000000Z",
        "\0",
        "-1",
        "NOW",
        "x" * 4000,
    ],
)
def test_a_beginning_that_is_none_is_no_error_of_ours(served: LiveApi, begin: str) -> None:
    for headers in (JSON, SSE):
        with served.http.stream("GET", MANY, params={"from": begin}, headers=headers) as answer:
            assert answer.status_code in (200, 422), begin


def test_unknown_and_foreign_jobs_look_the_same(served: LiveApi, hands: Hand) -> None:
    foreign = hands.run(hands.submit(tenant="somebody-else"))
    # The partition of an id is no secret: it follows from the id alone.
    same = (secrets.token_hex(16) for _ in range(100))
    unknown = next(
        job for job in same if keys.partition_of(job, 2) == keys.partition_of(foreign, 2)
    )

    def told(job: str) -> list[Any]:
        with Subscriber(f"{served.url}{MANY}?job_id={job}&from=earliest") as stream:
            told = [(event.name, shape(event.data)) for event in stream.until("triton.caught-up")]
            status = stream.status
        page = served.http.get(MANY, params={"job_id": job, "from": "earliest"}, headers=JSON)
        return [status, told, page.status_code, shape(page.text)]

    assert told(foreign) == told(unknown)


def shape(text: str) -> Any:
    """JSON without what differs between any two requests: cursors."""
    found = json.loads(text)
    return {name: value for name, value in found.items() if name not in ("effective", "cursor")}


@pytest.mark.parametrize("length", [1, 36])
def test_ten_thousand_filters_are_refused_and_hurt_nobody(served: LiveApi, length: int) -> None:
    query = "&".join(f"job_id={n:0{length}}" for n in range(10_000))
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as raw:
        raw.settimeout(30)
        request = f"GET {MANY}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = b""
        # It may be answered, and the connection closed, before all of it is sent, or the answer is read.
        with contextlib.suppress(ConnectionError):
            raw.sendall(request.encode())
        with contextlib.suppress(ConnectionError):
            while chunk := raw.recv(65536):
                answer += chunk
    # What fits into a head is named; what does not fit is refused before it is read.
    assert not answer or answer.split()[1] in (b"400", b"414", b"422", b"431"), answer[:200]
    assert served.http.get("/health").status_code == 200


def test_a_thousand_filters_are_taken_and_asked_for_together(
    served: LiveApi, hands: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hands.run(hands.submit())
    query = "&".join(f"job_id=n{n}" for n in range(999))
    asked: list[str] = []
    rows = JobReader.rows

    async def counting(
        self: JobReader, statement: str, values: dict[str, Any], tenant: str | None
    ) -> Any:
        asked.append(statement)
        return await rows(self, statement, values, tenant)

    monkeypatch.setattr(JobReader, "rows", counting)
    with Subscriber(f"{served.url}{MANY}?{query}&job_id={job}&from=earliest") as stream:
        assert [e.json["version"] for e in stream if not e.name] == [1, 2, 3, 4]
    assert len(asked) <= 5, (
        "a thousand questions of one request would keep PostgreSQL from all others"
    )


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}/subscribe", MANY, "/api/v1/queues/subscribe"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_not_read_and_not_minded(
    served: LiveApi, hands: Hand, path: str, chunked: bool
) -> None:
    job = hands.submit()
    body = b"{" * 100_000
    content: Any = iter([body[:1000], body[1000:]]) if chunked else body
    request = served.http.build_request("GET", path.format(job), headers=SSE, content=content)
    answer = served.http.send(request, stream=True)
    try:
        assert answer.status_code == 200
        assert next(answer.iter_lines()).startswith("retry: ")
    finally:
        answer.close()
    eventually(lambda: served.services.hub.open_streams == 0)


def test_other_methods_are_refused(served: LiveApi) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = served.http.request(method, MANY, content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_who_never_reads_is_cut_and_nobody_else_notices(
    served: LiveApi, hands: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(served.url.rpartition(":")[2])
    job = hands.submit()
    hands.start(job)
    with Subscriber(f"{served.url}{MANY}?job_id={job}&from=earliest", timeout=60) as reads:
        reads.until("triton.caught-up")
        deaf = []
        for _ in range(5):
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", port))
            raw.sendall(
                f"GET {MANY}?job_id={job}&from=earliest HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            deaf.append(raw)
        eventually(lambda: served.services.hub.open_streams == 6)
        # No piece is larger than what the kernel takes for a reader whose process stands still for a moment:
        # else it, too, would be one that takes nothing.
        for n in range(100):
            hands.output(job, f"{n}:" + "y" * 40_000)
            assert next(reads).json["data"]["chunk"].startswith(f"{n}:")
        eventually(lambda: served.services.hub.open_streams == 1, timeout=60)
        eventually(lambda: len(served.server.server_state.connections) <= 2)
        assert "Traceback" not in caplog.text
        hands.complete(job)
        assert [event.name for event in reads][-1] == "triton.end"
    for raw in deaf:
        raw.close()
    with Subscriber(f"{served.url}{MANY}?job_id={job}&from=earliest") as stream:
        assert len([event for event in stream if not event.name]) == 103


def test_many_who_open_and_leave_at_once_leave_nothing_behind(served: LiveApi) -> None:
    port = int(served.url.rpartition(":")[2])

    def knock() -> None:
        for n in range(50):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                request = f"GET {MANY} HTTP/1.1\r\nHost: x\r\n\r\n"
                raw.sendall(request[: len(request) if n % 2 else n].encode())

    threads = [threading.Thread(target=knock) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: served.services.hub.open_streams == 0)
    assert served.http.get("/health").status_code == 200
