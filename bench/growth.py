"""Graphs of any size for a scheduler whose workers are played: see `crowd`.

A shape takes how many tasks and how many workers, and gives what a client says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.crowd import Crowd
from trio_dask.messages import tasks as words
from trio_dask.messages.ids import first_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from trio_dask.messages import Message

_ROWS: Final = 10_000
_ARGS: Final = b"x" * 40
FIRST: Final = first_id(1)
_CHAINS: Final = 100


def functions() -> Iterator[Message]:
    """What all tasks run."""
    yield words.Functions([FIRST], ["noop"], [b"code"])


def submit(
    first: int, count: int, dep_counts: list[int], dep_tids: list[int], *, keys: bool = False,
    **options: Any,
) -> Message:  # fmt: skip
    """So many tasks, of which the first has this number."""
    names = [f"key-{number}" for number in range(first, first + count)] if keys else []
    return words.Submit(
        FIRST + first, [FIRST], [_ARGS] * count, dep_counts, dep_tids, names, [],
        wanted=True, options=options,
    )  # fmt: skip


def _parts(tasks: int, rows: int = _ROWS, at: int = 0) -> Iterator[tuple[int, int]]:
    for begin in range(at, at + tasks, rows):
        yield begin, min(rows, at + tasks - begin)


def plain(tasks: int, workers: int) -> Iterator[Message]:
    """Tasks that have nothing to do with each other."""
    for at, count in _parts(tasks):
        yield submit(at, count, [], [])


def restricted(tasks: int, workers: int) -> Iterator[Message]:
    """A hundred at a time may run on one worker only, each hundred on another."""
    for number, (at, count) in enumerate(_parts(tasks, 100)):
        yield submit(at, count, [], [], workers=[f"w{number % workers}"])


def priorities(tasks: int, workers: int) -> Iterator[Message]:
    """Each hundred is more urgent than all before."""
    for number, (at, count) in enumerate(_parts(tasks, 100)):
        yield submit(at, count, [], [], priority=number)


def keyed(tasks: int, workers: int) -> Iterator[Message]:
    """Keys that a user has chosen."""
    for at, count in _parts(tasks):
        yield submit(at, count, [], [], keys=True)


def wide(tasks: int, workers: int) -> Iterator[Message]:
    """All need one."""
    yield submit(0, 1, [], [])
    for at, count in _parts(tasks - 1, at=1):
        yield submit(at, count, [1] * count, [FIRST] * count)


def narrow(tasks: int, workers: int) -> Iterator[Message]:
    """One needs all."""
    yield from plain(tasks - 1, workers)
    yield submit(tasks - 1, 1, [tasks - 1], list(range(FIRST, FIRST + tasks - 1)))


def deep(tasks: int, workers: int) -> Iterator[Message]:
    """A hundred chains."""
    yield submit(0, _CHAINS, [], [])
    for at, count in _parts(tasks - _CHAINS, at=_CHAINS):
        deps = list(range(FIRST + at - _CHAINS, FIRST + at - _CHAINS + count))
        yield submit(at, count, [1] * count, deps)


def one_chain(tasks: int, workers: int) -> Iterator[Message]:
    """One chain, of which only the end is wanted."""
    yield submit(0, 1, [], [])
    for at, count in _parts(tasks - 1, at=1):
        yield submit(at, count, [1] * count, list(range(FIRST + at - 1, FIRST + at - 1 + count)))


SHAPES: Final[dict[str, Callable[[int, int], Iterator[Message]]]] = {
    "plain": plain,
    "restricted": restricted,
    "priorities": priorities,
    "keys": keyed,
    "wide": wide,
    "narrow": narrow,
    "deep": deep,
    "one chain": one_chain,
}


def grown(shape: str, tasks: int, workers: int, *, held: bool = False) -> Crowd:
    """All tasks of a shape are done."""
    crowd = Crowd(workers, held=held)
    crowd.say(functions())
    crowd.say(SHAPES[shape](tasks, workers))
    crowd.play()
    assert crowd.finished == tasks, f"{crowd.finished} of {tasks} finished"
    return crowd
