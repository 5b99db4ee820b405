"""Calls to bytes: functions and arguments are pickled here, at the call, by the caller.

Nothing in here touches a loop, so both clients use it.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.attaching import packing_for
from trio_dask.client.core import ClientCore, Function, Rows
from trio_dask.client.keys import Add, Keys, Tokens
from trio_dask.client.kits import Kits
from trio_dask.errors import SubmitError
from trio_dask.messages import Payload, payload_bytes
from trio_dask.messages.kept import VALUE_BYTES_MAX
from trio_dask.messages.payload import (
    Taken,
    call_payload,
    function_name,
    in_one_piece,
    input_value,
    note_input,
    pack,
    pack_function,
    taken_by,
    travels_by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from trio_dask.client.core import Batch
    from trio_dask.messages.ids import TaskId


#: A function is in a message's header, which has a limit.
FUNCTION_BYTES_MAX: Final = 32 << 20
#: Names and keys are for people.
NAME_MAX: Final = 200

#: Functions that cannot change what they do without being another object. A partial or
#: a callable object can: it is pickled at each call.
_STEADY: Final = (types.FunctionType, types.BuiltinFunctionType, type)


class _Stored:
    """Stands for a large argument that travels to a worker by itself."""

    __slots__ = ("tid",)

    def __init__(self, tid: TaskId) -> None:
        self.tid = tid

    def __reduce__(self) -> tuple[Callable[[TaskId], Any], Any]:
        note_input(self.tid)
        return input_value, (self.tid,)


class Describer:
    """Describes calls for one client. Pickling is done without the lock: it runs users' code.

    Args:
        owner: whose futures may be in arguments.
        argument_bytes_max: larger arguments are stored on a worker first.
        lock: held where the core is used.
    """

    def __init__(
        self,
        core: ClientCore,
        owner: object,
        argument_bytes_max: int,
        lock: AbstractContextManager[object],
    ) -> None:
        self._core = core
        self._owner = owner
        self._limit = argument_bytes_max
        self._lock = lock
        self._known: dict[int, tuple[weakref.ref[Any], Function, Taken | None]] = {}
        self._gone: deque[tuple[int, Function]] = deque()
        #: Those of graphs.
        self.kits: Final = Kits(core, self, lock)

    def function(self, fn: Callable[..., Any]) -> Function:
        """What the scheduler knows a function as, until `submit` or `discard`.

        Raises:
            SubmitError: it is no function, or cannot be pickled.
        """
        with self._lock:
            self._forget_gone()
            known = self._known.get(id(fn))
            if known is not None and known[0]() is fn and (known[2] is None or known[2].is_so()):
                known[1].uses += 1
                return known[1]
        # Looked at before, so that what another thread changes meanwhile is seen.
        taken = taken_by(fn) if type(fn) is types.FunctionType else None
        name, blob = function_name(fn)[:NAME_MAX], pack_function(fn)
        if len(blob) > FUNCTION_BYTES_MAX:
            msg = (
                f"{name} takes {len(blob) / 1e6:.0f} MB along, in what it refers to; "
                f"more than {FUNCTION_BYTES_MAX / 1e6:.0f} MB are to be arguments, which travel once"
            )
            raise SubmitError(msg)
        # What a function takes along by value may be another by the next call.
        steady = isinstance(fn, _STEADY) and travels_by_name(fn, blob)
        if steady:
            taken = None
        with self._lock:
            function = self._core.function(name, blob)
            function.uses += 1
            if steady or taken is not None:
                self._remember(fn, function, taken)
        return function

    def submit(
        self, function: Function, rows: Rows, options: dict[str, Any]
    ) -> tuple[Batch, TaskId]:
        """Hand over what was described. Returns the batch and the first id."""
        with self._lock:
            placed = self._core.submit(function, rows, options)
            self._let_go(function, rows)
        return placed

    def _let_go(self, function: Function, rows: Rows) -> None:
        self._core.unuse(function)
        if rows.stored:
            self._core.let_go(rows.stored)

    def _remember(self, fn: Callable[..., Any], function: Function, taken: Taken | None) -> None:
        number, gone = id(fn), self._gone
        known = self._known.get(number)
        if known is not None and known[0]() is fn:
            if known[1] is function:  # so it still is, or another thread was faster
                self._known[number] = known[0], function, taken
                return
            self._core.unuse(known[1])  # it has changed: this is what it is now
        function.uses += 1
        # Called by the garbage collector, anywhere: it only makes a note.
        ref = weakref.ref(fn, lambda _: gone.append((number, function)))
        self._known[number] = ref, function, taken

    def _forget_gone(self) -> None:
        while self._gone:
            number, function = self._gone.popleft()
            entry = self._known.get(number)
            if entry is not None and entry[1] is function and entry[0]() is None:
                del self._known[number]
            self._core.unuse(function)

    def call(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        keys: Keys | None = None,
    ) -> tuple[Function, Rows]:
        """One call, for `submit`; with keys of the user's, if he wants some."""
        function = self.function(fn)
        with self._describing(function) as rows:
            if isinstance(keys, Tokens):
                keys.note(fn, args, kwargs)
            self._add(rows, args, kwargs)
            if keys is not None:
                rows.keys = keys(function, rows)
        return function, rows

    def calls(
        self,
        fn: Any,
        columns: Sequence[Any],
        kwargs: Mapping[str, Any],
        keys: Keys | None = None,
    ) -> tuple[Function, Rows]:
        """One call for each row of the columns, with the same keyword arguments."""
        for column in columns:
            if not isinstance(column, Iterable):
                msg = f"map runs over iterables, and {column!r:.100} is none"
                raise SubmitError(msg)
        stored: list[TaskId] = []
        try:
            with packing_for(self._owner):
                bound, given = self._split(kwargs, stored)
                bind = bound and callable(fn)  # what cannot be called is refused by name
                function = self.function(functools.partial(fn, **bound) if bind else fn)
        except BaseException:
            with self._lock:
                self._core.let_go(stored)
            raise
        with self._describing(function) as rows:
            rows.stored = stored
            add: Add = self._add
            if isinstance(keys, Tokens):
                add = keys.noting(fn, kwargs, add)
            if len(columns) == 1:
                for value in columns[0]:
                    add(rows, (value,), given)
            else:
                for args in zip(*columns, strict=False):
                    add(rows, args, given)
            if rows.args and keys is not None:
                rows.keys = keys(function, rows)
        if not rows.args:
            self._discard(function, rows)
        return function, rows

    @contextmanager
    def _describing(self, function: Function) -> Iterator[Rows]:
        """Rows to be described in the block; what belongs to them goes if that fails."""
        rows = Rows()
        try:
            with packing_for(self._owner):
                yield rows
        except BaseException:
            self._discard(function, rows)
            raise

    def _discard(self, function: Function, rows: Rows) -> None:
        with self._lock:
            self._let_go(function, rows)

    def value(self, value: Any) -> Payload:
        """A value to be stored.

        Raises:
            SubmitError: it cannot be pickled, or has futures inside.
        """
        refs: list[TaskId] = []
        with packing_for(self._owner):
            payload = pack(value, refs=refs)
        if refs:
            msg = (
                f"a value of type {type(value).__name__} with futures inside cannot be scattered: "
                "tasks take it as an argument, and publish_dataset keeps it for others"
            )
            raise SubmitError(msg)
        return payload

    def kept(self, value: Any, what: str, bytes_max: int = VALUE_BYTES_MAX) -> dict[str, Any]:
        """A value for the scheduler to keep, futures in it included, as it is told of it.

        Raises:
            SubmitError: it cannot be pickled, or is too large.
        """
        refs: list[TaskId] = []
        with packing_for(self._owner, keeps=True):
            payload = pack(value, refs=refs)
        nbytes = payload_bytes(payload)
        if nbytes > bytes_max:
            msg = (
                f"{what}: a {type(value).__name__} of {nbytes:,} bytes, where {bytes_max:,} "
                "is the most that the scheduler keeps: scatter it, and use its future"
            )
            raise SubmitError(msg)
        return {"data": in_one_piece(payload), "tids": refs}

    def _add(self, rows: Rows, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        refs: list[TaskId] = []
        packed = call_payload(args, kwargs, refs=refs)
        # Nearly always one blob, of which this asks without a call.
        if (len(packed) if type(packed) is bytes else payload_bytes(packed)) > self._limit:
            refs = []
            args = tuple([self._small(value, rows.stored) for value in args])
            kwargs = {name: self._small(value, rows.stored) for name, value in kwargs.items()}
            packed = call_payload(args, kwargs, refs=refs)
        if refs and not rows.dep_counts:
            rows.dep_counts = [0] * len(rows.args)
        if rows.dep_counts or refs:
            rows.dep_counts.append(len(refs))
            rows.dep_tids += refs
        rows.args.append(packed if type(packed) is bytes else in_one_piece(packed))

    def _small(self, value: Any, stored: list[TaskId], where: str = "") -> Any:
        """The value, or what stands for it where it is large and has no futures inside."""
        refs: list[TaskId] = []
        payload = pack(value, refs=refs, where=where)
        if refs or payload_bytes(payload) <= self._limit:
            return value
        with self._lock:
            [(_, tid)] = self._core.put([payload])
        stored.append(tid)
        return _Stored(tid)

    def _split(
        self, kwargs: Mapping[str, Any], stored: list[TaskId]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keyword arguments for all calls: those to be sent once, and those with inputs."""
        bound: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for name, value in kwargs.items():
            refs: list[TaskId] = []
            small = self._small(value, stored, where=f"argument {name!r}")
            pack(small, refs=refs)
            (given if refs else bound)[name] = small
        return bound, given
