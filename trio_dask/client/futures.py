"""Futures: small views of a task in a batch."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from trio_dask.client.attaching import reduce_future
from trio_dask.client.binding import NOWHERE, of_key
from trio_dask.client.core import (
    CANCELLED,
    PENDING,
    RELEASED,
    STATUS_NAMES,
    Batch,
)
from trio_dask.client.notebook import as_html
from trio_dask.client.outcomes import Failed
from trio_dask.client.waits import seconds_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import ModuleType, TracebackType
    from typing import TypeAlias

    from trio_dask.client.async_client import AsyncClient
    from trio_dask.client.blocking import Client
    from trio_dask.client.explaining import Explanation
    from trio_dask.client.task_logs import TaskLog
    from trio_dask.messages.ids import TaskId

    Kind: TypeAlias = type[Any]  # in a class that has a `type` this is another word

T = TypeVar("T")


@functools.cache
def _reference(spec: ModuleType) -> type:
    """What futures say they are when dask asks: dask's own base class for them cannot be ours."""
    try:
        return type("Future", (spec.TaskRef,), {"__slots__": ()})
    except AttributeError:  # it is still being imported
        return BaseFuture


class BaseFuture(Generic[T]):
    """What the futures of both clients have in common: everything that needs no waiting.

    The task is released when its future is released, or collected as garbage.
    """

    __slots__ = ("__weakref__", "_batch", "_tid")
    #: What people know it as, whatever its class is.
    _title: ClassVar[str] = "Future"

    #: The value stays where it is, and here is what stands for it.
    stays: ClassVar[bool] = False

    def __init__(self, key: Any = None, client: Any = None) -> None:
        # Those that the client makes are views of a batch; the names are those of the others.
        self._batch: Batch = key
        self._tid: TaskId = client
        if type(key) is not Batch:
            self._batch = NOWHERE  # if it is an error
            asynchronous = isinstance(self, AsyncFuture)
            self._batch, self._tid = of_key(key, client, asynchronous=asynchronous)

    def __del__(self) -> None:
        self._batch.drops.append(self._tid)

    def __repr__(self) -> str:
        return f"<{self._title}: {self.status}, key: {self.key}>"

    def _repr_html_(self) -> str:
        return as_html(self._title, {"Key": self.key, "Status": self.status})

    def __reduce_ex__(self, protocol: object) -> Any:
        return reduce_future(self._batch, self._tid, self._graph_key)

    @property  # type: ignore[misc]  # in typeshed it can be set
    def __class__(self) -> type:
        """Its type, which to dask, once that is imported, is a reference to a task."""
        spec = sys.modules.get("dask._task_spec")
        return type(self) if spec is None else _reference(spec)

    def __dask_tokenize__(self) -> tuple[str, str, int]:
        """What makes it another argument than the future of any other task."""
        core = self._batch.owner.live.core  # type: ignore[attr-defined]  # it is a client
        return "trio_dask.Future", core.cluster, core.origin(self._tid)

    def _graph_key(self) -> tuple[Any, ...]:
        """The key that a graph knows it by, if it is of one."""
        return ()

    @property
    def _code(self) -> int:
        return self._batch.status[self._tid - self._batch.first]

    @property
    def key(self) -> str:
        """The task's name in the cluster."""
        return self._batch.key(self._tid)

    @property
    def status(self) -> str:
        """One of ``pending``, ``finished``, ``error``, ``cancelled``, ``lost``."""
        return STATUS_NAMES[self._code]

    def done(self) -> bool:
        """Whether it came to an end, good or bad."""
        return self._code != PENDING

    def cancelled(self) -> bool:
        """Whether it was cancelled, or released here."""
        return self._code in (CANCELLED, RELEASED)

    def stand_in(self) -> Any:
        """What stands here for a value that stays where it is."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the task now. What nobody else wants is not run, or its value is freed."""
        self._batch.drops.append(self._tid)


class AsyncFuture(BaseFuture[T]):
    """A task of an `AsyncClient`. Await it for its value.

    ``AsyncFuture(key, client)`` is one more of a task that the client holds, as with `Future`.
    """

    __slots__ = ()
    _title = "AsyncFuture"

    @property
    def client(self) -> AsyncClient:
        """Whose task it is."""
        return cast("AsyncClient", self._batch.owner)

    def __await__(self) -> Generator[Any, Any, T]:
        return self.result().__await__()

    async def result(self, timeout: float | str | None = None) -> T:  # noqa: ASYNC109 - as in Dask
        """The value, or the error that the task raised.

        Waiting less long, or not to the end, does nothing to the task.

        Raises:
            TimeoutError: it was not done within `timeout` seconds.
            CancelledError: it was cancelled.
            SchedulerUnreachable: the connection was lost before it was done.
        """
        outcome = await self.client.live.values.one(self._batch, self._tid, seconds_of(timeout))
        if type(outcome) is Failed:
            raise outcome.take()
        return cast("T", outcome)

    async def exception(self, timeout: float | str | None = None) -> BaseException | None:  # noqa: ASYNC109
        """The error that the task raised, or None if it gave a value.

        Raises:
            TimeoutError, CancelledError, SchedulerUnreachable: as `result` does.
        """
        return await self.client.live.values.error(self._batch, self._tid, seconds_of(timeout))

    async def traceback(self, timeout: float | str | None = None) -> TracebackType | None:  # noqa: ASYNC109
        """Where the task raised its error, or None if it gave a value.

        The frames are those of the process that ran it: good for `traceback.print_tb`, but
        without variables.

        Raises:
            TimeoutError, CancelledError, SchedulerUnreachable: as `result` does.
        """
        await self.exception(timeout)
        return self.client.live.values.traceback(self._batch, self._tid)

    async def why(self) -> Explanation:
        """Why the task is where it is, in words. See `AsyncClient.why`."""
        return await self.client.why(self)

    async def logs(self, n: int | None = None) -> TaskLog:
        """What the task has said so far: lines it printed, logged, warned with. See `AsyncClient.logs`."""
        return await self.client.logs(self, n)

    async def cancel(self, reason: str = "") -> None:
        """Stop the task, for everyone. See `AsyncClient.cancel`."""
        await self.client.cancel([self], reason=reason)

    async def retry(self) -> None:
        """Run the task again, if it has failed. See `AsyncClient.retry`."""
        await self.client.retry([self])

    @property
    def type(self) -> Awaitable[Kind | None]:
        """The class of the value, to be awaited; None while there is none, and of what has not ended well.

        A small value is looked at here, a large one where it is, by a task of its own.

        Raises:
            ModuleNotFoundError: the class is of a module that is not here.
            SchedulerUnreachable: the connection was lost before it was known.

        Example:
            ``await future.type`` is `int`, if that is what came out.
        """
        from trio_dask.client.kinds import kind_of

        return kind_of(self.client, self)

    def add_done_callback(self, callback: Callable[[AsyncFuture[T]], object]) -> None:
        """Call `callback` with this future, on the loop, when it is done; soon if it is."""
        self.client.call_when_done(self, callback)


class Future(BaseFuture[T]):
    """A task of a `Client`: what `submit` and `map` give.

    ``Future(key, client)`` is one more of a task that the client holds, by its key; as long as
    it is there the task is wanted. Without a client it is that of the block, or of the task.

    Raises:
        ValueError: the client holds no task of this key.

    Example:
        ``Future("load-1", client).result()``
    """

    __slots__ = ()

    @property
    def client(self) -> Client:
        """Whose task it is."""
        return cast("Client", self._batch.owner)

    def result(self, timeout: float | str | None = None) -> T:
        """Wait for the value, and return it, or raise the error that the task raised.

        Waiting less long, or not to the end, does nothing to the task.

        Raises:
            TimeoutError: it was not done within `timeout` seconds.
            CancelledError: it was cancelled.
            SchedulerUnreachable: the connection was lost before it was done.
        """
        client = self.client
        outcome = client.run_blocking(
            client.live.values.one(self._batch, self._tid, seconds_of(timeout))
        )
        if type(outcome) is Failed:
            raise outcome.take()
        return cast("T", outcome)

    def exception(self, timeout: float | str | None = None) -> BaseException | None:
        """Wait for the error that the task raised; None if it gives a value.

        Raises:
            TimeoutError, CancelledError, SchedulerUnreachable: as `result` does.
        """
        client = self.client
        return client.run_blocking(
            client.live.values.error(self._batch, self._tid, seconds_of(timeout))
        )

    def traceback(self, timeout: float | str | None = None) -> TracebackType | None:
        """Where the task raised its error, or None if it gave a value.

        The frames are those of the process that ran it: good for `traceback.print_tb`, but
        without variables.

        Raises:
            TimeoutError, CancelledError, SchedulerUnreachable: as `result` does.
        """
        self.exception(timeout)
        return self.client.live.values.traceback(self._batch, self._tid)

    def why(self) -> Explanation:
        """Why the task is where it is, in words. See `Client.why`."""
        return self.client.why(self)

    def logs(self, n: int | None = None) -> TaskLog:
        """What the task has said so far: lines it printed, logged, warned with. See `Client.logs`."""
        return self.client.logs(self, n)

    def cancel(self, reason: str = "") -> None:
        """Stop the task, for everyone. See `Client.cancel`."""
        self.client.cancel([self], reason=reason)

    def retry(self) -> None:
        """Run the task again, if it has failed. See `Client.retry`."""
        self.client.retry([self])

    @property
    def type(self) -> Kind | None:
        """The class of the value; None while there is none, and of what has not ended well.

        A small value is looked at here, a large one where it is, by a task of its own.

        Raises:
            ModuleNotFoundError: the class is of a module that is not here.
            SchedulerUnreachable: the connection was lost before it was known.

        Example:
            ``future.type`` is `int`, if that is what came out.
        """
        from trio_dask.client.kinds import kind_of

        return self.client.run_blocking(kind_of(self.client, self))

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Call `callback` with this future when it is done, in a thread for callbacks."""
        self.client.call_when_done(self, callback)
