"""What a program has told Dask, for the processes that run its tasks."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

#: What Dask reads as it is imported.
_VARIABLE: Final = "DASK_INTERNAL_INHERIT_CONFIG"
#: A variable has to be smaller than 128 KiB.
_TEXT_MAX: Final = 100_000


def dasks_settings() -> dict[str, str]:
    """The variable that has Dask's configuration in it, as it is here; none if Dask is not imported.

    Without what only means something here, as a client that is the scheduler.
    """
    dask: Any = sys.modules.get("dask.config")
    config = getattr(dask, "config", None)
    if not isinstance(config, dict):
        return {}
    text = str(dask.serialize({name: each for name, each in config.items() if _plain(each)}))
    return {_VARIABLE: text} if len(text) <= _TEXT_MAX else {}


def _plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
