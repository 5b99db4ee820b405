"""Jobs as programs have them, the same on three schedulers; `eight_workloads.py` runs them.

Each takes where it runs (``threads``, ``trio_dask`` or ``distributed``), a client there or None, and
whether it is to be small; it gives a checksum that is the same everywhere.
"""

from __future__ import annotations

import concurrent.futures
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import dask.array as da
import numpy as np
import pandas as pd
from web_service import factors, requested

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

WORKERS: Final = 2


def climatology_xarray(_where: str, _client: Any, *, small: bool) -> float:
    """Deviations from the mean of each month, as xarray has them, of twenty years of a globe."""
    import xarray as xr

    days, rows, columns = (730, 8, 16) if small else (7300, 45, 90)
    values = da.random.default_rng(3).normal(
        size=(days, rows, columns), chunks=(365, rows, columns)
    )
    time = pd.date_range("2000-01-01", periods=days)
    data = xr.DataArray(values, dims=("time", "lat", "lon"), coords={"time": time})
    months = data.groupby("time.month")
    return float(np.round((months - months.mean("time")).std().compute().item(), 6))


def sweep(where: str, _client: Any, *, small: bool) -> float:
    """A search for the best parameters of a model, by scikit-learn and joblib."""
    from joblib import parallel_config
    from sklearn.datasets import make_classification
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    features, kinds = make_classification(300 if small else 6000, 20, random_state=5)
    choices = {"max_depth": [2, 4] if small else [2, 4, 6, 8, 10], "min_samples_leaf": [1, 5, 20]}
    grid = GridSearchCV(DecisionTreeClassifier(random_state=1), choices, cv=3)
    backend = {"threads": "threading", "distributed": "dask"}.get(where, where)
    with parallel_config(backend=backend, n_jobs=WORKERS):
        grid.fit(features, kinds)
    return float(np.round(grid.cv_results_["mean_test_score"].sum(), 6))


def area(left: float, right: float) -> tuple[float, float, float, float]:
    """The area below a curve, and how wrong that may be."""
    middle = (left + right) / 2
    whole, halves = simpson(left, right), simpson(left, middle) + simpson(middle, right)
    return left, right, halves, abs(halves - whole)


def simpson(left: float, right: float) -> float:
    """By parabolas."""
    at = np.linspace(left, right, 2_001)
    heights = np.sin(1 / (at + 0.002)) * np.exp(-at)
    weights = np.full(len(at), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return float((heights * weights).sum() * (right - left) / 6_000)


def search(where: str, client: Any, *, small: bool) -> float:
    """An integral: what is not known well enough when it comes is halved, and both are submitted."""
    limit = 1e-9 if small else 1e-17
    if where == "threads":
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            return _search(pool, _Completed(), limit)
    if where == "distributed":
        from distributed import as_completed
    else:
        from trio_dask import as_completed
    return _search(client, as_completed([], with_results=True), limit)


def _search(client: Any, coming: Any, limit: float) -> float:
    for edge in range(8):
        coming.add(client.submit(area, edge / 8, (edge + 1) / 8))
    found: list[float] = []
    for _, (left, right, value, error) in coming:
        middle = (left + right) / 2
        if error <= limit or right - left < 1e-3:
            found.append(value)
        else:
            coming.add(client.submit(area, left, middle))
            coming.add(client.submit(area, middle, right))
    return round(math.fsum(found), 9)


class _Completed:
    """`as_completed` for threads, to which more can be added."""

    def __init__(self) -> None:
        self._pending: set[concurrent.futures.Future[Any]] = set()

    def add(self, future: concurrent.futures.Future[Any]) -> None:
        """One more."""
        self._pending.add(future)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while self._pending:
            done, self._pending = concurrent.futures.wait(
                self._pending, return_when=concurrent.futures.FIRST_COMPLETED
            )
            yield from ((each, each.result()) for each in done)


def service(where: str, client: Any, *, small: bool) -> float:
    """A web service that has its answers computed elsewhere, asked by many at a time."""
    count, start = (40, 10**6) if small else (400, 10**12)
    return anyio.run(_service, where, client, count, start, backend="asyncio")


async def _service(where: str, client: Any, count: int, start: int) -> float:
    address = "" if client is None else getattr(client, "scheduler_address", None)
    if where == "distributed":
        address = client.scheduler.address
    async with _computing(where, address) as compute:
        return float(await requested(compute, count, start))


@asynccontextmanager
async def _computing(where: str, address: str) -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    if where == "threads":
        limiter = anyio.CapacityLimiter(WORKERS)
        yield lambda number: anyio.to_thread.run_sync(factors, number, limiter=limiter)
    elif where == "distributed":
        from distributed import Client

        async with Client(address, asynchronous=True) as there:
            yield lambda number: there.submit(factors, number, pure=False).result()
    else:
        from trio_dask import AsyncClient

        async with AsyncClient(address) as client:
            yield lambda number: client.submit(factors, number).result()


PROGRAMS: Final[dict[str, Callable[..., float]]] = {
    job.__name__: job for job in (climatology_xarray, sweep, search, service)
}
