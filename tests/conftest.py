"""What all tests share: no test sees the user's own settings or token."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
# The same examples on each machine, so that what fails for one fails for all.
hypothesis.settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many clusters to simulate."""
    parser.addoption("--seeds", type=int, default=200, help="simulate so many clusters")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `simulation_seed` runs once for each."""
    if "simulation_seed" in metafunc.fixturenames:
        metafunc.parametrize("simulation_seed", range(metafunc.config.getoption("--seeds")))


@pytest.fixture(autouse=True, scope="session")
def signals() -> Iterator[None]:
    """SIGHUP and SIGINT mean what they do by default.

    They are ignored where all this was started with ``nohup``, or in the background of a script.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command that a test runs in its own process shows its log for as long as the test lasts."""
    logger = logging.getLogger("trio_dask")
    before, level, strict = set(logger.handlers), logger.level, logging.raiseExceptions
    yield
    for handler in set(logger.handlers) - before:
        if type(handler) is logging.StreamHandler:
            logger.removeHandler(handler)
    logger.setLevel(level)
    logging.raiseExceptions = strict


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of settings, no ``TRIO_DASK_…`` variables, no size of a terminal."""
    directory = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory))
    for size in ("COLUMNS", "LINES"):  # processes that share the tests out set them
        monkeypatch.delenv(size, raising=False)
    for variable in os.environ:
        if variable.startswith("TRIO_DASK_"):
            monkeypatch.delenv(variable)
    return directory
