"""Rules of short memory, and of copies, broken on purpose: what the simulation has to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.scheduler.policies.relaying import Relay
from trio_dask.worker.core import room, sealing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def forget_what_is_in_files() -> AbstractContextManager[Any]:
    """What has been written to a file is let go of."""
    real = room.moved

    def moved(state: Any, tid: int, payload: Any) -> None:
        real(state, tid, payload)
        state.store.release(state.name, tid)

    return patch.object(room, "moved", moved)


def mix_up_small_values() -> AbstractContextManager[Any]:
    """Of values that share a file, the first is taken for all."""
    return patch.object(sealing, "part_of", lambda whole, _at, nbytes: whole[:nbytes])


def wait_for_a_full_disk() -> AbstractContextManager[Any]:
    """What could not be written is believed to be on its way for ever."""
    return patch.object(room, "unmoved", lambda *_: None)


def wait_for_those_who_have_left() -> AbstractContextManager[Any]:
    """A worker that is gone is believed to be getting what it was to get."""
    return patch.object(Relay, "gone", lambda *_: None)


MEMORY_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    mutation.__name__: mutation
    for mutation in (
        forget_what_is_in_files,
        wait_for_a_full_disk,
        mix_up_small_values,
        wait_for_those_who_have_left,
    )
}
