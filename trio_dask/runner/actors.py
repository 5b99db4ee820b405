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
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from trio_dask.runner.nests import current

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


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


class ActorCell:
    """Holds the object, and is the actor of all tasks here that have it as an input.

    They just call it, in its own process. Plain methods run one at a time.
    """

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._lock = Door()

    def __repr__(self) -> str:
        return f"<Actor: {type(self._thing).__name__}, here>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = (
            f"the actor {type(self._thing).__name__} stays in the process where it is: pass on "
            "what result() of its future gives, and call its methods; two actors in one task "
            "have to be in one process"
        )
        raise TypeError(msg)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"_thing", "_lock"}:
            raise AttributeError(name)
        with self._lock:
            found = getattr(self._thing, name)
        if not callable(found):
            return found

        def method(*args: Any, separate_thread: bool = True, **kwargs: Any) -> Answer:
            del separate_thread  # there is nothing to choose
            if inspect.iscoroutinefunction(found):
                return Answer(found(*args, **kwargs))
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
