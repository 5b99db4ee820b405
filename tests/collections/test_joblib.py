"""joblib's calls on a cluster."""

from __future__ import annotations

import multiprocessing
import operator
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

joblib = pytest.importorskip("joblib", reason="joblib is not installed")

from trio_dask import Client, get_worker  # noqa: E402 - after it is known to be there
from trio_dask.client.joblib import TrioDaskBackend  # noqa: E402


def test_calls(client: Client) -> None:
    """Values in order, as a list and as they are ready; errors."""
    calls = [joblib.delayed(pow)(number, 2) for number in range(20)]
    with joblib.parallel_config(backend="trio_dask", n_jobs=-1):
        assert joblib.Parallel()(calls) == [number**2 for number in range(20)]
        found = joblib.Parallel(return_as="generator_unordered")(calls)
        assert sorted(found) == [number**2 for number in range(20)]
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()([joblib.delayed(operator.floordiv)(1, 0)])


def test_how_many(client: Client) -> None:
    """By the slots of the cluster."""
    backend = TrioDaskBackend(client=client)
    assert [backend.effective_n_jobs(jobs) for jobs in (-1, 1, 5, -2, -9)] == [2, 1, 5, 1, 1]
    with pytest.raises(ValueError, match="n_jobs=0"):
        backend.effective_n_jobs(0)


IMPORTED_LATE = """
from trio_dask import Client
with Client(n_workers=1, processes=False):
    from trio_dask.client.joblib import TrioDaskBackend
    import joblib
    with joblib.parallel_config(backend="trio_dask"):
        print(joblib.Parallel()([joblib.delayed(pow)(2, 5)]))
"""


@pytest.mark.processes
def test_the_backend_may_be_imported_first() -> None:
    """While a client is open, and before joblib is there: that imports joblib in turn."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_LATE], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[32]\n", "")


def test_large_arguments_are_sent_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of many calls is stored on the cluster, and let go with the last one."""
    large = np.arange(50_000)
    put: list[Any] = []

    def first(values: Any, row: int) -> int:
        return int(values[row])

    before = client.scatter

    def counted(data: Any, **options: Any) -> Any:
        put.append(data)
        return before(data, **options)

    monkeypatch.setattr(client, "scatter", counted)
    with joblib.parallel_config(backend="trio_dask", n_jobs=2, options={"priority": 1}):
        calls = (joblib.delayed(first)(large, row) for row in range(30))
        assert joblib.Parallel()(calls) == list(range(30))
    assert len(put) == 1


def where(number: int) -> tuple[str, int]:
    """A call, and that it is a task."""
    return get_worker().name, number


def call_others(number: int) -> list[int]:
    """Calls inside a call."""
    with joblib.parallel_config(n_jobs=4):
        found = joblib.Parallel()(joblib.delayed(where)(number + more) for more in range(6))
    assert all(name for name, _ in found)
    assert get_worker().name, "this one goes on in its slot"
    return [number for _, number in found]


def test_calls_inside_calls(client: Client) -> None:
    """They are on the cluster, too, and who waits for them takes no slot, so all of them may."""
    with joblib.parallel_config(backend="trio_dask"):
        found = joblib.Parallel()(joblib.delayed(call_others)(10 * outer) for outer in range(4))
    assert found == [[10 * outer + more for more in range(6)] for outer in range(4)]


def endless() -> None:
    """A call that an exception stops: a thread of this process is to be left in good order."""
    while True:
        time.sleep(0.001)


def squares(count: int) -> list[int]:
    """A task that makes calls; nothing there has asked for a client."""
    with joblib.parallel_config(backend="trio_dask"):
        return list(joblib.Parallel()(joblib.delayed(pow)(each, 2) for each in range(count)))


@pytest.mark.processes
def test_calls_of_a_task() -> None:
    """It has no client but that of the task, and leaves them its slot."""
    with Client(n_workers=1, threads_per_worker=1) as own:
        assert own.submit(squares, 4).result(timeout=60) == [0, 1, 4, 9]


def test_calls_that_take_too_long(client: Client) -> None:
    """They are given up, and their slots are free for the next ones."""
    with joblib.parallel_config(backend="trio_dask"):
        with pytest.raises(multiprocessing.TimeoutError):
            joblib.Parallel(timeout=0.1)(joblib.delayed(endless)() for _ in range(4))
        assert joblib.Parallel()([joblib.delayed(pow)(2, 3)] * 3) == [8] * 3


def test_scikit_learn(client: Client) -> None:
    """A search over parameters gives what it gives in this process."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    chance = np.random.default_rng(7)
    given, wanted = chance.normal(size=(60, 4)), chance.normal(size=60)
    found = []
    for backend in ("threading", "trio_dask"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, cv=3).fit(given, wanted)
            found.append((search.best_params_, search.cv_results_["mean_test_score"].tolist()))
    assert found[0] == found[1]
