"""Memory that Python has let go of goes back to the system when there is little."""

from __future__ import annotations

import gc

from trio_dask.store import trim


def give_back_memory() -> None:
    """Give back what can be. It takes some milliseconds; any thread may do it."""
    gc.collect()
    trim()
