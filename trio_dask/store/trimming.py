"""Memory that was let go of goes back to the system."""

from __future__ import annotations

from typing import Any


def trim() -> None:
    """Ask the C library, where it can, to return what it has put by. Takes a millisecond or so."""
    import ctypes  # few need it, and it takes a while

    try:
        malloc_trim: Any = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # others do it by themselves, or not at all
        return
    malloc_trim(0)
