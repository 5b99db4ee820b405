"""The loop we are on: the only place in the client that knows there are two kinds."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

import anyio

from trio_dask import comm

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from trio_dask.comm import AnyioConnection, Connection, Keys


def on_trio() -> bool:
    """Whether this thread runs Trio code; it does not load Trio for that."""
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


async def dial(
    address: str, *, keys: Keys, role: str, expect: str, timeout_s: float, near: bool = True
) -> AnyioConnection | Connection:
    """An authenticated connection on the loop we are on: see `comm.connect`.

    On Trio it is the one that servers have, which writes what is to be sent at once: a small
    message needs no turn of the loop for that, where it takes three by way of anyio.
    """
    connect = comm.connect if on_trio() else comm.connect_anyio
    return await connect(
        address, keys=keys, role=role, expect=expect, timeout_s=timeout_s, near=near
    )


def event_here() -> anyio.Event | trio.Event:
    """An event of the loop we are on: one of anyio looks for its loop each time one is made."""
    return sys.modules["trio"].Event() if on_trio() else anyio.Event()


def waker(callback: Callable[[], None]) -> Callable[[], None]:
    """A function for any thread and any moment, even the garbage collector's.

    It makes the present loop call `callback` soon, and does nothing once the loop is over.
    """
    if on_trio():
        trio = sys.modules["trio"]
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


def refuse_running_loop(what: str, instead: str) -> None:
    """Make sure that this thread may block.

    A cell of a notebook may: its kernel runs a loop, but waits for the cell anyway.

    Args:
        what: what would block.
        instead: what does the same without blocking.

    Raises:
        RuntimeError: it runs a loop, which everything else on it would be held up with.
    """
    asyncio = sys.modules.get("asyncio")
    if on_trio():
        kind = "Trio"
    elif (
        asyncio is not None
        and asyncio._get_running_loop() is not None  # noqa: SLF001 - no other way is silent
        and not _in_notebook()
    ):
        kind = "asyncio"
    else:
        return
    msg = f"{what} blocks, and this thread runs {kind} code: use {instead}, and await it"
    raise RuntimeError(msg)


def _in_notebook() -> bool:
    """Whether this is the main thread of an IPython kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return (
        getattr(shell, "kernel", None) is not None
        and threading.current_thread() is threading.main_thread()
    )
