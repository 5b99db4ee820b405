"""Threads in which a blocking client makes calls of its user's, which may wait for what they like."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("trio_dask.client")


class CallingThread:
    """Makes calls one after the other, in a daemon thread that begins with the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._begun = False

    def call(self, call: Callable[[], None]) -> None:
        """Have something called, after what came before."""
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(
                    target=_serve, args=(self._calls,), name=self._name, daemon=True
                ).start()
        self._calls.put(call)

    def end(self) -> None:
        """No call comes any more: those that have come are made, then the thread ends."""
        self._calls.put(None)


def _serve(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        try:
            call()
        except BaseException:  # noqa: ASYNC103 - as of `sys.exit`: there are others' callbacks to come
            logger.exception("a callback would have ended the thread of all callbacks")
        del call  # it has its future, which nobody else may want any more
