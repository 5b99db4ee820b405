"""Workers that leave, and copies of values that are made on purpose: scheduler and worker only."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Ints, Strs

# ---------------------------------------------------------------- leaving


@message(70)
class Leave(Message):
    """The worker is to leave: nothing more is to be given to it, and what only it holds moves.

    Answered by `Farewell`: as soon as nothing holds it here any more or, with `at_once`, now.
    """

    reason: str
    at_once: bool


@message(71)
class Dismiss(Message):
    """The worker is to leave: it takes nothing more, and waits for `Farewell` (scheduler → worker)."""

    reason: str


@message(72)
class Farewell(Message):
    """Nothing holds the worker any more (scheduler → worker).

    `moved` values, of `nbytes` together, have been copied to others since it was to leave;
    `left` have no other place, and `lost` of these only a client can bring again.
    """

    moved: int
    nbytes: int
    left: int
    lost: int


# ---------------------------------------------------------------- copies


@message(73)
class Copy(Message):
    """Hold copies of these values, whether a task needs them or not (scheduler → worker).

    Row by row an index into `places`, of which each is one or more worker addresses,
    separated by spaces, best first. Each value is answered in `Replicas` or in `Uncopied`.
    `large` is as in `Run`.
    """

    tids: Ints
    at: Ints
    places: Strs
    large: Ints = field(default_factory=list)
    PARALLEL: ClassVar = ("tids", "at")


@message(74)
class Uncopied(Message):
    """Values of `Copy` that could not be had (worker → scheduler).

    For each the encoded `Failure` that says why it cannot leave its place, or nothing: it
    was at none of the places.
    """

    tids: Ints
    failures: Blobs
    PARALLEL: ClassVar = ("tids", "failures")


# ---------------------------------------------------------------- new runners


@message(75)
class Renew(Message):
    """The worker's runner is to end, and another to take its place (scheduler → worker).

    With `forget` all that the worker holds and was given is forgotten at once, and needs no
    answer. Else its values live on as far as they are outside the runner, and its attempts
    are over as if it had died on purpose. Answered by `Renewed`.
    """

    serial: int
    forget: bool


@message(76)
class Renewed(Message):
    """A new runner can take work since `Renew` with this serial (worker → scheduler)."""

    serial: int
