"""Calls to bytes: functions and arguments are pickled here, at the call, by the caller.

Nothing in here touches a loop, so both clients use it.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.core import ClientCore, Function, Rows
from trio_dask.errors import SubmitError
from trio_dask.messages import Payload, payload_bytes
from trio_dask.messages.payload import (
    function_name,
    input_value,
    note_input,
    pack,
    pack_call,
    pack_function,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trio_dask.messages.ids import TaskId

#: Functions that cannot change what they do without being another object. A partial or
#: a callable object can: it is pickled at each call.
_STEADY: Final = (types.FunctionType, types.BuiltinFunctionType, type)


class _Present(threading.local):
    """For which client this thread is packing arguments."""

    owner: object | None = None


_present = _Present()


@contextmanager
def _packing_for(owner: object) -> Iterator[None]:
    before, _present.owner = _present.owner, owner
    try:
        yield
    finally:
        _present.owner = before


def reduce_future(owner: object, tid: TaskId, key: str) -> tuple[Callable[[TaskId], Any], Any]:
    """How a future is pickled: as an input of the task whose argument it is in.

    Raises:
        SubmitError: it is another client's.
        TypeError: no arguments are being pickled.
    """
    if _present.owner is not None and _present.owner is not owner:
        msg = f"the future {key} belongs to another client"
        raise SubmitError(msg)
    note_input(tid)
    return input_value, (tid,)


class _Stored:
    """Stands for a large argument that travels to a worker by itself."""

    __slots__ = ("tid",)

    def __init__(self, tid: TaskId) -> None:
        self.tid = tid

    def __reduce__(self) -> tuple[Callable[[TaskId], Any], Any]:
        note_input(self.tid)
        return input_value, (self.tid,)


class Describer:
    """Describes calls for one client.

    Args:
        owner: whose futures may be in arguments.
        argument_bytes_max: larger arguments are stored on a worker first.
    """

    def __init__(self, core: ClientCore, owner: object, argument_bytes_max: int) -> None:
        self._core = core
        self._owner = owner
        self._limit = argument_bytes_max
        self._known: dict[int, tuple[weakref.ref[Any], Function]] = {}
        self._gone: deque[tuple[int, Function]] = deque()

    def function(self, fn: Callable[..., Any]) -> Function:
        """What the scheduler knows a function as.

        Raises:
            SubmitError: it is no function, or cannot be pickled.
        """
        while self._gone:
            number, function = self._gone.popleft()
            entry = self._known.get(number)
            if entry is not None and entry[1] is function and entry[0]() is None:
                del self._known[number]
            self._core.unuse(function)
        known = self._known.get(id(fn))
        if known is not None and known[0]() is fn:
            return known[1]
        blob = pack_function(fn)
        function = self._core.function(function_name(fn), blob)
        if isinstance(fn, _STEADY):
            number, gone = id(fn), self._gone
            function.uses += 1
            # Called by the garbage collector, anywhere: it only makes a note.
            ref = weakref.ref(fn, lambda _: gone.append((number, function)))
            self._known[number] = ref, function
        return function

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Function, Rows]:
        """One call."""
        function = self.function(fn)
        rows = Rows()
        with _packing_for(self._owner):
            self._add(rows, args, kwargs)
        return function, rows

    def calls(
        self,
        fn: Any,
        columns: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> tuple[Function, Rows]:
        """One call for each row of the columns, with the same keyword arguments."""
        rows = Rows()
        for column in columns:
            if not isinstance(column, Iterable):
                msg = f"map runs over iterables, and {column!r:.100} is none"
                raise SubmitError(msg)
        with _packing_for(self._owner):
            bound, given = self._split(kwargs)
            bind = bound and callable(fn)  # what cannot be called is refused by name
            function = self.function(functools.partial(fn, **bound) if bind else fn)
            add = self._add
            if len(columns) == 1:
                for value in columns[0]:
                    add(rows, (value,), given)
            else:
                for args in zip(*columns, strict=False):
                    add(rows, args, given)
        return function, rows

    def value(self, value: Any) -> Payload:
        """A value to be stored.

        Raises:
            SubmitError: it cannot be pickled, or has futures inside.
        """
        refs: list[TaskId] = []
        with _packing_for(self._owner):
            payload = pack(value, refs=refs)
        if refs:
            msg = f"a {type(value).__name__} with futures inside cannot be scattered"
            raise SubmitError(msg)
        return payload

    def _add(self, rows: Rows, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        refs: list[TaskId] = []
        blob = pack_call(args, kwargs, refs=refs)
        if len(blob) > self._limit:
            refs = []
            args = tuple([self._small(value) for value in args])
            kwargs = {name: self._small(value) for name, value in kwargs.items()}
            blob = pack_call(args, kwargs, refs=refs)
        if refs and not rows.dep_counts:
            rows.dep_counts = [0] * len(rows.args)
        if rows.dep_counts or refs:
            rows.dep_counts.append(len(refs))
            rows.dep_tids += refs
        rows.args.append(blob)

    def _small(self, value: Any) -> Any:
        """The value, or what stands for it where it is large and has no futures inside."""
        refs: list[TaskId] = []
        payload = pack(value, refs=refs)
        if refs or payload_bytes(payload) <= self._limit:
            return value
        [(_, tid)] = self._core.put([payload], [type(value).__name__], held=False)
        return _Stored(tid)

    def _split(self, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keyword arguments for all calls: those to be sent once, and those with inputs."""
        bound: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for name, value in kwargs.items():
            refs: list[TaskId] = []
            small = self._small(value)
            pack(small, refs=refs)
            (given if refs else bound)[name] = small
        return bound, given


def pure_keys(function: Function, rows: Rows) -> list[str]:
    """Keys made from what is called: the function's name, and a digest of both pickles.

    Equal calls have equal keys as far as their pickles are equal. They are for functions
    that can be imported, with plain arguments. They are not, which costs sharing and
    nothing else, for functions sent by value (from ``__main__``, lambdas) by several
    processes, for sets of strings, and for arguments that are futures or were so large
    that they were stored first.
    """
    lead = hashlib.sha256(function.blob)
    keys: list[str] = []
    for blob in rows.args:
        digest = lead.copy()
        digest.update(blob)
        keys.append(f"{function.name}-{digest.hexdigest()[:32]}")
    return keys
