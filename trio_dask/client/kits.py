"""What kits of graphs are known as, from one graph to the next: most programs compute in a loop."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.messages.payload import Taken, taken_by

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trio_dask.client.core import ClientCore, Function
    from trio_dask.client.describing import Describer
    from trio_dask.runner.graphs import GraphCall

#: Its things, what these took along, and what it is known as.
Known: TypeAlias = "tuple[list[weakref.ref[Any]], Taken, Function]"
#: So many kits are remembered, and none that is larger.
KITS_MAX: Final = 64
_BYTES_MAX: Final = 64 * 1024


class Kits:
    """The kits that were used last, of one client.

    A kit that is remembered stays at the scheduler, and with those who have run its tasks: the
    next graph does not have to pickle its functions, nor they to unpickle them.

    Args:
        lock: held where the core is used.
    """

    def __init__(
        self, core: ClientCore, describer: Describer, lock: AbstractContextManager[object]
    ) -> None:
        self._core = core
        self._describer = describer
        self._lock = lock
        #: By name, and what was where in memory; the one that was used last is the last.
        self._known: dict[tuple[str, tuple[int, ...]], Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def function(self, call: GraphCall) -> Function:
        """What the scheduler knows the kit as, until it is unused.

        Raises:
            SubmitError: something in it cannot be pickled.
        """
        things = call.kit
        key = call.__name__, tuple(map(id, things))
        with self._lock:
            known = self._known.get(key)
            if known is not None and _is_so(known, things):
                self._known[key] = self._known.pop(key)
                known[2].uses += 1
                return known[2]
        # Looked at before, so that what another thread changes meanwhile is seen.
        taken = taken_by(*things)
        function = self._describer.function(call)
        if taken is not None and len(function.blob) <= _BYTES_MAX:
            self._remember(key, (list(map(weakref.ref, things)), taken, function))
        return function

    def _remember(self, key: Any, entry: Known) -> None:
        with self._lock:
            entry[2].uses += 1
            before = self._known.pop(key, None)  # which may be the same function still
            self._known[key] = entry
            if before is None and len(self._known) > KITS_MAX:
                before = self._known.pop(next(iter(self._known)))
            if before is not None:
                self._core.unuse(before[2])


def _is_so(known: Known, things: tuple[Any, ...]) -> bool:
    """Whether a kit is of these very things, and they are what they were."""
    same = all(ref() is thing for ref, thing in zip(known[0], things, strict=True))
    return same and known[1].is_so()
