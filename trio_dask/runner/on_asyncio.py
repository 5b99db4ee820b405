"""Coroutine functions for asyncio: each task has a loop of its own, in the thread of its slot."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from trio_dask.runner.cancelling import check_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

#: How often it is looked whether the task is to stop, seconds: asyncio drops what is raised
#: from outside between two steps.
_LOOK_S: Final = 0.05
#: How long what is cancelled may take to end, seconds: then it is left alone.
_END_S: Final = 1.0


class OnAsyncio:
    """Runs a coroutine function on a loop of asyncio; it is the function of the task."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it to its end."""
        import asyncio

        return asyncio.run(self._run(args, kwargs))

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import asyncio

        found = self.fn(*args, **kwargs)
        if not inspect.isawaitable(found):
            return found
        running = asyncio.ensure_future(found)
        while True:
            await asyncio.wait([running], timeout=_LOOK_S)
            if running.done():
                return running.result()
            try:
                check_cancelled()
            except BaseException:
                running.cancel()
                await asyncio.wait([running], timeout=_END_S)
                raise
