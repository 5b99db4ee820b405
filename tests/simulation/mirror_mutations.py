"""Rules of what the cluster keeps broken on purpose: what the simulation has to find."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.client.core.tickets import Holdings
from trio_dask.scheduler.core import membership, mirroring, recollecting, reunion
from trio_dask.worker.core import mirroring as keeping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


def keep_nothing_for_the_next_scheduler() -> AbstractContextManager[Any]:
    """A worker does not tell what it has kept."""
    return patch.object(keeping, "had", lambda _: [])


@contextmanager
def answer_before_a_worker_has_it() -> Iterator[None]:
    """Who writes something is answered at once, and workers are told now and then."""
    real, calls = mirroring.tell, 0

    def answer(_: Any, client: Any, message: Any) -> None:
        client.out.add(message)

    def tell(state: Any) -> None:
        nonlocal calls
        calls += 1
        if not calls % 8:
            real(state)

    with patch.object(mirroring, "answer", answer), patch.object(mirroring, "tell", tell):
        yield


def do_again_what_is_done() -> AbstractContextManager[Any]:
    """A write whose answer was not heard is done once more."""
    return patch.object(mirroring, "answered", lambda *_: False)


def forget_what_clients_hold() -> AbstractContextManager[Any]:
    """A client does not tell which locks it has, and what it was given."""
    return patch.object(Holdings, "said_again", lambda _: [])


def believe_who_knows_less() -> AbstractContextManager[Any]:
    """Of several workers it is one with an earlier version that counts."""
    real = recollecting.adopt

    def adopt(state: Any, told: Any, *, anew: bool) -> None:
        for _, messages in told:
            for each in messages:
                if type(each).__name__ == "Mirror" and each.version:
                    each.version = (1 << 60) - each.version
        real(state, told, anew=anew)

    return patch.object(recollecting, "adopt", adopt)


def tell_nobody_at_once() -> AbstractContextManager[Any]:
    """Nobody knows of those who have come since all were told."""
    return patch.object(membership, "_tell_witness", lambda *_: None)


def give_the_same_numbers() -> AbstractContextManager[Any]:
    """Newcomers get numbers that those before have had of whom nobody has heard."""
    return patch.object(reunion, "_LEAP_MORE", 0)


MIRROR_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    mutation.__name__: mutation
    for mutation in (
        keep_nothing_for_the_next_scheduler,
        answer_before_a_worker_has_it,
        do_again_what_is_done,
        forget_what_clients_hold,
        believe_who_knows_less,
        tell_nobody_at_once,
        give_the_same_numbers,
    )
}
