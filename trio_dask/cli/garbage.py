"""The garbage collector in a process that is a server and nothing else."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What Python begins with: a pass over what is young after so many new objects.
_USUAL: Final = 700


@contextmanager
def garbage_collector(*, off: bool) -> Iterator[None]:
    """Without a collector that runs when it likes: a pass over a million tasks takes 0.3 s.

    The cores make no cycles. This is for who owns the process, as the command line does;
    where servers share it with other code the collector is left alone.
    """
    enabled, (after, *others) = gc.isenabled(), gc.get_threshold()
    if off:
        gc.disable()
    else:  # tasks run here, as anywhere
        gc.set_threshold(min(after, _USUAL), *others)
    try:
        yield
    finally:
        if off and enabled:
            gc.enable()
