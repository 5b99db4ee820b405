"""What concerns very many tasks at once, and how long the scheduler hears nobody else meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import growth
from bench.crowd import CLIENT, Crowd, no_collector
from bench.growth import FIRST
from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROWS: Final = 10_000
#: Next to each other in time, far from each other in the table.
_STRIDE: Final = 7919


def accept(tasks: int, shape: str = "plain") -> Crowd:
    """Tasks are described, and wait: there is no worker."""
    crowd = Crowd(0)
    crowd.say(growth.functions())
    crowd.say(growth.SHAPES[shape](tasks, 1))
    crowd.play()
    assert len(crowd.core.state.tasks) == tasks
    return crowd


def _tids(tasks: int, stride: int = 1) -> Iterator[list[int]]:
    order = [FIRST + number * stride % tasks for number in range(tasks)]
    return (order[at : at + _ROWS] for at in range(0, tasks, _ROWS))


def _forgotten(crowd: Crowd) -> Crowd:
    crowd.play()
    assert not crowd.core.state.tasks
    return crowd


def release(tasks: int) -> Crowd:
    """They are released as they came."""
    crowd = accept(tasks).begin()
    crowd.say(map(words.Release, _tids(tasks)))
    return _forgotten(crowd)


def release_mixed(tasks: int) -> Crowd:
    """They are released in no order."""
    crowd = accept(tasks).begin()
    crowd.say(map(words.Release, _tids(tasks, _STRIDE)))
    return _forgotten(crowd)


def release_values(tasks: int) -> Crowd:
    """Values that workers hold are released."""
    crowd = growth.grown("plain", tasks, 10, held=True).begin()
    crowd.say(map(words.Release, _tids(tasks)))
    return _forgotten(crowd)


def release_chain(tasks: int) -> Crowd:
    """The end of a chain is released, of which nothing else is wanted any more."""
    crowd = accept(tasks, "one chain")
    crowd.say([words.Release(list(range(FIRST, FIRST + tasks - 1)))])
    crowd.play()
    crowd.begin()
    crowd.say([words.Release([FIRST + tasks - 1])])
    return _forgotten(crowd)


def cancel(tasks: int) -> Crowd:
    """They are cancelled, in one message."""
    crowd = accept(tasks).begin()
    crowd.say([words.Cancel(list(range(FIRST, FIRST + tasks)), "no more")])
    crowd.play()
    return crowd


def fail(tasks: int) -> Crowd:
    """What all others need comes to a bad end."""
    crowd = accept(tasks, "wide").begin()
    crowd.say([words.Cancel([FIRST], "no more")])
    crowd.play()
    return crowd


def client_leaves(tasks: int) -> Crowd:
    """The client of them all is gone."""
    crowd = accept(tasks).begin()
    crowd.turn(lambda: crowd.core.left(CLIENT, "bye"))
    return _forgotten(crowd)


def worker_dies(tasks: int) -> Crowd:
    """One of two workers dies with half of the values, and the other makes them again."""
    crowd = growth.grown("plain", tasks, 2, held=True).begin()
    crowd.turn(lambda: crowd.core.left(CLIENT + 1, "it died"))
    crowd.play()
    assert crowd.finished > tasks
    return crowd


def workers_come(tasks: int, count: int = 1000) -> Crowd:
    """Very many workers join, one after the other, and all have room for hundreds of tasks."""
    crowd = accept(tasks).begin()
    crowd.core.state.prefix("noop").observe(1e-5, 1, 1e-5)
    with no_collector():
        for number in range(count):
            crowd.turn(lambda number=number: crowd.join(number))  # type: ignore[misc]
    crowd.play()
    assert crowd.finished == tasks
    return crowd


BLOCKS: Final[dict[str, Callable[[int], Crowd]]] = {
    "accept": accept,
    "release": release,
    "release in no order": release_mixed,
    "release values": release_values,
    "release a chain": release_chain,
    "cancel": cancel,
    "fail": fail,
    "the client leaves": client_leaves,
    "a worker dies with half": worker_dies,
    "1,000 workers come": workers_come,
}
