"""Clients inside tasks: they talk through their runner's socket, and end with the task.

No connection, no loop, no thread: what such a client says goes through the worker that runs
the task. It is the scheduler that knows whose it is; see `trio_dask.messages.nested`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.client import currents
from trio_dask.client.async_client import AsyncClient
from trio_dask.client.base import BaseClient
from trio_dask.client.blocking import Client
from trio_dask.client.entrance import Entrance
from trio_dask.client.inside_waits import TaskLoopWaits, TaskThreadWaits
from trio_dask.client.live import Live
from trio_dask.client.loops import dial
from trio_dask.client.shapes import futures_in
from trio_dask.comm import Keys
from trio_dask.config import Config
from trio_dask.errors import LocalProtocolError, RemoteProtocolError, TaskError
from trio_dask.messages.nested import NestedGot, NestedJoin
from trio_dask.messages.session import Goodbye, Refused
from trio_dask.messages.values import FOUND, Fetch, Store, StoreDone, Values
from trio_dask.runner import Nest, current, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from trio_dask.client.futures import BaseFuture
    from trio_dask.client.waits import Waits
    from trio_dask.messages import Message
    from trio_dask.messages.ids import TaskId

_OVER: Final = "its task has ended"
_ELSEWHERE: Final = (
    "inside a task values are stored on its own worker: leave workers= and broadcast= out"
)


class NestedLive(Live):
    """The core of a client inside a task, and its way to the scheduler."""

    def __init__(self, nest: Nest, owner: BaseClient, waits: Waits) -> None:
        config = Config().client
        settings = nest.slots.settings
        entrance = Entrance(
            settings.get("scheduler_address", ""), Keys(b"", b"", b""), 0.0,
            config.argument_bytes_max, config.full_tracebacks, tracing=nest.traced,
        )  # fmt: skip
        super().__init__(
            entrance, owner, dial, name=f"in {nest.key}", waits=waits, on_loop=True, lasting=False
        )
        number, first, cluster = nest.slots.numbers.take()
        self.owner: Final = owner
        self._nest: Final = nest
        self._asked: dict[int, str] = {}  # serial → the address that is asked
        self.core.adopt(number, first, cluster)
        self._wake = self.core.table.drops.wake = partial(nest.soon, self._on_wake)
        self._open = True
        nest.guest = self
        nest.say([NestedJoin(nest.attempt, number)])

    async def close(self) -> None:
        """It ends with its task, not before."""

    def within(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a submission: it has no more time than the task."""
        end = self._nest.ends_at
        if options.get("deadline", inf) <= end:
            return options
        return options | {"deadline": end, "asked": max(0.0, end - monotonic())}

    # ------------------------------------------------------------ saying

    def flush_now(self) -> None:
        """Send what is to be sent. In any thread."""
        with self.lock:
            while self._forgotten:
                self.core.unwatch(self._forgotten.popleft())
            if self.core.ended:
                return
            messages, data = self.core.flush(monotonic())
            try:
                if messages:
                    self._nest.say(messages)
            except LocalProtocolError as error:
                self._on_over(f"what was to be sent to the scheduler cannot be: {error}")
            for address, message in data:
                self._say_data(address, message)
        self._nest.flush()

    def _say_data(self, address: str, message: Message) -> None:
        if isinstance(message, Fetch):
            self._asked[message.serial] = address
            self._nest.fetch(message, address, self.core.large_of(message))
        elif isinstance(message, Store):
            self._asked[message.serial] = address
            self._nest.store(message.serial, message.tids, message.payloads)

    # ------------------------------------------------------------ hearing

    def hear(self, messages: list[Message]) -> None:
        """What the scheduler says; called by the runner's reader."""
        self._on_own(self._hear, messages)

    def got(self, message: NestedGot, sources: Mapping[TaskId, Any]) -> None:
        """What the worker says about values; called by the runner's reader."""
        self._on_own(self._got, message, sources)

    def _on_own(self, call: Callable[..., None], *args: Any) -> None:
        """Call something where the client's bells may be rung."""
        coroutine = self._nest.coroutine
        if coroutine is None:
            call(*args)
        elif coroutine.loop is not None:
            coroutine.loop.soon(call, *args)

    def _hear(self, messages: list[Message]) -> None:
        last = messages[-1] if messages else None
        with self.lock:
            if self.core.ended:
                return
            try:
                self.core.handle(messages)
            except RemoteProtocolError as error:
                self._on_over(f"the scheduler says what makes no sense: {error}")
            if isinstance(last, Goodbye | Refused):
                self._on_over(last.reason)
        self.flush_now()

    def _got(self, message: NestedGot, sources: Mapping[TaskId, Any]) -> None:
        with self.lock:
            address = self._asked.pop(message.serial, None)
            if address is None or self.core.ended:
                return
            told: Message = StoreDone(message.serial, "")
            if message.tids:
                rows = zip(message.tids, message.statuses, strict=True)
                here: list[Any] = [
                    partial(resolve, sources[tid]) for tid, status in rows if status == FOUND
                ]
                told = Values(
                    message.serial, message.tids, message.statuses, message.failures, here,
                    last=True,
                )  # fmt: skip
            self.core.handle_data(address, [told])
        self.flush_now()

    def _on_over(self, reason: str) -> None:
        self._asked.clear()
        self.core.table.end_pending(reason)
        self.core.end(reason)

    # ------------------------------------------------------------ the end

    def objection(self, value: Any) -> BaseException | None:
        """Why this cannot be the result of the task: it has futures in it, which end with it."""
        found: list[BaseFuture[Any]] = []
        futures_in(value, found)
        if not found:
            return None
        return TaskError(
            f"{self._nest.key} returned the future {found[0].key}, which ends with the task that "
            "submitted it: return its value, as of result() or gather(). To let a task go on "
            "without anybody who waits for it there is fire_and_forget()."
        )

    def part(self) -> None:
        """The task has ended."""
        self.flush_now()
        with self.lock:
            self._open, self._closing = False, True
            self._on_over(_OVER)
        if isinstance(self.owner, TaskClient):
            self.owner.end_callbacks()


class TaskClient(Client):
    """The `Client` of a plain function that runs as a task. See `get_client`."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest
        self.cluster = None
        self._make_threads(nest.key)
        BaseClient.__init__(self, NestedLive(nest, self, TaskThreadWaits(nest)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """It ends with its task, not before."""

    def close(self) -> None:
        """It ends with its task, not before."""

    def end_callbacks(self) -> None:
        """No callback comes any more."""
        self._end_threads()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called in a while, unless it is taken back, or the process ends before."""
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), call)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def scatter(self, data: Any, **options: Any) -> Any:
        """As `Client.scatter`, to the worker that runs the task."""
        return super().scatter(data, **_here_only(options))


class TaskAsyncClient(AsyncClient):
    """The `AsyncClient` of an ``async def`` function that runs as a task. See `get_client`."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest
        self.cluster = None
        BaseClient.__init__(self, NestedLive(nest, self, TaskLoopWaits(nest)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """It ends with its task, not before."""

    async def close(self) -> None:
        """It ends with its task, not before."""

    async def scatter(self, data: Any, **options: Any) -> Any:
        """As `AsyncClient.scatter`, to the worker that runs the task."""
        return await super().scatter(data, **_here_only(options))


def _here_only(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("workers") is not None or options.get("broadcast"):
        raise ValueError(_ELSEWHERE)
    return options


def get_client() -> Any:
    """The client to use here.

    Inside a task it is one of its own, which ends with the task: what the task has submitted
    by then, and nobody else wants, is cancelled. It is an `AsyncClient` in an ``async def``
    function and a `Client` in a plain one, and needs no address and no token. While the task
    waits for it, its slot is free for others.

    Elsewhere it is the client whose block this is, or the last one opened that is still open.

    Raises:
        ValueError: there is none.
    """
    own = of_task()
    if own is not None:
        return own
    try:
        return currents.find(BaseClient)
    except ValueError as error:
        msg = f"{error}; a thread that a task has started is to be handed the task's own"
        raise ValueError(msg) from None


def of_task() -> Any:
    """The client of the task that runs here; None outside of tasks."""
    nest = current()
    if nest is None:
        return None
    if nest.guest is None:
        return TaskClient(nest) if nest.coroutine is None else TaskAsyncClient(nest)
    assert isinstance(nest.guest, NestedLive)
    return nest.guest.owner


@contextmanager
def worker_client() -> Iterator[Any]:
    """Inside a task: its client, as `get_client` gives it. For code written for Dask."""
    yield get_client()
