"""Questions to workers' processes, with their rules broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.scheduler.core import inquiring

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def wait_for_who_cannot_say() -> AbstractContextManager[Any]:
    """What a worker says that has left, or has no runner, does not count among the answers."""
    real = inquiring._done

    def done(state: Any, inquiry: Any, serial: int) -> None:
        if inquiry.refused:
            del state.inquiries[serial], inquiry.waiting[serial]
        else:
            real(state, inquiry, serial)

    return patch.object(inquiring, "_done", done)


INQUIRY_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "wait_for_who_cannot_say": wait_for_who_cannot_say
}
