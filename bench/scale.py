"""How much is done in each case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of the cases, and how long to look at what takes no time of its own."""

    #: no-ops in the map
    tasks: int = 50_000
    #: chains, and tasks in each
    chains: int = 100
    length: int = 100
    #: leaves of the tree; a power of two
    leaves: int = 8_192
    #: inputs of the merge
    inputs: int = 10_000
    #: rows, and columns, of the crossbar
    width: int = 60
    #: round trips, one after the other
    trips: int = 1_000
    #: tasks of a millisecond that are queued while a more urgent one comes
    queued: int = 100_000
    #: values of a kilobyte
    values: int = 10_000
    #: bytes of a large value, how often it is moved, and how often only a byte of it is read
    large: int = 256 << 20
    moves: int = 12
    touches: int = 40
    #: tasks that wait while memory is looked at
    pending: int = 200_000
    #: tasks of 10 ms, of whose processes one is killed
    dozes: int = 2_000
    #: parts of the shuffle, and pieces of each
    parts: int = 48
    #: seconds that the idle are watched
    idle_s: float = 10.0
    #: tasks of the map that is compared with a hundredth of it
    many: int = 1_000_000
    #: tasks of each kind that a scheduler with one, and with very many workers has to do
    grown: int = 100_000
    #: tasks that are released, cancelled and so on at once
    at_once: int = 300_000
    #: strangers at the door while tasks run, a hundred a second
    strangers: int = 10_000


FULL: Final = Scale()
#: It takes distributed longer to do these than all others to do theirs.
FULL_SLOW: Final = replace(
    FULL, tasks=20_000, trips=200, values=5_000, pending=10_000, queued=10_000
)
QUICK: Final = replace(
    FULL,
    tasks=20_000,
    trips=300,
    queued=20_000,
    pending=20_000,
    dozes=200,
    idle_s=2.0,
    many=200_000,
    grown=10_000,
    at_once=30_000,
    strangers=1_000,
)
QUICK_SLOW: Final = Scale(
    tasks=2_000,
    length=8,
    leaves=256,
    inputs=500,
    width=20,
    trips=50,
    queued=2_000,
    values=500,
    moves=3,
    touches=3,
    pending=1_500,
    dozes=200,
    idle_s=2.0,
)


def scale_for(*, quick: bool, slow: bool) -> Scale:
    """What suits a system, and the time there is."""
    if quick:
        return QUICK_SLOW if slow else QUICK
    return FULL_SLOW if slow else FULL
