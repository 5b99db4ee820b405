"""What an operator names by import path: a scheduler runs no code that comes from a client."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trio_dask.errors import ConfigError
from trio_dask.scheduler.policies.proposals import Placement

if TYPE_CHECKING:
    from collections.abc import Callable


def find_placement(path: str) -> Callable[[], Placement] | None:
    """What makes the placement policy at ``module:name``; None if there is no path.

    Raises:
        ConfigError: there is no such thing, or it is something else.
    """
    if not path:
        return None
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        msg = f"scheduler.placement = {path!r}: it is written as module:name"
        raise ConfigError(msg)
    try:
        found: object = importlib.import_module(module)
    except Exception as error:
        msg = f"scheduler.placement = {path!r}: {module} cannot be imported: {error}"
        raise ConfigError(msg) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Placement)):
        msg = f"scheduler.placement = {path!r}: it is no subclass of trio_dask.scheduler.Placement"
        raise ConfigError(msg)
    return found
