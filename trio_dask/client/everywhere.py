"""What is run in the runner of each worker. For both clients, once each way."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from trio_dask.client.base import BaseClient
from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.client.named import meant
from trio_dask.client.options import task_options
from trio_dask.client.outcomes import Failed
from trio_dask.client.task_worker import with_worker
from trio_dask.runner.versions import PACKAGES, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from trio_dask.client.core import Batch
    from trio_dask.messages.ids import TaskId

F = TypeVar("F", bound="BaseFuture[Any]")
OnError = Literal["raise", "return", "ignore"]

#: It is not to wait for what others have submitted.
_PRIORITY: Final = 100_000


async def _run(
    client: BaseClient,
    make: Callable[[Batch, TaskId], F],
    called: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
    *,
    workers: str | Iterable[str] | None,
    on_error: OnError,
) -> dict[str, Any] | Failed:
    """Call something in the runner of each worker: values by address, or the first error."""
    if on_error not in ("raise", "return", "ignore"):
        msg = f"on_error={on_error!r}: it is 'raise', 'return' or 'ignore'"
        raise ValueError(msg)
    fn, args, kwargs = called
    if _takes_worker(fn):
        called = with_worker(fn), args, kwargs
    known = (await client.live.ask("info", {}))["workers"]
    futures: dict[str, F] = {}
    for address in meant(known, workers):
        options = task_options(
            priority=_PRIORITY, retries=0, resources=None, workers=[address],
            allow_other_workers=False, timeout=None, deadline=None, on_cancel="interrupt",
        )  # fmt: skip
        futures[address] = client.submit_one(make, called, options)
    outcomes = {address: await _outcome(client, future) for address, future in futures.items()}
    failed = [each for each in outcomes.values() if type(each) is Failed]
    if failed and on_error == "raise":
        return failed[0]
    if on_error == "ignore":
        return {address: each for address, each in outcomes.items() if type(each) is not Failed}
    return {
        address: each.error if type(each) is Failed else each for address, each in outcomes.items()
    }


def _takes_worker(fn: Any) -> bool:
    """Whether it has a parameter for the worker, as functions for Dask's `run` have."""
    try:
        return "dask_worker" in inspect.signature(fn).parameters
    except (TypeError, ValueError):  # it has no signature, or is no function, which is said later
        return False


async def _outcome(client: BaseClient, future: BaseFuture[Any]) -> Any:
    """What it gave, which may be an exception; `Failed` if it raised one, or cannot be had."""
    return await client.live.values.one(future._batch, future._tid, None)  # noqa: SLF001


async def _get_versions(
    client: BaseClient,
    make: Callable[[Batch, TaskId], Any],
    packages: Iterable[str],
    *,
    check: bool,
) -> dict[str, Any]:
    names = [*PACKAGES, *(name for name in packages if name not in PACKAGES)]
    found = await _run(client, make, (versions, (names,), {}), workers=None, on_error="return")
    assert isinstance(found, dict), "errors are returned among the values"
    answer = {"client": versions(names), "workers": found}
    if check:
        differ = _differences(answer["client"], found)
        if differ:
            warnings.warn("\n".join(["versions differ:", *differ]), stacklevel=4)
    return answer


def _differences(own: dict[str, Any], workers: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for address, theirs in workers.items():
        if not isinstance(theirs, dict):
            lines.append(f"  {address} does not say: {theirs!r}")
            continue
        for name, version in own.items():
            there = theirs.get(name)
            same = there == version
            if name == "python":  # what is pickled by one minor version is not for another
                same = str(there).split(".")[:2] == version.split(".")[:2]
            if not same and version is not None:
                lines.append(f"  {name}: {version} here, {there or 'none'} on {address}")
    return lines


class AsyncEverywhere(BaseClient):
    """The methods of the client that is awaited."""

    async def run(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        workers: str | Iterable[str] | None = None,
        on_error: OnError = "raise",
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Call ``fn(*args, **kwargs)`` once on each worker, in the process that runs its tasks.

        It runs before all tasks that have not begun, and takes a slot as they do. A parameter
        `dask_worker` is what `get_worker` gives there.

        Args:
            fn: the function, an ``async def`` one, too.
            args: its arguments.
            workers: which, by address, name or host; all, if nothing is said, and none of an
                empty list.
            on_error: with ``"raise"`` the first error is raised, with ``"return"`` errors are in
                the place of values, with ``"ignore"`` there are no entries for those workers.
            kwargs: its named arguments.

        Returns:
            What it gave, by the worker's address.
        """
        found = await _run(
            self, AsyncFuture, (fn, args, kwargs), workers=workers, on_error=on_error
        )
        if isinstance(found, Failed):
            raise found.take()
        return found

    async def get_versions(
        self,
        check: bool = False,  # noqa: FBT001, FBT002 - as in Dask
        packages: Iterable[str] = (),
    ) -> dict[str, Any]:
        """The versions of Python and of packages, of the client and of each worker.

        Args:
            check: warn if a worker does not have what the client has.
            packages: more packages to be looked for.
        """
        return await _get_versions(self, AsyncFuture, packages, check=check)


class Everywhere(BaseClient):
    """The methods of the client that blocks."""

    def run_blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of this client's in this thread."""
        raise NotImplementedError

    def run(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        workers: str | Iterable[str] | None = None,
        on_error: OnError = "raise",
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Call ``fn(*args, **kwargs)`` once on each worker, in the process that runs its tasks.

        It runs before all tasks that have not begun, and takes a slot as they do. A parameter
        `dask_worker` is what `get_worker` gives there.

        Args:
            fn: the function, an ``async def`` one, too.
            args: its arguments.
            workers: which, by address, name or host; all, if nothing is said, and none of an
                empty list.
            on_error: with ``"raise"`` the first error is raised, with ``"return"`` errors are in
                the place of values, with ``"ignore"`` there are no entries for those workers.
            kwargs: its named arguments.

        Returns:
            What it gave, by the worker's address.
        """
        found = self.run_blocking(
            _run(self, Future, (fn, args, kwargs), workers=workers, on_error=on_error)
        )
        if isinstance(found, Failed):
            raise found.take()
        values: dict[str, Any] = found
        return values

    def get_versions(
        self,
        check: bool = False,  # noqa: FBT001, FBT002 - as in Dask
        packages: Iterable[str] = (),
    ) -> dict[str, Any]:
        """The versions of Python and of packages, of the client and of each worker.

        Args:
            check: warn if a worker does not have what the client has.
            packages: more packages to be looked for.
        """
        found: dict[str, Any] = self.run_blocking(
            _get_versions(self, Future, packages, check=check)
        )
        return found
