"""Plugins and files for all processes that run tasks. For both clients."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.publishing import AsyncPublishing, Publishing
from trio_dask.errors import SubmitError
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.plugins import PLUGIN_BYTES_MAX
from trio_dask.runner import Callback, UploadFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from trio_dask.client.base import BaseClient

_ELSEWHERE: Final = {
    "SchedulerPlugin": (
        "the scheduler runs no code of clients: name it when the scheduler is started, as in "
        "`trio-dask scheduler --preload package.module:Name`"
    ),
    "NannyPlugin": "nannies run no code of clients: make it a WorkerPlugin",
}


async def register(client: BaseClient, plugin: Any, name: str | None) -> dict[str, Any]:
    """Have it set up everywhere, or nowhere."""
    for kind in type(plugin).__mro__:
        if kind.__name__ in _ELSEWHERE:
            msg = f"{type(plugin).__name__} is a {kind.__name__}: {_ELSEWHERE[kind.__name__]}"
            raise TypeError(msg)
    if isinstance(plugin, type):
        msg = f"register_plugin takes an object: {plugin.__name__}(…), not the class"
        raise TypeError(msg)
    if not hasattr(plugin, "setup") and not hasattr(plugin, "teardown"):
        msg = f"{plugin!r:.100} is no plugin: it has neither setup nor teardown"
        raise TypeError(msg)
    own = name or getattr(plugin, "name", None)
    called = str(own) if own else f"{type(plugin).__name__}-{uuid.uuid4()}"
    kept = client.describer.kept(plugin, f"plugin {called!r}", PLUGIN_BYTES_MAX)
    if kept["tids"]:
        msg = f"plugin {called!r} has futures inside; a plugin is there before all tasks"
        raise SubmitError(msg)
    params = {"name": called, "data": kept["data"]}
    params["idempotent"] = bool(own) and bool(getattr(plugin, "idempotent", False))
    return _outcome(await client.live.ask("plugin.register", params), called)


async def unregister(client: BaseClient, name: str) -> dict[str, Any]:
    """Have it torn down everywhere."""
    return _outcome(await client.live.ask("plugin.unregister", {"name": str(name)}), str(name))


def _outcome(answer: dict[str, Any], name: str) -> dict[str, Any]:
    failures = answer["failures"]
    if not failures:
        return {address: {"status": "OK"} for address in answer["workers"]}
    (_, first), *others = failures.items()
    error = rebuild(Failure.from_bytes(first))
    error.add_note(f"The plugin {name!r} is registered no longer.")
    if others:
        error.add_note(f"It failed on {len(others)} more: {', '.join(dict(others))}")
    raise error


def uploaded(filename: str | PathLike[str], *, load: bool) -> UploadFile:
    """The plugin that brings a file.

    Raises:
        OSError: it cannot be read.
        SubmitError: it is too large.
    """
    path = Path(filename)
    data = path.read_bytes()
    if len(data) > PLUGIN_BYTES_MAX - 1000:
        msg = (
            f"{path} has {len(data):,} bytes, of which {PLUGIN_BYTES_MAX - 1000:,} can be uploaded"
        )
        raise SubmitError(msg)
    return UploadFile(path.name, data, load=load)


class AsyncPlugging(AsyncPublishing):
    """The methods of the client that is awaited."""

    async def register_plugin(self, plugin: Any, name: str | None = None) -> dict[str, Any]:
        """Set something up wherever tasks run: now, and in every process that comes later.

        Tasks that are given out afterwards begin when it is there. If it cannot be set up on
        one of the workers it is taken back from all of them, and the error is raised.

        Args:
            plugin: an object of a class of yours, as of `WorkerPlugin`, with `setup` or `teardown`.
            name: which it replaces, if there is one of that name.

        Raises:
            TypeError: it is no such object.
            SubmitError: it cannot be pickled, or is larger than 16 megabytes.
        """
        return await register(self, plugin, name)

    async def unregister_worker_plugin(self, name: str) -> dict[str, Any]:
        """Tear a plugin down wherever tasks run.

        Raises:
            ValueError: there is none of that name.
        """
        return await unregister(self, name)

    async def register_worker_callbacks(self, setup: Callable[..., Any]) -> dict[str, Any]:
        """Call a function now, and as each process that runs tasks starts.

        With the worker, as `dask_worker` if it has that name for it, unless it takes nothing.
        """
        return await register(self, Callback(setup), None)

    async def upload_file(
        self,
        filename: str | PathLike[str],
        load: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, Any]:
        """Bring a file to all workers, those that come later included.

        It is put into their `local_directory`, in which modules are looked for; an archive
        (``.zip``, ``.egg``, ``.pyz``) is searched as well. With `load` modules are imported at
        once, and what was known of them is forgotten.

        Raises:
            SubmitError: it is larger than 16 megabytes.
        """
        return await register(self, uploaded(filename, load=load), None)


class Plugging(Publishing):
    """The methods of the client that blocks."""

    def register_plugin(self, plugin: Any, name: str | None = None) -> dict[str, Any]:
        """Set something up wherever tasks run: now, and in every process that comes later.

        Tasks that are given out afterwards begin when it is there. If it cannot be set up on
        one of the workers it is taken back from all of them, and the error is raised.

        Args:
            plugin: an object of a class of yours, as of `WorkerPlugin`, with `setup` or `teardown`.
            name: which it replaces, if there is one of that name.

        Raises:
            TypeError: it is no such object.
            SubmitError: it cannot be pickled, or is larger than 16 megabytes.
        """
        done: dict[str, Any] = self.run_blocking(register(self, plugin, name))
        return done

    def unregister_worker_plugin(self, name: str) -> dict[str, Any]:
        """Tear a plugin down wherever tasks run.

        Raises:
            ValueError: there is none of that name.
        """
        done: dict[str, Any] = self.run_blocking(unregister(self, name))
        return done

    def register_worker_callbacks(self, setup: Callable[..., Any]) -> dict[str, Any]:
        """Call a function now, and as each process that runs tasks starts.

        With the worker, as `dask_worker` if it has that name for it, unless it takes nothing.
        """
        done: dict[str, Any] = self.run_blocking(register(self, Callback(setup), None))
        return done

    def upload_file(
        self,
        filename: str | PathLike[str],
        load: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, Any]:
        """Bring a file to all workers, those that come later included.

        It is put into their `local_directory`, in which modules are looked for; an archive
        (``.zip``, ``.egg``, ``.pyz``) is searched as well. With `load` modules are imported at
        once, and what was known of them is forgotten.

        Raises:
            SubmitError: it is larger than 16 megabytes.
        """
        plugin = uploaded(filename, load=load)
        done: dict[str, Any] = self.run_blocking(register(self, plugin, None))
        return done
