"""Rules of coming back broken on purpose: what the simulation has to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.client.core import returning
from trio_dask.messages import Lasting
from trio_dask.messages.reunion import Attempts
from trio_dask.scheduler.core import restoring, reunion
from trio_dask.worker.core import announcing, plugins

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def lose_what_was_not_heard() -> AbstractContextManager[Any]:
    """On a new connection nothing is said again."""
    return patch.object(Lasting, "unheard", lambda _: [])


def say_again_what_was_heard() -> AbstractContextManager[Any]:
    """Nothing counts as heard, so that all is said twice."""
    return patch.object(Lasting, "was_heard", lambda _, __: [])


def lose_a_want_on_the_way_back() -> AbstractContextManager[Any]:
    """A client does not describe the last of its tasks again."""
    real = returning.said_again

    def said_again(of: Any) -> Any:
        said = list(real(of))
        submits = [each for each in said if type(each).__name__ == "Submit"]
        return (each for each in said if not submits or each is not submits[-1])

    return patch("trio_dask.client.core.machine.said_again", said_again)


def forget_inputs_that_nobody_holds() -> AbstractContextManager[Any]:
    """A client does not name values again that it has let go of, and its tasks need."""
    return patch.object(returning, "_held", lambda *_: [])


def tell_too_late_what_is_brought() -> AbstractContextManager[Any]:
    """A client names values on their way when all else is made of what was told."""
    real = returning.said_again

    def said_again(of: Any) -> Any:
        return sorted(real(of), key=lambda each: type(each).__name__ == "Put")

    return patch("trio_dask.client.core.machine.said_again", said_again)


def grant_before_all_are_back() -> AbstractContextManager[Any]:
    """The first who is back is not made to wait for the others."""

    def is_over(state: Any, _: float) -> bool:
        return bool(state.reunion.recovering) and all(
            each.whole for each in state.reunion.reports.values()
        )

    return patch.object(reunion, "is_over", is_over)


def forget_a_running_attempt() -> AbstractContextManager[Any]:
    """A worker does not tell what it runs."""
    real = announcing.announcement

    def announcement(state: Any, bond: Any) -> list[Any]:
        return [each for each in real(state, bond) if not isinstance(each, Attempts)]

    return patch.object(announcing, "announcement", announcement)


def forget_values_on_the_way_back() -> AbstractContextManager[Any]:
    """What workers say to hold is not taken for anybody's."""
    return patch.object(restoring, "take_values", lambda *_: None)


def forget_plugins_on_the_way_back() -> AbstractContextManager[Any]:
    """A worker does not tell which plugins it has."""
    return patch.object(plugins, "had", lambda _: [])


REUNION_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    mutation.__name__: mutation
    for mutation in (
        lose_what_was_not_heard,
        say_again_what_was_heard,
        lose_a_want_on_the_way_back,
        grant_before_all_are_back,
        forget_a_running_attempt,
        forget_values_on_the_way_back,
        forget_plugins_on_the_way_back,
    )
}
#: Those that are seen where clients bring values, and schedulers die early.
BRINGING_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    mutation.__name__: mutation
    for mutation in (forget_inputs_that_nobody_holds, tell_too_late_what_is_brought)
}
