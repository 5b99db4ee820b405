"""Actors where they live: an object in a runner that tasks use, one after the other.

An actor is the value of a task, and it cannot be pickled: so what takes it as an input runs where
it is. Calls of its methods are such tasks. A call never fails as a task, so that the next one of the
same caller, which has it as an input for the sake of the order, can run whatever it has raised; what
has come of it is opened by a task of its own.
"""

from __future__ import annotations

import inspect
import threading
import traceback
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeAlias

from trio_dask.runner.asynchronous import AsyncTask, present
from trio_dask.runner.nests import current

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import trio


#: Who waits for longer than this to enter an actor gives the slot up meanwhile.
_SHORT_S: Final = 0.02
_STEP_S: Final = 0.5
#: The name of a method, and with what it is called.
Called: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]


class ActorMaker:
    """Makes an actor; it is the function of the task whose value that is."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        self.kind = kind
        self.__name__ = kind.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> ActorCell:
        """Make one."""
        return ActorCell(self.kind(*args, **kwargs))


class Door:
    """Lets one in at a time: whoever is in may enter again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if self._lock.acquire(timeout=_SHORT_S):
            return
        # Who is in may be waiting for a task, and then for a slot to go on in.
        nest = current()
        parked = nest is not None and nest.park()
        while not self._lock.acquire(timeout=_STEP_S):  # who is to stop does here
            pass
        if nest is not None and parked:
            try:
                nest.come()
            except BaseException:
                self._lock.release()
                raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def enter_at_once(self) -> bool:
        """Go in if nobody else is; whether one is in now."""
        return self._lock.acquire(blocking=False)


class StandIn:
    """What has no attributes but its own, as those of the object for which it is are elsewhere."""

    OWN: ClassVar[frozenset[str]]

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.OWN:
            _refuse("set", name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> NoReturn:
        _refuse("deleted", name)


def _refuse(done: str, name: str) -> NoReturn:
    msg = f"attributes of an actor are read from afar, not {done}: let a method of it do that to {name!r}"
    raise AttributeError(msg)


class ActorCell(StandIn):
    """Holds the object, and is the actor of all tasks here that have it as an input.

    They just call it, in its own process. Plain methods run one at a time.
    """

    OWN = frozenset({"_calls", "_lock", "_thing"})

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._lock = Door()
        self._calls = CallsOfLoop(self)

    def __repr__(self) -> str:
        return f"<Actor: {type(self._thing).__name__}, here>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = (
            f"the actor {type(self._thing).__name__} stays in the process where it is: pass on "
            "what result() of its future gives, and call its methods; of two actors that a task "
            "uses, and that are elsewhere, one is an argument, and the task takes the other one "
            "out of a Variable, a Queue or a data set"
        )
        raise TypeError(msg)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"_thing", "_lock", "_calls"}:
            raise AttributeError(name)
        task = _task_on_loop()
        # A method is no state of the object; and who would hold the loop up takes what there is.
        if task is not None or callable(getattr(type(self._thing), name, None)):
            found = getattr(self._thing, name)
        else:
            with self._lock:
                found = getattr(self._thing, name)
        if not callable(found):
            return found

        def method(*args: Any, separate_thread: bool = True, **kwargs: Any) -> Answer:
            del separate_thread  # there is nothing to choose
            if inspect.iscoroutinefunction(found):
                return Answer(found(*args, **kwargs))
            if task is not None:
                return self._calls.call(task, (name, args, kwargs))
            return Answer(call_actor(self, (name, args, kwargs), None))

        return method


class Outcome:
    """What has come of a call."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcome, (self.value, self.error)


def call_actor(cell: ActorCell, called: Called, before: Outcome | None) -> Outcome:
    """Call a plain method, or read what is no method; the call `before` is over."""
    del before
    name, args, kwargs = called
    try:
        with cell._lock:  # noqa: SLF001 - its names are those of the object
            found = getattr(cell._thing, name)  # noqa: SLF001
            return Outcome(found(*args, **kwargs) if callable(found) else found)
    except Exception as error:  # noqa: BLE001 - it is the caller's
        return Outcome(error=_noted(error, cell, name))


async def call_actor_async(cell: ActorCell, called: Called, before: Outcome | None) -> Outcome:
    """Await a method that is a coroutine function; the call `before` is over.

    It takes no slot: what it waits for may be another call.
    """
    del before
    name, args, kwargs = called
    nest = current()
    if nest is not None:
        nest.secede()
    try:
        return Outcome(await getattr(cell._thing, name)(*args, **kwargs))  # noqa: SLF001
    except Exception as error:  # noqa: BLE001 - it is the caller's
        return Outcome(error=_noted(error, cell, name))


def _noted(error: Exception, cell: ActorCell, name: str) -> Exception:
    # Sources and their loaders may be anything, and so may the error: it goes with less.
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001
        text = f"<its traceback cannot be had: {type(broken).__name__}>\n"
    with suppress(Exception):
        kind = type(cell._thing).__name__  # noqa: SLF001
        error.add_note(f"Raised by {kind}.{name} of an actor:\n{text}")
    return error


def opened(outcome: Outcome) -> Any:
    """The value of a call, or its error."""
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def _task_on_loop() -> AsyncTask | None:
    """The coroutine that runs here, if this is the thread of the loop that it shares with others."""
    task = present.get()
    if task is None or task.loop is None or task.loop.ident != threading.get_ident():
        return None
    return task


class CallsOfLoop:
    """Plain methods that coroutines call where the actor is.

    A call is made at once if nobody is in; else by a thread, in order, so that the loop goes on.
    """

    def __init__(self, cell: ActorCell) -> None:
        self._cell = cell
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Context, Called, AnswerToCome]] = deque()

    def call(self, task: AsyncTask, called: Called) -> Answer:
        """Make the call, or have it made when its turn comes. On the loop."""
        with self._lock:
            if self._waiting or not self._cell._lock.enter_at_once():  # noqa: SLF001
                answer = AnswerToCome(task)
                self._waiting.append((copy_context(), called, answer))
                if len(self._waiting) == 1:
                    threading.Thread(target=self._run, name="actor-calls", daemon=True).start()
                return answer
        try:
            return Answer(call_actor(self._cell, called, None))
        finally:
            self._cell._lock.__exit__()  # noqa: SLF001

    def _run(self) -> None:
        """Make one call after the other, until none waits."""
        while True:
            context, called, answer = self._waiting[0]
            try:
                outcome = context.run(call_actor, self._cell, called, None)
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                outcome = Outcome(error=error)
            with self._lock:
                self._waiting.popleft()
                over = not self._waiting
            answer.came(outcome)
            if over:
                return


class Answer:
    """What a method of an actor that is here has given, in the form of a future."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def done(self) -> bool:
        """Whether it is there."""
        return isinstance(self._outcome, Outcome)

    def result(self, timeout: object = None) -> Any:
        """The value, or the error that it raised."""
        if not isinstance(self._outcome, Outcome):
            msg = "this method of the actor is a coroutine function: await what it gives"
            raise RuntimeError(msg)  # noqa: TRY004 - it is about where one is
        return opened(self._outcome)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._get().__await__()

    async def _get(self) -> Any:
        outcome = self._outcome
        return opened(outcome) if isinstance(outcome, Outcome) else await outcome


class AnswerToCome(Answer):
    """The same, of a call of which the turn has not come yet."""

    def __init__(self, task: AsyncTask) -> None:
        super().__init__(None)
        self._loop = task.loop
        self._here = threading.Event()
        self._bells: list[trio.Event] = []

    def came(self, outcome: Outcome) -> None:
        """This has come of it. In any thread."""
        self._outcome = outcome
        self._here.set()
        if self._loop is not None:
            self._loop.soon(self._ring)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def result(self, timeout: Any = None) -> Any:
        """The value, or the error that it raised. It holds the loop up until then: await it instead.

        Raises:
            TimeoutError: it was not there within so many seconds.
        """
        if not self._here.wait(timeout):
            msg = f"the actor's method is not done after {timeout:g} s"
            raise TimeoutError(msg)
        return opened(self._outcome)

    async def _get(self) -> Any:
        import trio

        bell = trio.Event()
        self._bells.append(bell)  # first: what comes later rings it
        if not self.done():
            with trio.move_on_after(_SHORT_S):
                await bell.wait()
        if not self.done():
            # Who is in may be waiting for a task, and then for a slot to go on in.
            nest = current()
            if nest is not None:
                nest.park_coroutine()
            await bell.wait()
            if nest is not None:
                await nest.come_coroutine()
        return opened(self._outcome)
