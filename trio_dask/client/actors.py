"""Actors as clients see them: an object in the cluster whose methods are called from afar."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from trio_dask.client.attaching import is_argument
from trio_dask.client.binding import NOWHERE
from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.client.kinds import kind_of
from trio_dask.errors import SubmitError
from trio_dask.runner import (
    ActorCell,
    ActorMaker,
    StandIn,
    call_actor,
    call_actor_async,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from trio_dask.client.core import Batch
    from trio_dask.messages.ids import TaskId

    Kind: TypeAlias = type[Any]  # in a class that has a `type` this is another word

T = TypeVar("T")
F = TypeVar("F", bound="BaseFuture[Any]")

#: Of so many calls of one object the end of one is heard of, if nobody waits for any.
_MARK: Final = 16


def maker(kind: Any) -> ActorMaker:
    """What makes an actor of a class.

    Raises:
        SubmitError: it is none.
    """
    if not isinstance(kind, type):
        msg = f"actor=True makes an object of a class, and {kind!r:.100} is none"
        raise SubmitError(msg)
    return ActorMaker(kind)


def methods_of(kind: type) -> dict[str, bool]:
    """The methods of a class, and which of them are coroutine functions."""
    return {
        name: inspect.iscoroutinefunction(found)
        for name, found in inspect.getmembers(kind, callable)
        if not name.startswith("__")
    }


def rebuilt(target: Any, name: str, methods: dict[str, bool]) -> Any:
    """An actor where it was sent to: in a task, or out of a queue."""
    if isinstance(target, ActorCell):
        return target
    return (AsyncActor if isinstance(target, AsyncFuture) else Actor)(target, name, methods)


@lru_cache(maxsize=1024)
def _named(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, under the name by which people know what is called with it."""
    named: Any = partial(fn)
    named.__name__ = name
    return cast("Callable[..., Any]", named)


class Call(BaseFuture[Any]):
    """A call of a method: it is made, also if nobody holds what it gives, nor the actor."""

    __slots__ = ("followed",)

    def __init__(self, batch: Batch, tid: TaskId) -> None:
        super().__init__(batch, tid)
        #: Another call waits for this one, so that it is made for the sake of that.
        self.followed = False

    def __del__(self) -> None:
        self._batch.drops.append(self._tid if self.followed else ~self._tid)


class BaseActor(StandIn):
    """An actor of one client. What one such object calls is done in the order of the calls."""

    OWN = frozenset({"_before", "_calls", "_future", "_lock", "_marks", "_methods", "_name"})

    def __init__(self, future: BaseFuture[Any], name: str, methods: dict[str, bool]) -> None:
        self._future = future
        self._name = name
        self._methods = methods
        self._before: Call | None = None
        self._marks: deque[BaseFuture[Any]] = deque()  # calls under way whose ends are heard of
        self._calls = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._name}, key: {self._future.key}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (self._future, self._name, self._methods)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._methods})

    def _call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Have the method called, or an attribute read, after all that was called before.

        Only what is over at once is waited for: a coroutine may wait for what comes after it.
        """
        kwargs.pop("separate_thread", None)  # a choice that there is not
        waits = self._methods.get(method, False)
        name = f"{self._name}.{method}"
        fn = _named(call_actor_async if waits else call_actor, name)
        with self._lock:
            before = self._before
            if before is not None and before.done():
                before = None  # as an input it would be known for as long as this one is
            done = self._submit(Call, fn, self._future, (method, args, kwargs), before)
            self._mark(done)
            if not waits:
                if before is not None:
                    before.followed = True
                self._before = done
        make = AsyncFuture if cast("Any", self._future).client.asynchronous else Future
        return self._submit(make, _named(opened, f"{name}-result"), done)

    def _submit(self, make: type[F], fn: Callable[..., Any], *args: Any) -> F:
        """A task that is never run a second time."""
        client: Any = cast("Any", self._future).client
        future: F = client.submit_one(make, (fn, args, {}), {"once": True})
        return future

    def _mark(self, done: BaseFuture[Any]) -> None:
        """Now and then a call is waited for, which says that all before it are over."""
        self._calls += 1
        while self._marks and self._marks[0].done():
            self._marks.popleft()
        if not self._calls % _MARK:
            self._marks.append(done)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._methods:
            return partial(self._call, name)
        if name.startswith("_"):  # whoever looks at an object to show it would have the task asked
            raise AttributeError(name)
        return self._read(name)

    def _read(self, name: str) -> Any:
        raise NotImplementedError


class Actor(BaseActor):
    """An actor of a `Client`: methods give futures, attributes are read at once."""

    def _read(self, name: str) -> Any:
        return self._call(name).result()


class AsyncActor(BaseActor):
    """An actor of an `AsyncClient`: methods give futures, and so do attributes: await them."""

    def _read(self, name: str) -> Any:
        return self._call(name)


class Looks:
    """What is known of an actor without asking it: its class, or only how that is called and its methods."""

    __slots__ = ("_shown", "kind")

    def __init__(self, kind: type | None, shown: tuple[str, dict[str, bool]] | None = None) -> None:
        self.kind = kind
        self._shown = shown

    @property
    def shown(self) -> tuple[str, dict[str, bool]]:
        """The name of the class, and its methods, of which some are coroutine functions."""
        if self._shown is None:
            assert self.kind is not None
            self._shown = self.kind.__name__, methods_of(self.kind)
        return self._shown


class _Plain:
    """A future of an actor, to be pickled as any other is."""

    def __init__(self, future: BaseFuture[Any]) -> None:
        self._future = future

    def __reduce_ex__(self, protocol: object) -> Any:
        return BaseFuture.__reduce_ex__(self._future, protocol)


def _handed_over(target: Any, shown: tuple[str, dict[str, bool]]) -> Any:
    """The future of an actor out of a queue, a pickle and so on: the class need not be there."""
    if isinstance(target, _Plain):  # a copy
        fn, args = target.__reduce_ex__(2)
        target = fn(*args)
    if not isinstance(target, BaseFuture):
        return target  # in a task it is the actor itself
    make: Any = AsyncActorFuture if isinstance(target, AsyncFuture) else ActorFuture
    future = make(Looks(None, shown), target._batch, target._tid)  # noqa: SLF001 - it takes its place
    target._batch = NOWHERE  # noqa: SLF001 - so that there is one to let go of it
    return future


def _reduced(future: ActorFuture[Any] | AsyncActorFuture[Any], protocol: object) -> Any:
    if is_argument():
        return BaseFuture.__reduce_ex__(future, protocol)
    return _handed_over, (_Plain(future), future.looks.shown)


class ActorFuture(Future[T]):
    """The actor that `submit` makes: its `result` is something to call methods of."""

    __slots__ = ("looks",)

    stays = True

    def __init__(self, looks: Looks, batch: Batch, tid: TaskId) -> None:
        super().__init__(batch, tid)
        self.looks = looks

    def __reduce_ex__(self, protocol: object) -> Any:
        return _reduced(self, protocol)

    def stand_in(self) -> Actor:
        """What there is here for the actor."""
        return Actor(self, *self.looks.shown)

    def result(self, timeout: float | str | None = None) -> T:
        """The actor, when it has been made, or the error that making it raised."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return cast("T", self.stand_in())

    @property
    def type(self) -> Kind | None:
        """The class of the actor; None while it has not been made."""
        if self.looks.kind is None:
            return self.client.run_blocking(kind_of(self.client, self))
        return self.looks.kind if self.status == "finished" else None


class AsyncActorFuture(AsyncFuture[T]):
    """The same, awaited."""

    __slots__ = ("looks",)

    stays = True

    def __init__(self, looks: Looks, batch: Batch, tid: TaskId) -> None:
        super().__init__(batch, tid)
        self.looks = looks

    def __reduce_ex__(self, protocol: object) -> Any:
        return _reduced(self, protocol)

    def stand_in(self) -> AsyncActor:
        """What there is here for the actor."""
        return AsyncActor(self, *self.looks.shown)

    async def result(self, timeout: float | str | None = None) -> T:  # noqa: ASYNC109 - as in Dask
        """The actor, when it has been made, or the error that making it raised."""
        error = await self.exception(timeout)
        if error is not None:
            raise error
        return cast("T", self.stand_in())

    @property
    def type(self) -> Awaitable[Kind | None]:
        """The class of the actor, to be awaited; None while it has not been made."""
        return self._type()

    async def _type(self) -> Kind | None:
        if self.looks.kind is None:
            return await kind_of(self.client, self)
        return self.looks.kind if self.status == "finished" else None


def made_by(kind: Any, *, asynchronous: bool) -> Callable[[Batch, TaskId], Any]:
    """What makes the future of an actor."""
    future: Any = AsyncActorFuture if asynchronous else ActorFuture
    return partial(future, Looks(kind))
