"""What a case has: a system, running if it asks for that, and how much to do."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from bench import graphs

if TYPE_CHECKING:
    from bench.scale import Scale
    from bench.systems import Running, System

_WARM_UP: Final = 300


@dataclass
class Turn:
    """A system while it is its turn."""

    system: System
    scale: Scale
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def running(self) -> Running:
        """The system, open until the turn is over, and warm: it has done some tasks."""
        running = self._stack.enter_context(self.system.open())
        running.client.run(graphs.noop_map(_WARM_UP).build)
        return running

    def close(self) -> None:
        """Close the system, if it was opened. The next who asks for it gets a new one."""
        self.__dict__.pop("running", None)
        self._stack.close()
