"""joblib, and scikit-learn with it, on a cluster: ``parallel_config(backend="trio_dask")``."""

from __future__ import annotations

import copy
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from trio_dask.client import currents
from trio_dask.client.blocking import Client
from trio_dask.client.inside import of_task
from trio_dask.runner import rejoin, secede
from trio_dask.runner.chunks import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.client.executor import ClientExecutor, ExecutorFuture

#: Arguments from this size on are sent once for all calls that have them.
_LARGE_BYTES: Final = 100_000


class TrioDaskBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # it has no types
    """Runs joblib's calls on the cluster of a client.

    Args:
        client: whose cluster; without it, that of the block, or the last one opened.
        options: options of `Client.submit` for all calls; others are joblib's.
    """

    supports_retrieve_callback: ClassVar = True
    supports_sharedmem: ClassVar = False
    uses_threads: ClassVar = False
    default_n_jobs: ClassVar = -1

    def __init__(
        self, *args: Any, client: Client | None = None, options: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._client = client
        self._options: dict[str, Any] = dict(options or {})
        self._executor: ClientExecutor | None = None
        self._lock = threading.Lock()
        self._stored: dict[int, tuple[Any, Any]] = {}

    def __reduce__(self) -> Any:
        # A batch of calls carries the backend for calls inside them, which finds its client there.
        return _again, (self.nesting_level, self._options)

    def _own_client(self) -> Client:
        own = of_task() if self._client is None else self._client
        return own if isinstance(own, Client) else currents.find(Client)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """So many as the cluster has slots, if not fewer are asked for."""
        if n_jobs == 0:
            msg = "n_jobs=0 makes no sense: 1 or more, or -1 for all"
            raise ValueError(msg)
        slots = max(1, sum(self._own_client().nthreads().values()))
        if n_jobs is None or n_jobs == -1:
            return slots
        return n_jobs if n_jobs > 0 else max(1, slots + 1 + n_jobs)

    def get_nested_backend(self) -> tuple[TrioDaskBackend, None]:
        """For calls inside calls: on the cluster, too."""
        return TrioDaskBackend(
            nesting_level=(self.nesting_level or 0) + 1, options=self._options
        ), None

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Waiting for calls; inside a task without its slot, as they may need it."""
        inside = of_task() is not None
        if inside:
            secede()
        try:
            yield
        finally:
            if inside:
                rejoin()

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Be ready for calls."""
        self.parallel = parallel
        self._executor = self._own_client().get_executor(**self._options)
        return self.effective_n_jobs(n_jobs)

    def submit(
        self, func: Any, callback: Callable[[Any], object] | None = None
    ) -> ExecutorFuture[Any]:
        """Run a batch of calls."""
        assert self._executor is not None, "joblib configures a backend before it uses it"
        future = self._executor.submit(call, self._light(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: ExecutorFuture[Any]) -> Any:
        """What a batch gave, or its error."""
        return out.result()

    def _light(self, batch: Any) -> Any:
        """The same calls with futures in the place of what is large."""
        items = getattr(batch, "items", None)
        if items is None:
            return batch
        light = copy.copy(batch)
        light.items = [
            (fn, tuple(map(self._once, args)), {name: self._once(v) for name, v in kwargs.items()})
            for fn, args, kwargs in items
        ]
        return light

    def _once(self, value: Any) -> Any:
        if type(value).__module__.partition(".")[0] not in {"numpy", "pandas", "scipy"}:
            return value
        known = self._stored.get(id(value))
        if known is None:
            nbytes = getattr(value, "nbytes", 0)
            if hasattr(value, "memory_usage"):
                used = value.memory_usage()
                nbytes = getattr(used, "sum", lambda: used)()
            if nbytes < _LARGE_BYTES:
                return value
            with self._lock:
                known = self._stored.get(id(value))
                if known is None:
                    future = self._own_client().scatter([value])[0]
                    known = self._stored[id(value)] = value, future
        return known[1]

    def stop_call(self) -> None:
        """All calls have ended: what they shared can go."""
        self._stored.clear()

    def terminate(self) -> None:
        """Nothing more will be called."""
        self._stored.clear()
        self.reset_batch_stats()
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002 - joblib's
        """Give up what has not ended."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self._stored.clear()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)


def _again(nesting_level: int | None, options: dict[str, Any]) -> TrioDaskBackend:
    return TrioDaskBackend(nesting_level=nesting_level, options=options)
