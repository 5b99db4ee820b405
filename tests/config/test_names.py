"""What workers may be called."""

from __future__ import annotations

import pytest

from trio_dask.config import load_config
from trio_dask.config.names import NAME_MAX, worker_name
from trio_dask.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    ["", "w", "7", "_x", "rack-3:gpu", "1234[5].server", "dask-worker-abc_1", "né", "a@b=c+d"],
)
def test_names(name: str) -> None:
    """What hosts, jobs, containers and people are called."""
    assert worker_name(name) == name
    assert load_config({"TRIO_DASK_WORKER__NAME": name}, ()).worker.name == name


def test_a_number_is_a_name() -> None:
    """Dask's deployments count their workers."""
    assert worker_name(3) == "3"


@pytest.mark.parametrize(
    "name",
    ["a/b", "../x", "a b", " ", "a\n", "a,b", "-x", ".x", "a\\b", "a'b", 'a"b', "a<b", "a?b", "a#b",
     "a%2f", "a;b", "a$b", "a*b", "\x1b[1m", True, 1.5, None],
)  # fmt: skip
def test_what_is_no_name(name: object) -> None:
    """What would be something else in a path, an address, a list or a line of a log."""
    with pytest.raises(ConfigError, match="is no name of a worker: it has letters, digits, and"):
        worker_name(name)
    with pytest.raises(ConfigError, match=r"^worker\.name: .* is no name of a worker"):
        load_config({}, (), {"worker.name": name if name is not None else "a b"})


def test_a_name_has_a_bound() -> None:
    """A long one is not repeated."""
    assert worker_name("x" * NAME_MAX)
    with pytest.raises(ConfigError) as caught:
        worker_name("x" * 5000)
    assert str(caught.value) == (
        "'xxxxxxxxxxxxxxxxxxxx'… has 5000 characters; a name of a worker has at most 100"
    )
