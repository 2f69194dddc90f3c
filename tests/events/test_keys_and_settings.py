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
        ("port", "http", "Expected `int`"),
        ("port", "65536", "<= 65535"),
        ("port", "-1", ">= 0"),
        ("port", "", "Expected `int`"),
        ("partitions", "0", ">= 1"),
        ("partitions", "257", "<= 256"),
        ("partitions", "1.5", "Expected `int`"),
        ("lease_ms", "999", ">= 1000"),
        ("namespace", "", "matching regex"),
        ("namespace", "a b", "matching regex"),
        ("namespace", "{a}", "matching regex"),
        ("namespace", "a\n", "matching regex"),
        ("namespace", "a" * 41, "matching regex"),
        ("worker_threads", "0", ">= 1"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as found:
        load({f"TRITON_{name.upper()}": value})
    assert found.value.message.startswith(f"TRITON_{name.upper()} is {value!r}: ")
    assert expected in found.value.message
    assert found.value.details == {"setting": name}


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
