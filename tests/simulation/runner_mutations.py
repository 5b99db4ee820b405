"""A rule about several runners of a worker broken on purpose: what the simulation has to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.worker.core import condemning

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def keep_the_old_beside_the_new() -> AbstractContextManager[Any]:
    """A runner that was to be recycled goes on when its successor is there."""
    return patch.object(condemning, "on_ready", lambda state, successor: None)


RUNNER_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    mutation.__name__: mutation for mutation in (keep_the_old_beside_the_new,)
}
