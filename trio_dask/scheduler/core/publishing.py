"""Events, data sets and metadata: what clients tell each other by way of the scheduler.

All of it is opaque here, and in bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.kept import DATASET_BYTES_MAX, EVENT_BYTES_MAX, PRINT, WARN, Said
from trio_dask.scheduler.coordination import Refusal
from trio_dask.scheduler.core import mirroring
from trio_dask.scheduler.core.coordinating import answer, lend, name_in
from trio_dask.scheduler.core.keeping import item_of, let_go, recorded
from trio_dask.scheduler.core.mirroring import done

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.coordination import Records
    from trio_dask.scheduler.core.state import Client, ClusterState

#: All clients outside of tasks are told of these.
FOR_ALL: Final = (PRINT, WARN)
_ASKED_MAX: Final = 100
DATASETS_MAX: Final = 10_000
METADATA_BYTES_MAX: Final = 16 << 20
METADATA_DEPTH_MAX: Final = 32
#: What a name takes besides its own bytes.
_NODE_BYTES: Final = 64


# ---------------------------------------------------------------- events


def _topics_in(params: dict[str, Any]) -> list[str]:
    topics = params.get("topics")
    if type(topics) is not list or not 0 < len(topics) <= _ASKED_MAX:
        msg = f"topics is a list of 1 to {_ASKED_MAX} names"
        raise Refusal(msg)
    return [name_in({"name": name}) for name in topics]


def _on_log(state: ClusterState, client: Client, message: Ask) -> None:
    topics, event = _topics_in(message.params), message.params.get("event")
    if type(event) is not bytes or len(event) > EVENT_BYTES_MAX:
        msg = f"an event is at most {EVENT_BYTES_MAX:,} bytes"
        raise Refusal(msg)
    for topic in topics:
        listeners = state.records.topics.say(topic, event)
        if topic in FOR_ALL:
            listeners += [each.number for each in state.clients.values() if each.nest is None]
        for number in dict.fromkeys(listeners):
            _tell(state, number, topic, event)
    answer(state, client, message, {})


def _tell(state: ClusterState, number: int, topic: str, event: bytes) -> None:
    client = state.clients.get(number)
    if client is None:
        return
    last = client.out.messages[-1] if client.out.messages else None
    if type(last) is not Said:
        last = Said([], [])
        client.out.add(last)
    last.topics.append(topic)
    last.events.append(event)


def _on_listen(state: ClusterState, client: Client, message: Ask) -> None:
    for topic in _topics_in(message.params):
        if message.params.get("listen") is False:
            state.records.topics.unlisten(topic, client.number)
        else:
            state.records.topics.listen(topic, client.number)
    answer(state, client, message, {})


def _on_events(state: ClusterState, client: Client, message: Ask) -> None:
    topics = state.records.topics
    names = _topics_in(message.params) if "topics" in message.params else list(topics.names())
    answer(state, client, message, {"events": {name: topics.events(name) for name in names}})


# ---------------------------------------------------------------- data sets


def _on_publish(state: ClusterState, client: Client, message: Ask) -> None:
    name, datasets = name_in(message.params), state.records.datasets
    if name in datasets and message.params.get("override") is not True:
        answer(state, client, message, {"published": False})
        return
    if name not in datasets and len(datasets) >= DATASETS_MAX:
        msg = f"{DATASETS_MAX:,} data sets are published, which is the most"
        raise Refusal(msg)
    before = datasets.get(name)
    item = item_of(state, message.params, bytes_max=DATASET_BYTES_MAX)
    datasets[name] = recorded(state, item, mirroring.DATASET, name)
    let_go(state, before)
    done(state, client, message.serial, {"published": True})


def _on_unpublish(state: ClusterState, client: Client, message: Ask) -> None:
    found = state.records.datasets.pop(name_in(message.params), None)
    let_go(state, found)
    done(state, client, message.serial, {"found": found is not None})


def _on_dataset(state: ClusterState, client: Client, message: Ask) -> None:
    found = state.records.datasets.get(name_in(message.params))
    if found is None:
        answer(state, client, message, {"found": False})
    else:
        lend(state, client, message, found)


def _on_datasets(state: ClusterState, client: Client, message: Ask) -> None:
    answer(state, client, message, {"names": list(state.records.datasets)})


# ---------------------------------------------------------------- metadata


def path_in(params: dict[str, Any]) -> list[str]:
    """A place in the metadata.

    Raises:
        Refusal: it is none.
    """
    path = params.get("path")
    if type(path) is not list or not 0 < len(path) <= METADATA_DEPTH_MAX:
        msg = f"a place in the metadata is a list of 1 to {METADATA_DEPTH_MAX} names"
        raise Refusal(msg)
    return [name_in({"name": name}) for name in path]


def size_of(tree: Any, depth: int = 0) -> int:
    """The bytes of a tree of which the leaves are bytes.

    Raises:
        Refusal: it is none, or too deep.
    """
    if type(tree) is bytes:
        return len(tree) + _NODE_BYTES
    if type(tree) is not dict or depth > METADATA_DEPTH_MAX:
        msg = f"metadata are names, at most {METADATA_DEPTH_MAX} deep, and bytes"
        raise Refusal(msg)
    return _NODE_BYTES + sum(
        _NODE_BYTES + len(name) + size_of(inner, depth + 1) for name, inner in tree.items()
    )


def _on_set_metadata(state: ClusterState, client: Client, message: Ask) -> None:
    records, path = state.records, path_in(message.params)
    tree = message.params.get("tree")
    nbytes = size_of(tree) + sum(2 * _NODE_BYTES + len(name) for name in path)
    if records.metadata_bytes + nbytes > METADATA_BYTES_MAX:
        msg = f"metadata of more than {METADATA_BYTES_MAX:,} bytes"
        raise Refusal(msg)
    node = _node(records, path)
    before = node.get(path[-1])
    _put(records, node, path[-1], tree)
    _record(state, tuple(path), tree, nbytes, below=type(before) is dict)
    done(state, client, message.serial, {})


def _node(records: Records, path: list[str]) -> dict[str, Any]:
    """Where the last name of a path has its place."""
    node = records.metadata
    for name in path[:-1]:
        inner = node.get(name)
        node = inner if type(inner) is dict else _put(records, node, name, {})
    return node


def _put(records: Records, node: dict[str, Any], name: str, tree: Any) -> Any:
    """Put a tree in its place, and keep count."""
    before = node.get(name)
    if before is not None:
        records.metadata_bytes -= _NODE_BYTES + len(name) + size_of(before)
    records.metadata_bytes += _NODE_BYTES + len(name) + size_of(tree)
    node[name] = tree
    return tree


def _record(
    state: ClusterState, path: tuple[str, ...], tree: Any, nbytes: int, *, below: bool
) -> None:
    """There is something at this place, instead of what was, and what was `below` if any was.

    A record of a place further up may have something here, too; being older it means nothing.
    """
    paths = state.mirrors.paths
    mirroring.remove(state, paths.pop(path, 0))
    if below:
        for each in [each for each in paths if each[: len(path)] == path]:
            mirroring.remove(state, paths.pop(each))
    head = [mirroring.METADATA, list(path), _copied(tree)]  # what is there may change, a record not
    paths[path] = mirroring.add(state, head, b"", nbytes)


def _copied(tree: Any) -> Any:
    return {name: _copied(each) for name, each in tree.items()} if type(tree) is dict else tree


def restore_metadata(state: ClusterState, path: list[str], tree: Any, row: int) -> None:
    """This was at this place."""
    mirroring.remove(state, state.mirrors.paths.get(tuple(path), 0))  # a newcomer's
    _put(state.records, _node(state.records, path), path[-1], _copied(tree))
    state.mirrors.paths[tuple(path)] = row


def _on_metadata(state: ClusterState, client: Client, message: Ask) -> None:
    node: Any = state.records.metadata
    for name in path_in(message.params):
        if type(node) is not dict or name not in node:
            answer(state, client, message, {"found": False})
            return
        node = node[name]
    answer(state, client, message, {"found": True, "tree": node})


ORDERS: Final[dict[str, Callable[[ClusterState, Client, Ask], None]]] = {
    "topic.log": _on_log,
    "topic.listen": _on_listen,
    "topic.events": _on_events,
    "dataset.publish": _on_publish,
    "dataset.unpublish": _on_unpublish,
    "dataset.get": _on_dataset,
    "dataset.list": _on_datasets,
    "metadata.set": _on_set_metadata,
    "metadata.get": _on_metadata,
}
