"""Nodes of graphs to bytes: what many of them share is sent once."""

from __future__ import annotations

import io
import math
import pickle
import types
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Final

from trio_dask.client.collections.compiling import Program, Value
from trio_dask.client.futures import BaseFuture
from trio_dask.errors import SubmitError
from trio_dask.messages import cloud
from trio_dask.messages.foreign import refers_to_foreign
from trio_dask.messages.payload import sizeof
from trio_dask.messages.pickling import REGISTERED
from trio_dask.runner.graphs import GraphCall, from_inputs, from_kit

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from trio_dask.client.core import Function
    from trio_dask.messages.ids import TaskId
    from trio_dask.runner.graphs import Step

_PROTOCOL: Final = 5
#: A kit is closed when it has so many things: then another one is begun.
KIT_MAX: Final = 256
#: A frame of so many cells is measured only if its node turns out to be large.
_FEW_CELLS: Final = 500
#: Functions that are shared from the first time on.
_STEADY: Final = (types.FunctionType, types.BuiltinFunctionType, type)
#: cloudpickle's, as a plain dict: it is asked about each object.
_DISPATCH: Final = dict(cloud.Pickler.dispatch_table)


@dataclass(slots=True)
class Kit:
    """Functions and classes that tasks of one name share, and that travel by value."""

    name: str
    numbers: dict[int, int] = field(default_factory=dict)
    things: list[Any] = field(default_factory=list)
    things_max: float = KIT_MAX
    #: What the scheduler knows it as, once it does; then nothing more gets in.
    function: Function | None = None

    def number(self, thing: Any) -> int | None:
        """The number of a thing in here; None if there is no room for it."""
        number = self.numbers.get(id(thing))
        if number is None and self.function is None and len(self.things) < self.things_max:
            number = self.numbers[id(thing)] = len(self.things)
            self.things.append(thing)
        return number

    def call(self) -> GraphCall:
        """What runs the tasks."""
        return GraphCall(self.name, tuple(self.things))


class _NoRoom(Exception):
    """The kit is full: the node is packed again, with a new one."""


class Packer:
    """Packs the nodes of one graph.

    Args:
        share: stores a large value for all tasks that have it; its id.
        large: how many bytes that is.
    """

    def __init__(self, share: Callable[[Any], TaskId], large: int) -> None:
        self._share = share
        self._large = large
        #: Whether things travel by value. They are held, or their numbers would be others'.
        self._foreign: dict[int, tuple[Any, bool]] = {}
        self._shared: dict[int, tuple[Any, TaskId]] = {}
        self._kits: dict[Hashable, Kit] = {}
        self._sized: dict[type, bool] = {}
        self._seen: dict[int, Any] = {}
        self._closely = True
        self._passed_over = False  # whether something was not measured

    def pack(self, name: str, node: Any, keys: tuple[Any, ...]) -> tuple[Kit, bytes, list[TaskId]]:
        """A node as a program, with the inputs that it has beyond those that the graph knows.

        Raises:
            SubmitError: something in it cannot be pickled.
        """
        program = Program(keys)
        program.compile(node)
        kit = self._kits.get(name)
        if kit is None:
            kit = self._kits[name] = Kit(name)
        try:
            return kit, *self._packed(kit, program, node)
        except _NoRoom:
            kit = self._kits[name] = Kit(name, things_max=math.inf)
            made = kit, *self._packed(kit, program, node)
            kit.things_max = KIT_MAX
            return made

    def _packed(self, kit: Kit, program: Program, node: Any) -> tuple[bytes, list[TaskId]]:
        """What has come out small has nothing large in it: so only the others are looked at closely.

        Each part of a dataframe has an empty frame with it, and to measure that takes longer than
        to pickle all of the node.
        """
        made = self._pickled(kit, program, node, closely=False)
        if self._passed_over and len(made[0]) > self._large:
            return self._pickled(kit, program, node, closely=True)
        return made

    def _pickled(
        self, kit: Kit, program: Program, node: Any, *, closely: bool
    ) -> tuple[bytes, list[TaskId]]:
        self._closely, self._passed_over = closely, False
        with io.BytesIO() as file:
            pickler = _Pickler(file, self, kit, program.count)
            try:
                pickler.dump((program.count, self._steps(kit, program)))
            except (_NoRoom, SubmitError):
                raise
            except Exception as error:  # noqa: BLE001 - users' reducers raise what they like
                from trio_dask.messages.culprit import find_culprit, worth_telling

                where = f"the task {node.key!r:.200} of the graph"
                raise SubmitError(find_culprit(node, error, where)) from worth_telling(error)
            return file.getvalue(), pickler.extra

    def _steps(self, kit: Kit, program: Program) -> list[Step]:
        """The calls of a program as they are sent."""
        steps: list[Step] = []
        for (fn, args, kwargs), drops in zip(program.calls, program.last_uses(), strict=True):
            fills: list[Any] = []
            constants = list(args)
            for place, each in enumerate(args):
                if type(each) is Value:
                    constants[place] = None
                    fills += (place, each.number)
            for name, each in kwargs.items():
                if type(each) is Value:
                    fills += (name, each.number)
            named = {k: v for k, v in kwargs.items() if type(v) is not Value} if kwargs else None
            steps.append((self._called(kit, fn), constants, named, fills, drops))
        return steps

    def _called(self, kit: Kit, fn: Any) -> Any:
        """A function's number in the kit, if it is one of many tasks; else itself."""
        if not isinstance(fn, _STEADY) and id(fn) not in self._seen:
            self._seen[id(fn)] = fn  # a partial may be made for each task, or for all of them
            return fn
        number = kit.number(fn)
        if number is None:
            raise _NoRoom
        return number

    def is_foreign(self, thing: Any) -> bool:
        """Whether a function or class cannot be imported by others, and travels by value."""
        known = self._foreign.get(id(thing))
        if known is None:
            try:
                foreign = refers_to_foreign(pickle.dumps(thing, _PROTOCOL))
            except Exception:  # noqa: BLE001 - it cannot be found by its name
                foreign = True
            known = self._foreign[id(thing)] = thing, foreign
        return known[1]

    def shared(self, thing: Any) -> TaskId | None:
        """The id of a large value that is stored for all tasks that have it; None if it is small."""
        known = self._shared.get(id(thing))
        if known is not None:
            return known[1]
        kind = type(thing)
        sized = self._sized.get(kind)
        if sized is None:
            sized = self._sized[kind] = hasattr(kind, "nbytes") or hasattr(kind, "memory_usage")
        if not sized:
            return None
        if not self._closely and _has_few_cells(thing):
            self._passed_over = True
            return None
        if _nbytes(thing) <= self._large:
            return None
        tid = self._share(thing)
        self._shared[id(thing)] = thing, tid
        return tid


def _has_few_cells(thing: Any) -> bool:
    """Whether it is a frame that is small unless there is much in one of its cells."""
    if hasattr(thing, "nbytes"):
        return False  # it says itself how large it is
    cells = getattr(thing, "size", None)
    return isinstance(cells, Integral) and int(cells) <= _FEW_CELLS


def _nbytes(thing: Any) -> int:
    try:
        nbytes = getattr(thing, "nbytes", None)
        if nbytes is None:
            return sizeof(thing)  # a frame takes ten times as long to say it itself
        if getattr(getattr(thing, "dtype", None), "hasobject", False):
            return max(int(nbytes), sizeof(thing.tolist()))  # else it is that of the pointers
        return int(nbytes)
    except Exception:  # noqa: BLE001 - whatever it is, it is not what it looks like
        return 0


class _Pickler(cloud.Pickler):
    """Puts numbers in the place of what is shared, and of futures."""

    dispatch_table: ClassVar = _DISPATCH  # type: ignore[assignment]

    def __init__(self, file: io.BytesIO, packer: Packer, kit: Kit, first: int) -> None:
        super().__init__(file, _PROTOCOL)
        self._packer = packer
        self._kit = kit
        self._first = first
        #: Inputs that the graph does not know of.
        self.extra: list[TaskId] = []

    def reducer_override(self, obj: Any) -> Any:
        """How something is pickled, if not as usual."""
        kind = type(obj)
        if kind is types.FunctionType or issubclass(kind, type):
            if not self._packer.is_foreign(obj):
                return NotImplemented  # by its name
            number = self._kit.number(obj)
            if number is None:
                raise _NoRoom
            return from_kit, (number,)
        if kind in REGISTERED:
            return REGISTERED[kind](obj)
        if issubclass(kind, BaseFuture):
            return self._input(obj._tid)  # noqa: SLF001
        tid = self._packer.shared(obj)
        if tid is not None:
            return self._input(tid)
        return NotImplemented

    def _input(self, tid: TaskId) -> Any:
        if tid not in self.extra:
            self.extra.append(tid)
        return from_inputs, (self._first + self.extra.index(tid),)
