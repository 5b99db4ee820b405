"""How values come and go, with a `Client`: `gather` and `scatter`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from trio_dask.client.base import BaseClient
from trio_dask.client.futures import Future
from trio_dask.client.outcomes import Failed
from trio_dask.client.scattering import scatter
from trio_dask.client.waits import seconds_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from rich.console import Console

T = TypeVar("T")
K = TypeVar("K")


class Moving(BaseClient):
    """`gather` and `scatter`: the type of what goes in says that of what comes out."""

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of this client's in this thread."""
        raise NotImplementedError

    @overload
    def gather(
        self, futures: Future[T], errors: Literal["raise"] = ..., *, progress: bool | Console = ...
    ) -> T: ...

    @overload
    def gather(
        self,
        futures: list[Future[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> list[T]: ...

    @overload
    def gather(
        self,
        futures: set[Future[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> set[T]: ...

    @overload
    def gather(
        self,
        futures: dict[K, Future[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> dict[K, T]: ...

    @overload
    def gather(
        self,
        futures: Iterator[Future[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> list[T]: ...

    @overload
    def gather(
        self,
        futures: Any,
        errors: Literal["raise", "skip", "return"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> Any: ...

    def gather(
        self,
        futures: Any,
        errors: Literal["raise", "skip", "return"] = "raise",
        *,
        progress: bool | Console = False,
    ) -> Any:
        """Wait for the values of futures in nested lists, tuples, sets and dicts.

        They come in the same shape. The first task that fails raises its error at once; with
        ``errors="skip"`` failed ones are left out (one that is all there is gives None), with ``"return"`` the errors are in the
        place of values. An iterator gives a list.

        With ``progress=True`` it shows how many tasks are done, and how many values have
        come, in bytes, too: bars on a terminal or in a notebook, a line every five seconds
        elsewhere. A value counts when all of it is here.

        Raises:
            SchedulerUnreachable: the connection was lost before.
            ValueError: some of them are another client's.
        """
        values = self.run_blocking(self._gather(futures, errors, progress))
        if type(values) is Failed:
            raise values.take()
        return values

    # What is a list is also anything: of two that suit, the first one counts.
    @overload
    def scatter(  # type: ignore[overload-overlap]
        self,
        data: list[T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,
        progress: bool | Console = ...,
    ) -> list[Future[T]]: ...

    @overload
    def scatter(  # type: ignore[overload-overlap]
        self,
        data: tuple[T, ...],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,
        progress: bool | Console = ...,
    ) -> tuple[Future[T], ...]: ...

    @overload
    def scatter(  # type: ignore[overload-overlap]
        self,
        data: set[T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,
        progress: bool | Console = ...,
    ) -> set[Future[T]]: ...

    @overload
    def scatter(  # type: ignore[overload-overlap]
        self,
        data: dict[K, T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,
        progress: bool | Console = ...,
    ) -> dict[K, Future[T]]: ...

    @overload
    def scatter(
        self,
        data: T,
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,
        progress: bool | Console = ...,
    ) -> Future[T]: ...

    def scatter(
        self,
        data: Any,
        *,
        workers: str | Iterable[str] | None = None,
        broadcast: bool | int = False,
        hash: bool = False,  # noqa: A002 - as in Dask
        timeout: float | str | None = None,
        progress: bool | Console = False,
    ) -> Any:
        """Store values on workers, and return futures for them when they are there.

        A list, tuple, set or dict gives futures in the same shape; anything else, also a
        subclass of these, one future. ``broadcast=True`` puts a copy on each worker, a number
        on so many; they pass it on to one another, and it is waited for.

        `hash` is there for programs written for Dask, and can be False only: each value has a key
        of its own, whatever is in it.

        With ``progress=True`` it shows how many values are pickled, and how many are stored, in
        bytes, too, as `gather` does.

        Where no worker may have them, as none is there, or none that is named, it waits for one,
        `timeout` seconds at most, and for ever without; the log says so after a while.

        Raises:
            TimeoutError: there was none in time; nothing of it is stored.
            ValueError: an option makes no sense.
        """
        return self.run_blocking(
            scatter(
                self, Future, data, workers, broadcast=broadcast, by_content=hash,
                progress=progress, limit_s=seconds_of(timeout),
            )
        )  # fmt: skip
