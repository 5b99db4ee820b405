"""What a plugin is, and the one that brings files."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class WorkerPlugin:
    """Something to be set up wherever tasks run: derive from it, and register an object of yours.

    An object is pickled, and made anew in every process that runs tasks, also in those that
    come later or take the place of one that died. `setup` and `teardown` may be ``async def``.
    """

    #: Under which it is registered; another one of the name takes its place.
    name: str | None = None
    #: Leave the one alone that is there under the name.
    idempotent: bool = False

    def setup(self, worker: Any) -> None:
        """It is there: `worker` has its name, address, nthreads and local_directory."""

    def teardown(self, worker: Any) -> None:
        """It is to go, or the process ends in order. A process that is killed does not get here."""


class Callback(WorkerPlugin):
    """A function to be called as each process starts: with the worker, unless it takes nothing."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def setup(self, worker: Any) -> Any:
        """Call it; as `dask_worker` where it has that name for it."""
        import inspect

        try:
            taken = inspect.signature(self._function).parameters
        except (TypeError, ValueError):  # it is not written in Python
            return self._function(worker)
        if "dask_worker" in taken:
            return self._function(dask_worker=worker)
        return self._function(worker) if taken else self._function()


class UploadFile(WorkerPlugin):
    """A file, for all tasks: a module to import, or any other."""

    def __init__(self, name: str, data: bytes, *, load: bool = True) -> None:
        self.name = name
        self.data = data
        self.load = load

    def setup(self, worker: Any) -> None:
        """Put it into the worker's directory, where modules are looked for, and load it."""
        import os
        from importlib.util import cache_from_source
        from pathlib import Path

        directory = Path(worker.local_directory or ".").resolve()
        path = directory / str(self.name)
        if path.suffix == ".py":  # within a second another text of the same length looks the same
            Path(cache_from_source(str(path))).unlink(missing_ok=True)
        # Others of this worker's process may use the same directory, or the file of before.
        part = directory / f".{self.name}.{os.getpid()}.{id(self)}"
        part.write_bytes(self.data)
        part.replace(path)
        stem, ending = path.stem, path.suffix
        if ending not in {".py", ".egg", ".zip", ".pyz"}:
            return
        place = str(directory if ending == ".py" else path)
        if place not in sys.path:
            sys.path.insert(0, place)
        importlib.invalidate_caches()
        for name in _modules_in(path) if ending != ".py" else [stem]:
            for known in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[known]
            if self.load:
                importlib.import_module(name)


def _modules_in(path: Any) -> list[str]:
    """The modules and packages at the top of an archive."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    found = [name.removesuffix(".py") for name in names if "/" not in name and name.endswith(".py")]
    found += [name.partition("/")[0] for name in names if name.endswith("/__init__.py")]
    return [name for name in dict.fromkeys(found) if name.isidentifier() and name != "__main__"]
