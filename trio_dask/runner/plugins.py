"""Plugins: what users have set up in this runner, before tasks that come later begin."""

from __future__ import annotations

import sys
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from trio_dask.messages.payload import unpack
from trio_dask.messages.plugins import Plugins, PluginsDone
from trio_dask.runner.ends import read_nothing_more
from trio_dask.runner.preloading import view_of

if TYPE_CHECKING:
    from trio_dask.runner.slots import Slots


class PluginHost:
    """The plugins of a runner, in a thread of their own: what runs goes on meanwhile.

    Args:
        slots: where nothing begins while a plugin is being set up.
        fd: the runner's socket, which is read no further when there is to be a plugin that
            tasks rely on, and cannot be.
    """

    def __init__(self, slots: Slots, fd: int) -> None:
        self._slots = slots
        self._fd = fd
        #: Whether that is so: the runner is to end.
        self.failed = False
        self._there: dict[str, Any] = {}
        self._todo: SimpleQueue[Plugins | None] = SimpleQueue()
        self._started = False
        self._working = Lock()

    def take(self, message: Plugins) -> None:
        """Do it, soon; tasks that come from now on wait for it."""
        self._slots.hold()
        self._todo.put(message)
        if not self._started:
            self._started = True
            ends = self._slots.outbox.ends
            Thread(target=ends.run, args=(self._run,), name="plugins", daemon=True).start()

    def _run(self) -> None:
        while (message := self._todo.get()) is not None:
            with self._working:
                pairs = zip(message.names, message.blobs, strict=True)
                errors = [self._one(name, blob) for name, blob in pairs]
            if not message.serial and any(errors):
                self._mourn(message.names, errors)  # and let nothing begin
                return
            self._slots.let_go()
            failures = [self._failure(each) for each in errors]
            self._slots.outbox.say(PluginsDone(message.serial, failures))

    def _one(self, name: str, blob: bytes) -> BaseException | None:
        """Tear down what is there, and set up what is to be; the error that this led to."""
        error = self._tear_down(name)
        if not blob:
            return error
        try:
            plugin = unpack(blob)
            _call(plugin, "setup", view_of(self._slots.settings))
        except BaseException as raised:  # noqa: BLE001 - users' code raises what it likes
            return raised
        self._there[name] = plugin
        return None

    def _tear_down(self, name: str) -> BaseException | None:
        plugin = self._there.pop(name, None)
        try:
            _call(plugin, "teardown", view_of(self._slots.settings))
        except BaseException as raised:  # noqa: BLE001 - users' code raises what it likes
            return raised
        return None

    def _failure(self, error: BaseException | None) -> bytes:
        from trio_dask.runner.failing import failure_at

        return b"" if error is None else failure_at(error, {}, self._slots.settings)

    def _mourn(self, names: list[str], errors: list[BaseException | None]) -> None:
        for name, error in zip(names, errors, strict=True):
            if error is not None:
                print_error(f"trio_dask.runner: the plugin {name} cannot be set up", error)
        self.failed = True
        read_nothing_more(self._fd)

    def close(self) -> None:
        """Tear all of them down, the last first."""
        if not self._started:
            return
        self._todo.put(None)
        with self._working:
            for name in reversed(list(self._there)):
                error = self._tear_down(name)
                if error is not None:
                    print_error(f"trio_dask.runner: the plugin {name} cannot be torn down", error)


def print_error(line: str, error: BaseException) -> None:
    """Say on stderr what went wrong in users' code."""
    with suppress(Exception):
        sys.stderr.write(f"{line}:\n")
        sys.excepthook(type(error), error, error.__traceback__)


def _call(plugin: Any, name: str, worker: Any) -> None:
    method = getattr(plugin, name, None)
    if method is None:
        return
    result = method(worker)
    if hasattr(result, "__await__"):
        import trio

        async def finish() -> None:
            await result

        trio.run(finish)
