"""What operators may add to a scheduler."""

from __future__ import annotations

from typing import Any


class SchedulerPlugin:
    """Something of an operator's that lives as long as the scheduler: derive from it.

    ``trio-dask scheduler --preload package.module:Class`` makes one. Clients cannot register
    any, as the scheduler runs none of their code. Both methods may be ``async def``.
    """

    def start(self, scheduler: Any) -> None:
        """The scheduler listens; `scheduler` is its handle: `address`, `view` and so on."""

    def close(self) -> None:
        """It is about to end."""
