"""Distributed computing with structured concurrency, on Trio.

The names below are imported when they are first used: a runner process, which
lives inside this package too, starts without paying for any of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.errors import TrioDaskError as TrioDaskError

__version__ = "2026.11.0"

_HOMES: Final[dict[str, str]] = {
    "TrioDaskError": "trio_dask.errors",
}

__all__ = ["TrioDaskError"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
