"""Owns every setting: one frozen Struct, and the only place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from triton import setting_urls, setting_words
from triton.errors import ConfigurationError

PREFIX = "TRITON_"
#: What no other process needs but the API, and no error may show.
_OF_COMMANDS = frozenset({"api_key", "api_key_file", "admin_password", "admin_password_file"})

_Rate: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\s*(\d{1,6}(\.\d{1,3})?/\d{1,6})?\s*\Z",
        description="requests a second and how many may come at once, such as 50/200; empty for no limit",
    ),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings with their defaults. The environment variable is `TRITON_` + the name in capitals.

    The four URLs are empty by default: an empty URL means "the embedded engine below `data`".
    """

    #: Folder of the embedded stack: engines, archive, sockets, credentials.
    data: Annotated[
        str, msgspec.Meta(min_length=1, description="a folder, by --data or TRITON_DATA")
    ] = ".triton"
    #: redis:// | rediss:// | unix:// URL of Redis >= 7.0 or Valkey; redis+cluster://host:port,host:port of a
    #: cluster (rediss+cluster:// where encrypted), with more partitions than primaries.
    redis_url: str = ""
    #: postgresql:// URL of PostgreSQL >= 16.
    database_url: str = ""
    #: postgresql:// URL of the application's database whose table triton_outbox a relay drains.
    outbox_url: str = ""
    #: http(s)://user:password@host:port/database of ClickHouse >= 25.
    clickhouse_url: str = ""
    #: file:///path or s3://bucket/prefix of the archive.
    archive_url: str = ""
    #: file:///path of a PEM file, or kms:KEY (id or ARN in AWS KMS): the Ed25519 key that signs tree heads.
    #: Empty: a key that is made below `data` on first start.
    signing_key: str = ""
    #: Name of this platform in its tree heads, such as example.com/triton: no spaces, no `+`. It stays.
    origin: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^\s+]{1,200}\Z", description="1 to 200 characters, no spaces, no +"
        ),
    ] = "triton"
    #: Events of one segment of the archive at most.
    seal_events: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50_000
    #: Milliseconds after which an event is sealed into a segment, also a small one.
    seal_ms: Annotated[int, msgspec.Meta(ge=0)] = 600_000
    #: Milliseconds after which a signed tree head covers a fresh event. When idle, one is signed each minute.
    head_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 1_000
    #: http(s):// URL that archivers post the newest signed tree head to, each minute; empty: to none.
    heads_webhook: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(https?://\S+)?\Z", description="an http:// or https:// URL, or nothing"
        ),
    ] = ""
    #: Witnesses (C2SP tlog-witness) that are asked to sign the heads of what is sealed: KEY URL, KEY URL.
    witnesses: str = ""
    #: The newest events that stay in Redis although they are archived, for each partition.
    keep_events: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    #: Milliseconds that an event stays in Redis although it is archived.
    keep_ms: Annotated[int, msgspec.Meta(ge=0)] = 60_000
    #: The newest events that legal holds may keep in Redis, for each partition; 0 for none. The archive keeps
    #: what is held in any case.
    hold_events: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    #: Milliseconds between two looks of an archiver at what has outlived its retention and may expire; 0
    #: leaves it to `triton audit retention apply`. Nothing expires before somebody sets a retention.
    expire_ms: Annotated[int, msgspec.Meta(ge=0)] = 3_600_000
    #: file:///folder or postgresql:// URL of the keys of data subjects, outside of all backups of the rest;
    #: the same for every process that sends, runs or reads personal data. `triton up` has one below `data`.
    subject_keys: str = ""
    #: file:///path of 32 bytes that seal the keys in that store; empty for none.
    subject_master_key: str = ""
    #: Milliseconds for which a process uses a subject's key without asking the store: an erasure holds
    #: everywhere after so long.
    subject_cache_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 10_000
    #: file:///path of the keys that seal tenants' secrets, the same for the API and the workers; made where
    #: there is none. `triton up` has one below `data`.
    tenant_keys: str = ""
    #: Whether webhooks may be sent to private, loopback and link-local addresses.
    webhook_private: bool = False
    #: triton | dramatiq: what `triton.task_queue.open_task_queue` opens, Triton or a stock RedisBroker.
    task_queue: Literal["triton", "dramatiq"] = "triton"
    #: Address of the HTTP API.
    host: str = "127.0.0.1"
    #: TCP port of the HTTP API; 0 takes a free one.
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    #: Descriptor of a listening socket that the API inherits, from `triton up` or socket activation; -1: it
    #: binds host and port itself.
    listen_fd: Annotated[int, msgspec.Meta(ge=-1)] = -1
    #: Origins whose pages may use the API with a person's credentials, comma-separated and exact, such as
    #: https://app.example.com,http://localhost:5173. Empty: pages of the API's own origin only.
    cors_origins: str = ""
    #: Addresses (comma-separated, or `*`) of proxies whose X-Forwarded-For is believed.
    trusted_proxies: str = "127.0.0.1,::1"
    #: Milliseconds until an answer has to begin, from the last byte of its request; streams then go on.
    request_ms: Annotated[int, msgspec.Meta(ge=1000)] = 60_000
    #: Requests a second of one API key or token, and how many may come at once, such as 50/200; empty: no
    #: limit.
    rate_limit_key: _Rate = ""
    #: The same of one address (of IPv6, of a /64), with a key or without.
    rate_limit_address: _Rate = ""
    #: Seconds for which browsers are told to use TLS only for this host name; 0 says nothing.
    hsts_seconds: Annotated[int, msgspec.Meta(ge=0)] = 0
    #: Whom to tell of a weakness, for /.well-known/security.txt: addresses such as
    #: mailto:security@example.org or https://example.org/report, apart by spaces. Empty: there is none.
    security_contact: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^((https://|mailto:|tel:)\S+( (https://|mailto:|tel:)\S+)*)?\Z",
            description="addresses that begin with https://, mailto: or tel:, apart by one space each",
        ),
    ] = ""
    #: Open streams (and long polls) of one API process at most.
    streams: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    #: Open streams of one tenant at most, in one API process.
    streams_per_tenant: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    #: Open streams of one network address at most, in one API process.
    streams_per_address: Annotated[int, msgspec.Meta(ge=1)] = 500
    #: Open streams of one user, API key or stream token at most, in one API process.
    streams_per_user: Annotated[int, msgspec.Meta(ge=1)] = 100
    #: Milliseconds after which a connection is cut whose other side takes nothing of what is sent to it: it
    #: does not read, or its network is gone. A stream is sent something every 15 seconds at least.
    client_timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=600_000)] = 20_000
    #: Milliseconds that a stream token lives at most.
    stream_token_ms: Annotated[int, msgspec.Meta(ge=1000, le=24 * 3600 * 1000)] = 3600 * 1000
    #: Whether live streams are compressed for clients that take gzip: events once for all who get them.
    gzip_streams: bool = False
    #: Whether `/api/v1/audit` answers those who may read it.
    audit_api: bool = True
    #: required | off: whether every request must say who it comes from. `off` is for development, and refused
    #: where the API listens on more than loopback.
    auth: Literal["required", "off"] = "required"
    #: Login of the admin that the first start makes where it is given a password.
    admin_login: str = "admin"
    #: That password; without one the first start makes an API key, in credentials.json below `data`.
    admin_password: str = ""
    #: File that holds that password.
    admin_password_file: str = ""
    #: Milliseconds for which an access token counts.
    access_token_ms: Annotated[int, msgspec.Meta(ge=1_000, le=86_400_000)] = 600_000
    #: Milliseconds for which a refresh token counts, which is used once and brings the next.
    refresh_token_ms: Annotated[int, msgspec.Meta(ge=1_000)] = 86_400_000
    #: Milliseconds after a login for which it can be refreshed at all.
    session_ms: Annotated[int, msgspec.Meta(ge=1_000)] = 30 * 86_400_000
    #: file:///folder of the keys that sign access tokens, one for all API processes; empty: below `data`.
    token_keys: str = ""
    #: What the next of these keys is for: EdDSA and RS256 sign with a private key, HS256 with a secret.
    token_algorithm: Literal["EdDSA", "RS256", "HS256"] = "EdDSA"  # noqa: S105
    #: KiB of memory that hashing one password takes (argon2id, three passes).
    password_kib: Annotated[int, msgspec.Meta(ge=256)] = 65_536
    #: Wrong passwords for one account within the window; then none is looked at until it is over.
    login_failures: Annotated[int, msgspec.Meta(ge=1)] = 10
    #: The same for one network (an IPv4 /24, an IPv6 /48), whatever the account.
    login_failures_network: Annotated[int, msgspec.Meta(ge=1)] = 100
    #: Milliseconds of that window.
    login_window_ms: Annotated[int, msgspec.Meta(ge=1_000)] = 900_000
    #: Whether /docs, /redoc and /openapi.json are served; they need no key.
    docs: bool = True
    #: Milliseconds for which an API process believes what it read of a key, a user or a session: what was
    #: revoked counts for so long at most.
    access_cache_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 5_000
    #: Where commands find the HTTP API, instead of looking it up by the data folder.
    api_url: str = ""
    #: The key that commands send, instead of the one in the data folder's credentials.json.
    api_key: str = ""
    #: File that holds that key.
    api_key_file: str = ""
    #: Prefix of every Redis key; two platforms can share one server under two namespaces.
    namespace: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,40}\Z",
            description="1 to 40 letters (A to Z, a to z), digits, or the signs _ . and -",
        ),
    ] = "triton"
    #: Number of log partitions; fixed when the log is created.
    partitions: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    #: Milliseconds without a heartbeat after which a worker's jobs go to others.
    lease_ms: Annotated[int, msgspec.Meta(ge=1000)] = 15_000
    #: Leases a job may lose (its workers died) before it ends as failed.
    max_deaths: Annotated[int, msgspec.Meta(ge=0)] = 3
    #: Milliseconds that an actor may run, where neither it nor the submit says `time_limit`.
    time_limit_ms: Annotated[int, msgspec.Meta(ge=1)] = 120_000
    #: Milliseconds after which `SoftTimeLimit` is raised in an actor that has the default time limit.
    soft_time_limit_ms: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    #: Milliseconds after its time limit at which an attempt is given up that no interrupt reaches.
    time_limit_grace_ms: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    #: Milliseconds after its end for which a job answers to its idempotency key, at least.
    idempotency_ms: Annotated[int, msgspec.Meta(ge=1000)] = 24 * 3600 * 1000
    #: Milliseconds after its end for which an ended job's result and message stay in Redis, where an archiver
    #: runs: after that they come from PostgreSQL and the archive.
    result_ms: Annotated[int, msgspec.Meta(ge=1000)] = 600_000
    #: Milliseconds that a completed job's head stays in Redis at most, but for what its idempotency key asks.
    completed_ttl_ms: Annotated[int, msgspec.Meta(ge=1000)] = 24 * 3600 * 1000
    #: Milliseconds that a failed or cancelled job can be requeued where no archive keeps its history.
    failed_ttl_ms: Annotated[int, msgspec.Meta(ge=1000)] = 7 * 24 * 3600 * 1000
    #: Bytes of a message or a result above which it goes into the archive, where there is one.
    inline_bytes: Annotated[int, msgspec.Meta(ge=1024, le=256 * 1024)] = 64 * 1024
    #: Bytes of one uploaded document at most.
    max_document_bytes: Annotated[int, msgspec.Meta(ge=1)] = 64 * 1024 * 1024
    #: Worker processes that `triton up` and `triton worker` run; 0 runs none.
    worker_processes: Annotated[int, msgspec.Meta(ge=0)] = 1
    #: API processes of `triton up`, all on its one port: the kernel deals connections out.
    api_processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    #: Projector processes of `triton up`: of two or more one works for each partition and store, the others
    #: stand by.
    projector_processes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    #: Archiver processes of `triton up`, likewise.
    archiver_processes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    #: Threads of each worker process: the jobs it runs at once.
    worker_threads: Annotated[int, msgspec.Meta(ge=1)] = 4
    #: Milliseconds that running jobs get to end at a worker's SIGTERM; then they are released.
    drain_ms: Annotated[int, msgspec.Meta(ge=0)] = 25_000
    #: Python modules with Dramatiq actors that `triton up` and `triton worker` load, comma-separated.
    modules: str = "triton.handlers"
    #: debug | info | warning | error
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: auto | json | text: `auto` is text on a terminal, and elsewhere one JSON object in each line.
    log_format: Literal["auto", "json", "text"] = "auto"
    #: Whether the log tells what exceptions of jobs and requests say, not only where they were raised. That
    #: may quote arguments; a job's history has it in any case.
    log_messages: bool = False
    #: Milliseconds from which a call of PostgreSQL, ClickHouse or Redis is logged as slow; 0 for none.
    slow_query_ms: Annotated[int, msgspec.Meta(ge=0)] = 500
    #: Milliseconds from which a job that ran so long is logged as slow, where its actor does not say
    #: `slow_run_ms`; 0 for none.
    slow_run_ms: Annotated[int, msgspec.Meta(ge=0)] = 30_000
    #: The same for the time that it waited although it could have started (`slow_wait_ms` of its actor).
    slow_wait_ms: Annotated[int, msgspec.Meta(ge=0)] = 60_000
    #: Folder, best one in memory, in which each role leaves a sign of life every two seconds, for
    #: `python -m triton.health`; empty: none.
    health: str = ""
    #: Show tracebacks of the commands' own errors.
    debug: bool = False

    def environment(self) -> dict[str, str]:
        """The variables that give another process the same settings."""
        return {
            PREFIX + field.name.upper(): str(getattr(self, field.name))
            for field in msgspec.structs.fields(self)
            if field.name not in _OF_COMMANDS
        }

    def module_names(self) -> list[str]:
        """The modules of `modules`, one by one."""
        return [name.strip() for name in self.modules.split(",") if name.strip()]


def load(
    environ: Mapping[str, str] | None = None,
    *,
    called: Mapping[str, str] | None = None,
    **overrides: object,
) -> Settings:
    """Settings from `TRITON_*` variables; `overrides` that are not None win.

    `called`: what whoever gave an override calls it, such as `url of TritonBroker`.
    Raises ConfigurationError naming the variable, or what is `called`, what it holds and what was expected.
    """
    environ = os.environ if environ is None else environ
    known = {field.name for field in msgspec.structs.fields(Settings)}
    values: dict[str, object] = {
        name: environ[PREFIX + name.upper()] for name in known if PREFIX + name.upper() in environ
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    values.update(given)
    for name, value in values.items():
        expected = _expected(name, value)
        if expected is not None:
            found = "set" if name in _OF_COMMANDS else repr(_shown(value))
            if called and name in called and name in given:
                raise ConfigurationError(
                    f"{called[name]} is {found}: expected {expected}", setting=name
                )
            raise ConfigurationError(
                f"TRITON_{name.upper()} is {found}: expected {expected}", setting=name
            )
    return msgspec.convert(values, Settings, strict=False)


def _expected(name: str, value: object) -> str | None:
    """What a setting expects where a value is none of it."""
    try:
        msgspec.convert({name: value}, Settings, strict=False)
    except msgspec.ValidationError:
        return setting_words.expected_by(Settings, name)
    return setting_urls.expected_of(name, value) if isinstance(value, str) else None


def _shown(value: object) -> object:
    return setting_urls.shown(value) if isinstance(value, str) else value


def traces_exporter(environ: Mapping[str, str] | None = None) -> str:
    """The exporter that OpenTelemetry's standard variables name: `otlp`, `console`, another; `none` where
    they ask for no traces. An endpoint alone means `otlp`."""
    environ = os.environ if environ is None else environ
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return named or ("otlp" if any(environ.get(name) for name in endpoints) else "none")


def tracing_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a role is to trace."""
    return traces_exporter(environ) != "none"


def secret_names() -> frozenset[str]:
    """The variables that hold a secret which worker processes, and whoever looks at them, need not know."""
    return frozenset(PREFIX + name.upper() for name in _OF_COMMANDS)


def debugging(environ: Mapping[str, str] | None = None) -> bool:
    """Whether tracebacks are wanted, also where another setting is wrong."""
    text = (os.environ if environ is None else environ).get(PREFIX + "DEBUG", "")
    return text.strip().lower() not in ("", "0", "false")
