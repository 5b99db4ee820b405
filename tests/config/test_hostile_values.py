"""Whatever stands in a file, a variable or an argument: settings, or an error that says what is wrong."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from trio_dask.config import (
    AUTO,
    Config,
    Loaded,
    SchedulerFile,
    find_token,
    known_settings,
    load_config,
    load_settings,
    parse_bytes,
    parse_seconds,
    read_scheduler_file,
    write_scheduler_file,
)
from trio_dask.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tried(call: Callable[..., object], *args: object) -> tuple[object, str]:
    """What it gives, or else what the error says that it may raise."""
    try:
        return call(*args), ""
    except (ConfigError, AuthenticationError) as error:
        return None, str(error)


NAMES = sorted(known_settings())
#: A directory of a test is good for all of its examples.
in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS_IN_TEXT = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+", " ", "."]),
    st.integers(0, 10**30) | st.floats() | st.sampled_from(["²", "٣", "1" * 5000, "1e999", "1_0"]),
    st.sampled_from(["", " ", ","]),
    st.sampled_from(["", "s", "ms", "d", "kB", "MiB", "PiB", "parsecs", "%", "e"]),
)
TEXTS = NUMBERS_IN_TEXT | st.text(max_size=12) | st.sampled_from(["auto", "never", "yes", "GPU=2"])
#: All that a TOML file may hold in place of a value.
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 64, 10**400, -(10**400)])
    | st.floats()
    | TEXTS
    | st.just(dt.date(1979, 5, 27)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
@example({"worker.resources": {"GPU": 10**400}})
@example({"worker.nworkers": "-²"})
def test_any_value_is_a_setting_or_an_error_that_names_it(values: dict[str, Any]) -> None:
    """No value makes a setting's parser fail in a way of its own."""
    config, error = tried(load_config, {}, [], values)
    assert config is not None or any(name in error for name in values)


@given(
    st.dictionaries(
        st.sampled_from([each.variable for each in known_settings().values()])
        | st.text("ABCDE_", max_size=6).map("TRIO_DASK_".__add__),
        TEXTS,
        max_size=3,
    )
)
def test_any_environment_is_settings_or_an_error_that_names_the_variable(
    environ: dict[str, str],
) -> None:
    """Neither odd names nor odd values get further than that."""
    loaded, error = tried(load_settings, environ, [])
    if isinstance(loaded, Loaded):
        assert set(loaded.origins.values()) == set(environ)
    else:
        assert any(variable in error for variable in environ)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_parsed_is_parsed_again_to_the_same(name: str) -> None:
    """A value that a setting accepted is one that it accepts: settings can be handed on."""

    @given(VALUES)
    def check(raw: Any) -> None:
        setting = known_settings()[name]
        parse = setting.field.metadata["parse"]
        try:
            once = parse(raw)
        except ConfigError:
            return
        if once not in (None, AUTO, setting.default):
            assert parse(once) == once

    check()


TOML_KEYS = st.sampled_from([*NAMES, "scheduler", "worker", "worker.resources.GPU", "a.b.c"])
TOML_LINES = st.builds(
    "{} = {}".format,
    TOML_KEYS,
    st.integers()
    | st.floats()
    | st.text(max_size=8).map(json.dumps)
    | st.sampled_from(["{}", "[]", "{a = 1}", "[1, 'x']", "1979-05-27", "0x" + "f" * 9000, "'''"]),
) | st.sampled_from(["[scheduler]", "[worker]", "[[worker]]", "[worker.resources]", "=", "\x00"])


@in_one_directory
@given(st.binary(max_size=60) | st.lists(TOML_LINES, max_size=5).map("\n".join).map(str.encode))
@example(b"a=" + b"[" * 10_000)
@example(b"a" + b".a" * 10_000 + b"=1")
@example(b"a=" + b"1" * 5000)
@example(b"scheduler.port=0x" + b"f" * 9000)
def test_any_file_is_settings_or_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    """TOML or not, deep or long: the message begins with the file."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    config, error = tried(load_config, {}, [path])
    assert isinstance(config, Config) or "config.toml" in error


@in_one_directory
@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["id", "address", "token", "type", "x"]), inner, max_size=5
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
@example(b"\xff")
@example(b"[" * 100_000)
@example(b'{"id":' + b"1" * 5000 + b"}")
def test_any_file_is_a_scheduler_file_or_none(tmp_path: Path, content: bytes) -> None:
    """What others wrote under its name is an error that names the file."""
    path = tmp_path / "scheduler.json"
    path.touch(0o600)
    path.write_bytes(content)
    found, error = tried(read_scheduler_file, path)
    assert found is not None or "scheduler.json is not a scheduler file" in error


@in_one_directory
@given(st.text(), st.text(), st.text())
def test_scheduler_files_come_back_as_they_were(
    tmp_path: Path, name: str, address: str, token: str
) -> None:
    """Any text survives."""
    path = tmp_path / "scheduler.json"
    content = SchedulerFile(id=name, address=address, token=token)
    write_scheduler_file(path, content)
    assert read_scheduler_file(path) == content


@in_one_directory
@given(st.binary(max_size=40))
@example(b"\xff")
def test_any_file_is_a_token_or_none(tmp_path: Path, content: bytes) -> None:
    """What is no text is no token, and the message names the file."""
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(content)
    token, error = tried(lambda: find_token(path=path))
    assert str(path) in error or token == content.decode().strip()


@given(st.integers(0, 10**15))
def test_whole_numbers_are_kept(number: int) -> None:
    """Bytes and seconds without a unit are what they say, as numbers and as text."""
    for raw in (number, str(number), f" {number} "):
        assert parse_bytes(raw) == number
        assert parse_seconds(raw) == number


@given(st.integers(0, 1000), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    """However the parts are joined."""
    total = 3600 * hours + 60 * minutes + seconds
    for text in (
        f"{hours}h{minutes}m{seconds}s",
        f"{hours} hours, {minutes} min, {seconds}",
        f"{seconds}s {hours}H {minutes}M",
    ):
        assert parse_seconds(text) == total
