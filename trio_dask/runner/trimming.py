"""Memory that Python has let go of goes back to the system when there is little."""

from __future__ import annotations

import ctypes
import gc
from typing import Any


def give_back_memory() -> None:
    """Give back what can be. It takes some milliseconds; any thread may do it."""
    gc.collect()
    try:
        trim: Any = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # other systems do it by themselves, or not at all
        return
    trim(0)
