"""How tasks are started, by a `Client`: what runs is a function, or a coroutine function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from trio_dask.client import actors
from trio_dask.client.base import BaseClient
from trio_dask.client.collections.annotating import annotated
from trio_dask.client.futures import Future
from trio_dask.client.keys import chosen_keys
from trio_dask.client.options import OnCancel, TaskExecutor, on_loop, run_by, task_options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

T = TypeVar("T")


class Submitting(BaseClient):
    """`submit` and `map`: to a type checker a coroutine function gives what it returns."""

    @overload
    def submit(
        self,
        fn: Callable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        key: str | None = ...,
        pure: bool = ...,
        priority: int = ...,
        retries: int | None = ...,
        resources: Mapping[str, float] | None = ...,
        workers: str | Iterable[str] | None = ...,
        allow_other_workers: bool = ...,
        timeout: float | str | None = ...,
        deadline: float | str | None = ...,
        on_cancel: OnCancel = ...,
        executor: TaskExecutor = ...,
        actor: bool = ...,
        **kwargs: Any,
    ) -> Future[T]: ...

    @overload
    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        key: str | None = ...,
        pure: bool = ...,
        priority: int = ...,
        retries: int | None = ...,
        resources: Mapping[str, float] | None = ...,
        workers: str | Iterable[str] | None = ...,
        allow_other_workers: bool = ...,
        timeout: float | str | None = ...,
        deadline: float | str | None = ...,
        on_cancel: OnCancel = ...,
        executor: TaskExecutor = ...,
        actor: bool = ...,
        **kwargs: Any,
    ) -> Future[T]: ...

    def submit(  # noqa: PLR0913 - options have names
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        key: str | None = None,
        pure: bool = False,
        priority: int = 0,
        retries: int | None = 0,
        resources: Mapping[str, float] | None = None,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        timeout: float | str | None = None,
        deadline: float | str | None = None,
        on_cancel: OnCancel = "interrupt",
        executor: TaskExecutor = None,
        actor: bool = False,
        **kwargs: Any,
    ) -> Future[Any]:
        """Run ``fn(*args, **kwargs)`` on the cluster.

        Futures anywhere in the arguments stand for their values. With `pure`, or with one
        `key`, the same call is made once for all who ask for it. Which calls are the same
        Dask's `tokenize` says where Dask is installed, else their pickles: so a call of a lambda is
        not the same in another program.

        `priority` is above 0 for what goes first, below for what can wait. `retries` is how often it
        is run again if it fails. `resources`, as ``{"GPU": 1}``, are what it takes of what its
        worker has, for as long as it runs. `workers` says by name, address or host who may run it;
        with `allow_other_workers` others may while none of these is there.

        `timeout` is how many seconds it may run, each time that it does; `deadline` is in how
        many seconds from now it has to be done, waiting included. Then it is stopped, and its
        error is `TaskTimeout`. Text such as ``"5min"`` will do, too.

        `on_cancel` says how it is stopped if it has to be while it runs: by an exception
        (``"interrupt"``), by the end of its process (``"kill"``), or only where it calls
        `check_cancelled` (``"cooperate"``).

        An ``async def`` function runs on Trio; with ``executor="asyncio"`` on a loop of asyncio that
        it has for itself, in a thread, as a plain function does. With ``executor="process"`` a process
        is started that runs nothing else, and ends with it: for code that leaks, spoils what others
        use, or does not bear threads. It takes a slot, as any other; where workers have no processes
        for tasks it runs as all others do.

        With `actor`, `fn` is a class: an object of it stays on a worker, and the future's result is
        something to call its methods of.

        Raises:
            SubmitError: it is no function, or cannot be pickled, or an option makes no sense.
            SchedulerUnreachable: the connection is lost.
        """
        options = task_options(
            priority=priority,
            retries=retries,
            resources=resources,
            workers=workers,
            allow_other_workers=allow_other_workers,
            timeout=timeout,
            deadline=deadline,
            on_cancel=on_cancel,
        ) | run_by(executor, actor=actor)
        keys = chosen_keys(key, pure=pure, single=True)
        if actor:
            made = actors.made_by(fn, asynchronous=False)
            return self._one(made, (actors.maker(fn), args, kwargs), keys, annotated(options))
        return self._one(Future, (on_loop(fn, executor), args, kwargs), keys, annotated(options))

    @overload
    def map(
        self,
        fn: Callable[..., Coroutine[Any, Any, T]],
        /,
        *iterables: Iterable[Any],
        key: str | list[str] | None = ...,
        pure: bool = ...,
        priority: int = ...,
        retries: int | None = ...,
        resources: Mapping[str, float] | None = ...,
        workers: str | Iterable[str] | None = ...,
        allow_other_workers: bool = ...,
        timeout: float | str | None = ...,
        deadline: float | str | None = ...,
        on_cancel: OnCancel = ...,
        executor: TaskExecutor = ...,
        actor: bool = ...,
        **kwargs: Any,
    ) -> list[Future[T]]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        key: str | list[str] | None = ...,
        pure: bool = ...,
        priority: int = ...,
        retries: int | None = ...,
        resources: Mapping[str, float] | None = ...,
        workers: str | Iterable[str] | None = ...,
        allow_other_workers: bool = ...,
        timeout: float | str | None = ...,
        deadline: float | str | None = ...,
        on_cancel: OnCancel = ...,
        executor: TaskExecutor = ...,
        actor: bool = ...,
        **kwargs: Any,
    ) -> list[Future[T]]: ...

    def map(  # noqa: PLR0913
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        key: str | list[str] | None = None,
        pure: bool = False,
        priority: int = 0,
        retries: int | None = 0,
        resources: Mapping[str, float] | None = None,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        timeout: float | str | None = None,
        deadline: float | str | None = None,
        on_cancel: OnCancel = "interrupt",
        executor: TaskExecutor = None,
        actor: bool = False,
        **kwargs: Any,
    ) -> list[Future[Any]]:
        """Run `fn` for each row of the iterables, as `zip` pairs them: to the shortest.

        `key` is a list of keys, or a prefix for all of them: what follows it makes them others
        than those of any other call, or with `pure` the same for the same call. Everything else
        is as for `submit`.
        """
        options = task_options(
            priority=priority,
            retries=retries,
            resources=resources,
            workers=workers,
            allow_other_workers=allow_other_workers,
            timeout=timeout,
            deadline=deadline,
            on_cancel=on_cancel,
        ) | run_by(executor, actor=actor)
        keys = chosen_keys(key, pure=pure, single=False)
        if actor:
            made = actors.made_by(fn, asynchronous=False)
            return self._many(made, (actors.maker(fn), iterables, kwargs), keys, annotated(options))
        return self._many(
            Future, (on_loop(fn, executor), iterables, kwargs), keys, annotated(options)
        )
