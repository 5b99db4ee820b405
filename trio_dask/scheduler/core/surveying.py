"""Which values and tasks are where, for clients that ask: in slices, as it may be very many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import state as st

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker

#: Tasks between two looks at other peers.
_SLICE: Final = 1_000
#: An answer has no more keys than that; there are other ways to learn of so many.
KEYS_MAX: Final = 500_000


def on_has_what(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """The keys of the values that workers hold; or say what is wrong with the question."""
    return _by_worker(state, client, message, lambda worker: list(worker.held.values()))


def on_processing(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """The keys of the tasks that workers have been given; or say what is wrong."""
    return _by_worker(state, client, message, lambda worker: list(worker.window.values()))


def _by_worker(
    state: ClusterState,
    client: Client,
    message: Ask,
    tasks_of: Callable[[Worker], list[Task]],
) -> Generator[None, None, None] | None:
    named = message.params.get("workers")
    if named is None:
        return _keys(state, (client, message.serial), list(state.workers.values()), tasks_of)
    if type(named) is not list or not all(type(each) is str for each in named):
        client.out.refuse(
            message, f"workers must be a list of names or addresses, not {named!r:.200}"
        )
        return None
    found = [state.find_worker(name) for name in named]
    if None in found:
        client.out.refuse(message, f"there is no worker {named[found.index(None)]!r:.200}")
        return None
    workers = [worker for worker in dict.fromkeys(found) if worker is not None]
    return _keys(state, (client, message.serial), workers, tasks_of)


def _keys(
    state: ClusterState,
    asked: tuple[Client, int],
    workers: list[Worker],
    tasks_of: Callable[[Worker], list[Task]],
) -> Generator[None, None, None]:
    keys: dict[str, list[str]] = {}
    count = 0
    for worker in workers:
        own = keys[worker.address] = []
        for task in tasks_of(worker):
            own.append(state.key_of(task))
            count += 1
            if count % _SLICE == 0:
                yield
            if count > KEYS_MAX:
                what = f"more than {KEYS_MAX:,} keys: ask for some of the workers"
                _tell(state, asked, what)
                return
    _tell(state, asked, {"keys": keys})


def on_nbytes(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """How large values are, by key, or by what their functions are called; or say what is wrong."""
    keys, summary = message.params.get("keys"), message.params.get("summary")
    if keys is not None and (type(keys) is not list or not all(type(each) is str for each in keys)):
        client.out.refuse(message, f"keys must be a list of keys, not {keys!r:.200}")
        return None
    if keys is None:
        tasks = list(dict.fromkeys(state.tasks.values()))
    else:
        tasks = [task for key in keys if (task := state.task_with_key(key)) is not None]
    return _sizes(state, (client, message.serial), tasks, summary=summary is not False)


def _sizes(
    state: ClusterState, asked: tuple[Client, int], tasks: list[Task], *, summary: bool
) -> Generator[None, None, None]:
    sizes = Counter[str]()
    for row, task in enumerate(tasks):
        if task.state == st.DONE:
            function = task.spec.function
            name = function.prefix.name if function is not None else "data"
            sizes[name if summary else state.key_of(task)] += task.nbytes
        if row % _SLICE == _SLICE - 1:
            yield
    if len(sizes) > KEYS_MAX:
        _tell(state, asked, f"more than {KEYS_MAX:,} keys: ask for some of them")
    else:
        _tell(state, asked, {"nbytes": dict(sizes)})


def _tell(state: ClusterState, asked: tuple[Client, int], what: dict[str, Any] | str) -> None:
    """Answer, if the client is still there; text is what is wrong."""
    client, serial = asked
    if state.clients.get(client.number) is client:
        data = {"error": what} if isinstance(what, str) else what
        client.out.add(Answer(serial, ok=not isinstance(what, str), data=data))


TOPICS: Final[
    dict[str, Callable[[ClusterState, Client, Ask], Generator[None, None, None] | None]]
] = {"has_what": on_has_what, "processing": on_processing, "nbytes": on_nbytes}
