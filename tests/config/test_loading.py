"""Settings from all sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_dask.config import (
    AUTO,
    Config,
    WorkerConfig,
    complete_worker,
    cpu_count,
    known_settings,
    load_config,
    load_settings,
    memory_bytes,
)
from trio_dask.errors import ConfigError


def write(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_given_means_defaults() -> None:
    """Without any source the settings are their defaults."""
    assert load_config({}, []) == Config()


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults < files in order < environment < arguments."""
    first = write(tmp_path / "a.toml", "[scheduler]\nport = 1\nhost = 'a'\nallowed-failures = 7\n")
    second = write(tmp_path / "b.toml", "[scheduler]\nport = 2\nhost = 'b'\n")
    environ = {"TRIO_DASK_SCHEDULER__PORT": "3", "PATH": "/bin"}
    loaded = load_settings(environ, [first, second], {"scheduler.port": 4, "scheduler.host": None})
    assert loaded.config.scheduler.port == 4
    assert loaded.config.scheduler.host == "b"
    assert loaded.config.scheduler.allowed_failures == 7
    assert loaded.origins == {
        "scheduler.port": "arguments",
        "scheduler.host": str(second),
        "scheduler.allowed_failures": str(first),
    }


def test_the_users_file_is_read_by_default(own_settings: Path) -> None:
    """``config.toml`` in the user's directory needs no naming."""
    directory = own_settings / "trio-dask"
    directory.mkdir()
    write(directory / "config.toml", "[worker]\nnanny = false\n")
    assert load_config().worker.nanny is False


def test_flat_names() -> None:
    """Address and token have names without a section."""
    environ = {"TRIO_DASK_SCHEDULER_ADDRESS": "tcp://a:1", "TRIO_DASK_TOKEN": "secret"}
    config = load_config(environ, [])
    assert (config.scheduler_address, config.token) == ("tcp://a:1", "secret")


def test_the_token_is_not_shown() -> None:
    """A settings object in a log or traceback gives nothing away."""
    assert "hush" not in repr(load_config({"TRIO_DASK_TOKEN": "hush"}, []))


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("TRIO_DASK_SCHEDULER__PROT", "TRIO_DASK_SCHEDULER__PORT"),
        ("TRIO_DASK_SCHEDULER_ADRESS", "TRIO_DASK_SCHEDULER_ADDRESS"),
        ("TRIO_DASK_WORKER__NTHREAD", "TRIO_DASK_WORKER__NTHREADS"),
        ("TRIO_DASK_TOKN", "TRIO_DASK_TOKEN"),
        ("TRIO_DASK_SCHEDULER_PORT", "TRIO_DASK_SCHEDULER__PORT"),
        ("TRIO_DASK_WOKER__PORT", "TRIO_DASK_WORKER__PORT"),
    ],
)
def test_unknown_variables_are_refused(variable: str, nearest: str) -> None:
    """The message names the variable and the nearest known one."""
    with pytest.raises(ConfigError, match=f"variable {variable}; .* is {nearest}$"):
        load_config({variable: "1"}, [])


@pytest.mark.parametrize("variable", ["TRIO_DASK_FOO", "TRIO_DASK_SCHEDULER__FOO"])
def test_a_name_that_is_near_nothing(variable: str) -> None:
    """No guess is better than one that cannot be meant."""
    with pytest.raises(ConfigError, match=f"^unknown environment variable {variable}$"):
        load_config({variable: "1"}, [])


def test_an_argument_is_named_as_the_user_spells_it() -> None:
    """Not as the setting that it stands for."""
    with pytest.raises(ConfigError, match=r"^--nthreads: '0'"):
        load_config({}, [], {"worker.nthreads": "0"}, spelled={"worker.nthreads": "--nthreads"})


def test_unknown_settings_in_files_are_refused(tmp_path: Path) -> None:
    """The message names the file, the setting and the nearest known one."""
    path = write(tmp_path / "c.toml", "[scheduler]\nwoker_ttl = 3\n")
    with pytest.raises(
        ConfigError, match=r"c\.toml: unknown setting scheduler\.woker_ttl;.*worker_ttl$"
    ):
        load_config({}, [path])


def test_unknown_overrides_are_refused() -> None:
    """A mistake in our own command line is found, too."""
    with pytest.raises(ConfigError, match=r"unknown setting worker\.threads"):
        load_config({}, [], {"worker.threads": 1})


def test_a_value_in_place_of_a_section_is_refused(tmp_path: Path) -> None:
    """``scheduler = 3`` is no setting, nor is a table where a value belongs."""
    with pytest.raises(ConfigError, match="unknown setting scheduler"):
        load_config({}, [write(tmp_path / "a.toml", "scheduler = 3\n")])
    with pytest.raises(ConfigError, match=r"scheduler\.port: .* no whole number"):
        load_config({}, [write(tmp_path / "b.toml", "[scheduler.port]\nx = 1\n")])


@pytest.mark.parametrize(
    ("variable", "raw"),
    [
        ("TRIO_DASK_SCHEDULER__PORT", "65536"),
        ("TRIO_DASK_SCHEDULER__PORT", "-1"),
        ("TRIO_DASK_SCHEDULER__PORT", "http"),
        ("TRIO_DASK_WORKER__NANNY", "maybe"),
        ("TRIO_DASK_WORKER__NTHREADS", "0"),
        ("TRIO_DASK_WORKER__RESOURCES", "GPU"),
        ("TRIO_DASK_WORKER__MEMORY_LIMIT", "much"),
        ("TRIO_DASK_SCHEDULER__WORKER_TTL", "soon"),
    ],
)
def test_bad_values_name_their_setting(variable: str, raw: str) -> None:
    """The message begins with where the value came from, and shows it."""
    with pytest.raises(ConfigError, match=f"^{variable}: .*{raw}"):
        load_config({variable: raw}, [])


def test_bad_files_are_named(tmp_path: Path) -> None:
    """A file that is missing or is not TOML is an error that says which."""
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.toml: No such file"):
        load_config({}, [tmp_path / "gone.toml"])
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML"):
        load_config({}, [write(tmp_path / "bad.toml", "= 1")])


def test_the_users_file_is_not_left_out(
    own_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in its place and cannot be read is an error: somebody has meant something."""
    place = own_settings / "trio-dask" / "config.toml"
    place.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read .*config\.toml: Is a directory"):
        load_config()
    place.rmdir()
    assert load_config().scheduler.port == 8786

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"cannot read .*config\.toml: Permission denied"):
        load_config()


def test_units_and_resources(tmp_path: Path) -> None:
    """Values have units where the field has a suffix; resources are a table or text."""
    path = write(
        tmp_path / "c.toml",
        "[scheduler]\nworker-ttl = '5m'\n[worker]\ndeath_timeout = 'never'\n"
        "[worker.resources]\nGPU = 2\n",
    )
    config = load_config({}, [path])
    assert config.scheduler.worker_ttl_s == 300.0
    assert config.worker.death_timeout_s is None
    assert config.worker.resources == {"GPU": 2.0}
    config = load_config({"TRIO_DASK_WORKER__RESOURCES": "GPU=1, MEM=10e9"}, [path])
    assert config.worker.resources == {"GPU": 1.0, "MEM": 10e9}


def test_every_setting_has_a_name_a_doc_and_takes_its_default() -> None:
    """Each default is itself a value the setting accepts, unless it means automatic."""
    for setting in known_settings().values():
        assert setting.doc.endswith(".")
        if setting.default is not None and setting.default != AUTO:
            parsed = setting.field.metadata["parse"](setting.default)
            assert parsed == setting.default, setting.name


def test_workers_are_completed_from_the_machine() -> None:
    """No automatic value is left, and the slots fit the processors."""
    done = complete_worker(WorkerConfig(nworkers=AUTO))
    assert 1 <= done.nworkers * done.nthreads <= max(4, cpu_count())
    assert 0 < done.memory_limit <= memory_bytes()


def test_workers_share_the_processors() -> None:
    """Given workers get the processors among them, never less than one slot."""
    assert complete_worker(WorkerConfig(nworkers=1)).nthreads == cpu_count()
    assert complete_worker(WorkerConfig(nworkers=10_000)).nthreads == 1


def test_relative_worker_counts_and_memory_shares() -> None:
    """-1 worker is one for each processor; a share is one of the machine's memory."""
    config = load_config({}, [], {"worker.nworkers": "-1", "worker.memory_limit": "0.5"})
    assert config.worker.nworkers == cpu_count()
    assert config.worker.memory_limit == memory_bytes() // 2
    unlimited = load_config({}, [], {"worker.memory_limit": "0"})
    assert complete_worker(unlimited.worker).memory_limit == 0
