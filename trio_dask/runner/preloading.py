"""``--preload`` of a worker: what is loaded where tasks run, before the first of them."""

from __future__ import annotations

import atexit
import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any


def preload(settings: dict[str, Any]) -> None:
    """Import modules, run files, and call their ``dask_setup(worker)``.

    The worker that they see has a name, an address and so on, but is not the worker, which
    is another process. ``dask_teardown(worker)`` is called when this process ends in order.
    """
    named = settings.get("preload") or ()
    if not named:
        return
    worker = view_of(settings)
    for each in named:
        module = _file(each) if each.endswith(".py") else importlib.import_module(each)
        setup = getattr(module, "dask_setup", None)
        if setup is not None:
            setup(worker)
        teardown = getattr(module, "dask_teardown", None)
        if teardown is not None:
            atexit.register(teardown, worker)


def view_of(settings: dict[str, Any]) -> SimpleNamespace:
    """What users' code sees of the worker that this runner is part of."""
    about = ("name", "address", "scheduler_address", "nthreads", "local_directory")
    return SimpleNamespace(**{name: settings.get(name) for name in about})


def _file(path: str) -> ModuleType:
    """A file as a module, which pickled functions find by its name."""
    import importlib.util
    from pathlib import Path

    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"{path} cannot be loaded"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
