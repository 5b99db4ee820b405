"""A plugin for pytest: dask's own tests, computed by a client instead of dask's schedulers.

Most of them name a scheduler of dask's, or compute with the default one; all are replaced.
`--computed-by` has something else compute, to tell why a test fails; `--failed FILE` writes down
which did. Used by `dask_suite_run`, which the nox session `dask_suite` runs.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What `--computed-by` takes; the first one is the default.
COMPUTED_BY = ("client", "distributed", "threads")
#: What Dask's checkout has pytest rewrite, for messages that say what was compared.
REWRITTEN = ("dask.array.utils", "dask.dataframe.utils", "dask.bag.utils")

pytest.register_assert_rewrite(*REWRITTEN)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Who computes, and where to say what failed."""
    group = parser.getgroup("dask_suite")
    group.addoption("--computed-by", choices=COMPUTED_BY, default=COMPUTED_BY[0])
    group.addoption("--failed", type=Path, help="a file for the names of what fails, one a line")


def pytest_configure(config: pytest.Config) -> None:
    """Listen for failures where all reports come together, which is no process of xdist's."""
    path = config.getoption("failed")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(path))


class NoCluster(Exception):
    """Who should compute cannot: that tests fail then says nothing of them."""


class Failures:
    """The names of tests that fail, also while they are set up or torn down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, None] = {}
        self.told_nothing = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the name, once."""
        if report.failed:
            self.names[report.nodeid] = None
            self.told_nothing |= NoCluster.__name__ in str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write them all down; pytest's exit code says whether they mean anything."""
        self.path.write_text("".join(f"{name}\n" for name in self.names), encoding="utf-8")
        if self.told_nothing:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@contextmanager
def ours() -> Iterator[Any]:
    """The client that is tested, and its cluster in this process."""
    from trio_dask import Client, LocalCluster

    # Without a dashboard, whose port clusters of Dask's own tests want to have.
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def distributeds() -> Iterator[Any]:
    """That of dask.distributed, whose workers are processes: only then all of it is pickled."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def replaced(get: Callable[..., Any]) -> Iterator[None]:
    """Every scheduler that can be named is this one."""
    import dask.base

    before: dict[str, Any] = dict(dask.base.named_schedulers)
    dask.base.named_schedulers.update(dict.fromkeys(before, get))
    yield
    dask.base.named_schedulers.update(before)


@pytest.fixture(scope="session")
def configuration(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What Dask's configuration has to say, as long as the client and its cluster are there."""
    import dask.config

    # As in Dask's checkout: an asynchronous client of dask.distributed is no default scheduler.
    said: dict[str, Any] = {"admin.async-client-fallback": "sync"}
    who = request.config.getoption("computed_by")
    if who == "threads":
        yield said
        return
    with ExitStack() as stack:
        try:
            with warnings.catch_warnings(action="ignore"):
                client = stack.enter_context((ours if who == "client" else distributeds)())
        except Exception as error:
            raise NoCluster(who) from error
        stack.enter_context(replaced(client.get))
        # What the client has put there.
        chosen = ("scheduler", "dataframe.shuffle.method")
        yield said | {each: dask.config.get(each) for each in chosen}


@pytest.fixture(autouse=True)
def who_computes(configuration: dict[str, Any]) -> Iterator[None]:
    """For each test anew: those of dask.distributed's tools clear Dask's whole configuration."""
    import dask.config

    with dask.config.set(configuration):
        yield
