"""The clients of the systems behind one face: a graph is run on all of them alike."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import Executor, Future, wait as wait_for_all
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.graphs import inc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyio.from_thread import BlockingPortal

    from bench.graphs import Calls
    from trio_dask import AsyncClient


class Client(ABC):
    """What a case does with a system."""

    @abstractmethod
    def start(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        """Submit a graph; futures of what is asked for."""

    @abstractmethod
    def gather(self, futures: list[Any]) -> list[Any]:
        """Their values."""

    def scatter(self, values: list[Any]) -> list[Any]:
        """Futures of values that are with workers now."""
        raise NotImplementedError

    @abstractmethod
    def wait(self, futures: list[Any]) -> None:
        """Until all of them are computed, wherever their values are."""

    @abstractmethod
    def one_by_one(self, count: int, **options: Any) -> list[float]:
        """Submit a no-op, wait for its value, and again: the seconds that each took.

        `options` are those of the system's `submit`.
        """

    @abstractmethod
    def ping(self) -> None:
        """Ask the scheduler something small, and wait for the answer."""

    def run(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        """Submit a graph and gather it."""
        return self.gather(self.start(build))


class InLoop(Client):
    """trio_dask's async client, on its loop.

    The loop has a thread of its own; a case goes there once for a graph, not for each call.
    """

    def __init__(self, portal: BlockingPortal, client: AsyncClient) -> None:
        self._portal = portal
        self._client = client

    def start(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        return self._portal.call(build, self._client)

    def gather(self, futures: list[Any]) -> list[Any]:
        values: list[Any] = self._portal.call(self._client.gather, futures)
        return values

    def scatter(self, values: list[Any]) -> list[Any]:
        futures: list[Any] = self._portal.call(self._client.scatter, values)
        return futures

    def run(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        async def build_and_gather() -> Any:
            return await self._client.gather(build(self._client))

        values: list[Any] = self._portal.call(build_and_gather)
        return values

    def wait(self, futures: list[Any]) -> None:
        from trio_dask import wait

        self._portal.call(wait, futures)

    def one_by_one(self, count: int, **options: Any) -> list[float]:
        async def trips() -> list[float]:
            seconds = []
            for number in range(count):
                began = perf_counter()
                value = await self._client.submit(inc, number, **options)
                seconds.append(perf_counter() - began)
                assert value == number + 1
            return seconds

        return self._portal.call(trips)

    def ping(self) -> None:
        self._portal.call(self._client.nthreads)


class Blocking(Client):
    """A blocking client, of trio_dask or of distributed.

    Args:
        client: the client, open.
        wait: its module's function of this name.
        options: for `submit` and `map`: that each call is a task of its own.
    """

    def __init__(self, client: Any, wait: Callable[[Any], object], **options: Any) -> None:
        self._client = client
        self._wait = wait
        self._options = options

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """For graphs."""
        return self._client.submit(fn, *args, **self._options)

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> list[Any]:
        """For graphs."""
        futures: list[Any] = self._client.map(fn, *iterables, **self._options)
        return futures

    def start(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        return build(self)

    def gather(self, futures: list[Any]) -> list[Any]:
        values: list[Any] = self._client.gather(futures)
        return values

    def scatter(self, values: list[Any]) -> list[Any]:
        futures: list[Any] = self._client.scatter(values)
        return futures

    def wait(self, futures: list[Any]) -> None:
        self._wait(futures)

    def one_by_one(self, count: int, **options: Any) -> list[float]:
        seconds = []
        options |= self._options
        for number in range(count):
            began = perf_counter()
            value = self._client.submit(inc, number, **options).result()
            seconds.append(perf_counter() - began)
            assert value == number + 1
        return seconds

    def ping(self) -> None:
        self._client.nthreads()


class Pool(Client):
    """An executor of the standard library: what a user has without a cluster.

    It knows no dependencies. So a call waits here until its inputs are there, and is handed on
    with their values.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """For graphs."""
        inputs = list(_futures_in(args))
        if not inputs:
            return self._executor.submit(fn, *args)
        return _Later(self._executor, fn, args, inputs).outcome

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> list[Any]:
        """For graphs."""
        return [self.submit(fn, *row) for row in zip(*iterables, strict=False)]

    def start(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        return build(self)

    def gather(self, futures: list[Any]) -> list[Any]:
        return [future.result() for future in futures]

    def wait(self, futures: list[Any]) -> None:
        wait_for_all(futures)

    def one_by_one(self, count: int, **options: Any) -> list[float]:
        seconds = []
        for number in range(count):
            began = perf_counter()
            value = self._executor.submit(inc, number).result()
            seconds.append(perf_counter() - began)
            assert value == number + 1
        return seconds

    def ping(self) -> None:
        """There is no scheduler to ask."""


class _Later:
    """A call that is handed on when the last of its inputs is there."""

    def __init__(
        self,
        executor: Executor,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        inputs: list[Future[Any]],
    ) -> None:
        self.outcome: Future[Any] = Future()
        self._executor = executor
        self._fn = fn
        self._args = args
        self._missing = len(inputs)
        self._lock = threading.Lock()
        for each in inputs:
            each.add_done_callback(self._on_input)

    def _on_input(self, _input: Future[Any]) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        try:
            call = self._executor.submit(self._fn, *map(_value, self._args))
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
            self.outcome.set_exception(error)
        else:
            call.add_done_callback(self._on_done)

    def _on_done(self, call: Future[Any]) -> None:
        error = call.exception()
        if error is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(call.result())


def _futures_in(args: Iterable[Any]) -> Iterable[Future[Any]]:
    for arg in args:
        if isinstance(arg, Future):
            yield arg
        elif isinstance(arg, list):
            yield from _futures_in(arg)


def _value(arg: Any) -> Any:
    if isinstance(arg, Future):
        return arg.result()
    return [_value(each) for each in arg] if isinstance(arg, list) else arg
