"""``--preload`` of a server: modules that an operator names by import path."""

from __future__ import annotations

import importlib
import inspect
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")
#: What such a module may have, as in Dask.
SETUP: Final = "dask_setup"
TEARDOWN: Final = "dask_teardown"


class _Plugin:
    """An object of a class, as Dask's plugins are, in the place of a module."""

    def __init__(self, kind: Callable[[], Any]) -> None:
        self._made = kind()
        #: Called with what runs, and at the end.
        self.dask_setup = getattr(self._made, "start", None)
        self.dask_teardown = self._close if hasattr(self._made, "close") else None

    def _close(self, _server: object) -> Any:
        return self._made.close()


def import_preloads(paths: Sequence[str], option: str = "--preload") -> list[object]:
    """Import them, in their order; of those with a class in them, ``module:Class``, make one.

    Raises:
        ConfigError: one is no import path, or cannot be imported.
    """
    found: list[object] = []
    for path in paths:
        if not _PATH.fullmatch(path) or path.endswith(".py"):
            msg = (
                f"{option}: {path!r} is no import path, as package.module or package.module:Class: "
                "a server loads no "
                "files, addresses or texts"
            )
            raise ConfigError(msg)
        try:
            name, _, kind = path.partition(":")
            module = importlib.import_module(name)
            found.append(_Plugin(getattr(module, kind)) if kind else module)
        except Exception as error:
            msg = f"{option}: {path!r} cannot be imported: {type(error).__name__}: {error}"
            raise ConfigError(msg) from error
    return found


@asynccontextmanager
async def preloaded(modules: Sequence[object], server: object) -> AsyncIterator[None]:
    """Call ``dask_setup(server)`` of each that has it, and ``dask_teardown`` at the end."""
    begun: list[object] = []
    try:
        for each in modules:
            begun.append(each)
            await _call(each, SETUP, server)
        yield
    finally:
        for each in reversed(begun):
            await _call(each, TEARDOWN, server)  # noqa: ASYNC102 - the operator's own code


async def _call(module: object, name: str, server: object) -> None:
    function: Any = getattr(module, name, None)
    if function is not None:
        result = function(server)
        if inspect.isawaitable(result):
            await result
