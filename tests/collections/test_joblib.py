"""joblib's calls on a cluster."""

from __future__ import annotations

import operator
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

joblib = pytest.importorskip("joblib", reason="joblib is not installed")

from trio_dask.client.joblib import TrioDaskBackend  # noqa: E402 - after it is known to be there

if TYPE_CHECKING:
    from trio_dask import Client


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
