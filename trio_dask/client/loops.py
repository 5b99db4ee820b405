"""The loop we are on: the only place in the client that knows there are two kinds."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def waker(callback: Callable[[], None]) -> Callable[[], None]:
    """A function for any thread and any moment, even the garbage collector's.

    It makes the present loop call `callback` soon, and does nothing once the loop is over.
    """
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        token = trio.lowlevel.current_trio_token()

        def wake_trio() -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(callback)

        return wake_trio
    import asyncio  # noqa: TID251 - users may be on it

    loop = asyncio.get_running_loop()

    def wake_asyncio() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(callback)

    return wake_asyncio
