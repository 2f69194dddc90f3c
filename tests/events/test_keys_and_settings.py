"""Owns key names, which must share a slot per partition, and settings, which must say what is wrong."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from triton import errors, keys
from triton.errors import ConfigurationError, TritonError
from triton.settings import Settings, load

NAMESPACE = "1 to 40 letters (A to Z, a to z), digits, or the signs _ . and -"
POSTGRES = "postgresql://user:password@host:port/database"
REDIS = "redis://host:port/db, rediss://..., unix:///path/to/socket?db=0"
CLICKHOUSE = "http(s)://user:password@host:port/database"
ARCHIVE = "file:///folder or s3://bucket/prefix"
names = st.text(max_size=30)
NAMED = (keys.job, keys.body, keys.steps, keys.ready, keys.due, keys.leases, keys.bell, keys.claim)
SINGLE = (keys.log, keys.meta, keys.queues)


@given(names, st.integers(0, 255))
def test_all_keys_of_a_partition_share_a_slot(name: str, partition: int) -> None:
    prefix = keys.prefix("triton.x-1_y", partition)
    made = [make(prefix, name) for make in NAMED] + [make(prefix) for make in SINGLE]
    assert len(set(made)) == len(made)
    assert {key_slot(key.encode()) for key in made} == {key_slot(b"triton.x-1_y:%d" % partition)}


@given(names, names)
def test_keys_of_two_names_differ(one: str, other: str) -> None:
    made = {make("{n:0}:", name) for make in NAMED for name in {one, other}}
    assert len(made) == len(NAMED) * len({one, other})


@given(st.text(), st.integers(1, 256))
def test_a_job_has_one_partition_for_ever(job: str, partitions: int) -> None:
    assert keys.partition_of(job, partitions) == crc32(job.encode()) % partitions


def test_partitions_do_not_change() -> None:
    """Where a job is must not depend on the version of the program."""
    assert [keys.partition_of(job, 7) for job in ("", "a", "job-1", "ünï ☃ 😀")] == [0, 4, 6, 2]
    assert keys.partition_of("a", 1) == 0


def test_no_variable_means_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({"TRITON_UNKNOWN": "x", "PORT": "1"}) == Settings()


def test_variables_are_read_and_arguments_win() -> None:
    found = load(
        {"TRITON_PORT": "0", "TRITON_NAMESPACE": "n", "TRITON_DATA": "/d"}, port=9, data=None
    )
    assert (found.port, found.namespace, found.data) == (9, "n", "/d")


def test_settings_pass_through_the_environment() -> None:
    made = Settings(data="/d ü", port=0, partitions=7, redis_url="unix:///s", log_level="debug")
    assert load(made.environment()) == made
    assert load(Settings().environment()) == Settings()


def test_modules_are_a_list_of_names() -> None:
    assert Settings(modules=" a, b.c ,,").module_names() == ["a", "b.c"]
    assert Settings(modules="").module_names() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("port", "", "a whole number from 0 to 65535"),
        ("partitions", "0", "a whole number from 1 to 256"),
        ("partitions", "257", "a whole number from 1 to 256"),
        ("partitions", "1.5", "a whole number from 1 to 256"),
        ("lease_ms", "999", "a whole number, at least 1000"),
        ("worker_threads", "0", "a whole number, at least 1"),
        ("docs", "maybe", "true or false"),
        ("log_level", "loud", "one of debug, error, info, warning"),
        *(("namespace", bad, NAMESPACE) for bad in ("", "a b", "{a}", "a\n", "a" * 41)),
        ("heads_webhook", "example.org", "an http:// or https:// URL, or nothing"),
        ("rate_limit_key", "50", "requests a second and how many may come at once, such as 50/200"),
        ("database_url", "postgresql://h/a?b/c?c=d", POSTGRES),
        ("database_url", "postgresql://h:x/a", POSTGRES),
        ("database_url", "postgresql://h:1,h:65536/a", POSTGRES),
        ("database_url", "postgresql://h%2/a", POSTGRES),
        ("database_url", "host=h dbname=a", POSTGRES),
        ("outbox_url", "mysql://h/a", POSTGRES),
        ("redis_url", "localhost:6379", REDIS),
        ("redis_url", "redis://h:x/0", REDIS),
        ("redis_url", "redis+cluster://", REDIS),
        ("redis_url", "unix://relative", REDIS),
        ("clickhouse_url", "h:8123", CLICKHOUSE),
        ("clickhouse_url", "http://h:80800/", CLICKHOUSE),
        ("clickhouse_url", "https:///d", CLICKHOUSE),
        ("archive_url", "/srv/archive", ARCHIVE),
        ("archive_url", "s3:///prefix", ARCHIVE),
        ("subject_keys", "s3://b", "file:///folder (the same for all) or postgresql://"),
        ("api_url", "localhost:8000", "http(s)://host:port"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as found:
        load({f"TRITON_{name.upper()}": value})
    said = f"TRITON_{name.upper()} is {value!r}: expected {expected}"
    assert found.value.message.startswith(said)
    assert found.value.details == {"setting": name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "postgres://u:p%40w#?@h1:1,[::1]:2,h3/a"),
        ("database_url", "postgresql:///a?host=/run/x&port=5&connect_timeout=60"),
        ("database_url", "postgresql://u@%2Frun%2Fx/a?sslmode=verify-full"),
        ("database_url", "postgresql://"),
        ("redis_url", "rediss://u:p%40w@[::1]:1/3"),
        ("redis_url", "unix:///run/x?db=1"),
        ("redis_url", "redis+cluster://u:p@a:1,[::1]:2"),
        ("clickhouse_url", "https://u:p@h/d?verify=false"),
        ("archive_url", "s3://b/p?endpoint_url=http://h:1&lock_days=3"),
        ("signing_key", "kms:arn:aws:kms:eu:1:key/2"),
    ],
)
def test_a_url_of_every_kind_is_taken(name: str, value: str) -> None:
    assert getattr(load({f"TRITON_{name.upper()}": value}), name) == value


def test_no_error_shows_a_password() -> None:
    for name in ("redis_url", "database_url", "clickhouse_url"):
        for url in ("ftp://me:sec:r@et@h:x/", "redis://me:secret@h:x", "http://:secret@h:99999"):
            with pytest.raises(ConfigurationError) as found:
                load({f"TRITON_{name.upper()}": url})
            assert "sec" not in found.value.message


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="TRITON_COLOUR is 'red'"):
        load({}, colour="red")


def test_every_error_has_a_code_of_its_own() -> None:
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, TritonError)
    ]
    codes = {each.code for each in classes}
    assert len(codes) == len(classes) > 10
    for each in classes:
        error = each("what was found", position=3)
        assert (str(error), error.message) == ("what was found", "what was found")
        assert error.details == {"position": 3}
        assert error.code.replace("_", "").isalpha()
