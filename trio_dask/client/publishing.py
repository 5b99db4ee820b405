"""What clients leave for each other at the scheduler: events, data sets, metadata. For both."""

from __future__ import annotations

import ast
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from trio_dask.client import sharing, topics
from trio_dask.client.inquiring import AsyncInquiring, Inquiring
from trio_dask.client.options import flag
from trio_dask.messages.kept import DATASET_BYTES_MAX
from trio_dask.messages.payload import unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from trio_dask.client.base import BaseClient

#: Stands for no default.
NO_DEFAULT: Final = "__no_default__"


# ---------------------------------------------------------------- events


async def log_event(client: BaseClient, topic: str | list[str], message: Any) -> None:
    """Say something under these topics."""
    params = {"topics": topics.names(topic), "event": topics.packed(message)}
    await client.live.ask("topic.log", params)


async def get_events(client: BaseClient, topic: str | None) -> Any:
    """What was said under one topic, or under all of them."""
    params = {} if topic is None else {"topics": [topic]}
    found = (await client.live.ask("topic.events", params))["events"]
    events = {name: tuple(map(unpack, each)) for name, each in found.items()}
    return events if topic is None else events[topic]


async def subscribe(client: BaseClient, topic: str, handler: Any) -> None:
    """Have the handler called with what is said under a topic."""
    if not callable(handler):
        msg = f"handler={handler!r:.100}: it is called with each event, and cannot be"
        raise TypeError(msg)
    if client.listening.add(topic, handler):
        try:
            await client.live.ask("topic.listen", {"topics": [topic]})
        except ValueError:
            client.listening.remove(topic)
            raise


async def unsubscribe(client: BaseClient, topic: str) -> None:
    """Have no handler of a topic called any more."""
    if not client.listening.remove(topic):
        msg = f"this client does not listen to {topic!r}"
        raise ValueError(msg)
    await client.live.ask("topic.listen", {"topics": [topic], "listen": False})


# ---------------------------------------------------------------- data sets


def _tagged(name: Any) -> str:
    """A name as the scheduler has it; one that is not text can be read again."""
    if type(name) is str:
        return f"s{name}"
    text = repr(name)
    try:
        known = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        known = None
    if name is None or known != name:
        msg = f"a data set's name is text, a number or a tuple of these, not {text:.100}"
        raise TypeError(msg)
    return f"r{text}"


def _untagged(name: str) -> Any:
    return name[1:] if name.startswith("s") else ast.literal_eval(name[1:])


def _by_name(args: tuple[Any, ...], named: dict[str, Any], name: Any) -> dict[Any, Any]:
    """What is to be published under which names.

    Raises:
        ValueError: that cannot be told.
    """
    if name is not None:
        if not args:
            msg = "name= is the name of one value, and there is none"
            raise ValueError(msg)
        return {name: args[0] if len(args) == 1 else args, **named}
    if not args:
        return dict(named)
    if len(args) == 1 and isinstance(args[0], Mapping):
        return {**args[0], **named}
    msg = (
        "publish_dataset takes values with name=, values as keyword arguments, or a dictionary of "
        "names and values"
    )
    raise ValueError(msg)


async def publish(
    client: BaseClient, args: tuple[Any, ...], named: dict[str, Any], *, name: Any, override: bool
) -> None:
    """Keep values under names."""
    override = flag("override", override, ValueError)
    wanted = {_tagged(each): (each, value) for each, value in _by_name(args, named, name).items()}
    if len(wanted) > 1 and not override:  # all or none, as far as can be told
        there = (await client.live.ask("dataset.list", {}))["names"]
        for tagged in there:
            if tagged in wanted:
                _refuse(wanted[tagged][0])
    for tagged, (each, value) in wanted.items():
        params = {"name": tagged, "override": override}
        params |= client.describer.kept(value, f"data set {each!r}", DATASET_BYTES_MAX)
        answer = await client.live.ask("dataset.publish", params)
        if not answer["published"]:
            _refuse(each)


def _refuse(name: Any) -> NoReturn:
    msg = f"there is a data set {name!r} already: unpublish it, or say override=True"
    raise KeyError(msg)


async def get_dataset(client: BaseClient, name: Any, default: Any) -> Any:
    """What is kept under a name; of a list of names a list of it."""
    if isinstance(name, list):
        return [await get_dataset(client, each, default) for each in name]
    found = await sharing.read_if_there(client, "dataset.get", {"name": _tagged(name)})
    if found:
        return found[0]
    if isinstance(default, str) and default == NO_DEFAULT:
        msg = f"there is no data set {name!r}"
        raise KeyError(msg)
    return default


async def list_datasets(client: BaseClient) -> tuple[Any, ...]:
    """All names, in the order in which they were published."""
    return tuple(map(_untagged, (await client.live.ask("dataset.list", {}))["names"]))


async def unpublish(client: BaseClient, name: Any) -> bool:
    """Do not keep it any more, or all of a list of names; whether there was something."""
    found = False
    for each in name if isinstance(name, list) else [name]:
        answer = await client.live.ask("dataset.unpublish", {"name": _tagged(each)})
        found |= answer["found"]
    return found


class Datasets(MutableMapping[Any, Any]):
    """The data sets of a cluster as a mapping, for code that blocks.

    What is there is not replaced: delete it first.
    """

    def __init__(self, client: Publishing) -> None:
        self._client = client

    def __getitem__(self, name: Any) -> Any:
        return self._client.get_dataset(name)

    def __setitem__(self, name: Any, value: Any) -> None:
        self._client.publish_dataset(value, name=name)

    def __delitem__(self, name: Any) -> None:
        client = cast("Any", self._client)
        if not client.run_blocking(unpublish(client, name)):
            msg = f"there is no data set {name!r}"
            raise KeyError(msg)

    def __contains__(self, name: object) -> bool:
        return name in self._client.list_datasets()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._client.list_datasets())

    def __len__(self) -> int:
        return len(self._client.list_datasets())

    def __repr__(self) -> str:
        return f"<Datasets: {', '.join(map(repr, self))}>"


class AsyncDatasets:
    """The same for code that awaits: names are gone through by ``async for``."""

    def __init__(self, client: AsyncPublishing) -> None:
        self._client = client

    async def get(self, name: Any, default: Any = None) -> Any:
        """What was published under a name, or the default."""
        return await self._client.get_dataset(name, default)

    def __getitem__(self, name: Any) -> Awaitable[Any]:
        """What was published under a name, to be awaited: ``await client.datasets["x"]``."""
        return self._client.get_dataset(name)

    async def set(self, name: Any, value: Any) -> None:
        """Keep a value under a name, in the place of another one."""
        await self._client.publish_dataset(value, name=name, override=True)

    async def delete(self, name: Any) -> None:
        """Do not keep it any more."""
        await self._client.unpublish_dataset(name)

    async def names(self) -> tuple[Any, ...]:
        """All names."""
        return await self._client.list_datasets()

    async def __aiter__(self) -> AsyncIterator[Any]:
        for name in await self._client.list_datasets():
            yield name


# ---------------------------------------------------------------- metadata


def _path(keys: Any) -> list[str]:
    found = list(keys) if isinstance(keys, list | tuple) else [keys]
    return [each if isinstance(each, str) else repr(each) for each in found]


def _tree(client: BaseClient, value: Any) -> Any:
    """A value as a tree of names, as far as it is one."""
    if type(value) is dict and all(type(name) is str for name in value):
        return {name: _tree(client, inner) for name, inner in value.items()}
    payload = client.describer.value(value)
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


def _value(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _value(inner) for name, inner in tree.items()}
    return unpack(tree)


async def set_metadata(client: BaseClient, key: Any, value: Any) -> None:
    """Put a value, or a tree of values, in a place."""
    tree = _tree(client, value)
    await client.live.ask("metadata.set", {"path": _path(key), "tree": tree})


async def get_metadata(client: BaseClient, keys: Any, default: Any) -> Any:
    """What is in a place."""
    answer = await client.live.ask("metadata.get", {"path": _path(keys)})
    if answer["found"]:
        return _value(answer["tree"])
    if isinstance(default, str) and default == NO_DEFAULT:
        msg = f"there is no metadata at {keys!r}"
        raise KeyError(msg)
    return default


# ---------------------------------------------------------------- the methods


class AsyncPublishing(AsyncInquiring):
    """The methods of the client that is awaited."""

    @property
    def datasets(self) -> AsyncDatasets:
        """All data sets: ``await client.datasets["x"]``, ``async for name in client.datasets``."""
        return AsyncDatasets(self)

    async def log_event(self, topic: str | list[str], msg: Any) -> None:
        """Say something under a topic, or several: who listens is told, and it is remembered.

        It is anything small that can be pickled; of each topic the last ten thousand events are
        kept, of four megabytes at most.
        """
        await log_event(self, topic, msg)

    async def get_events(self, topic: str | None = None) -> Any:
        """What was said under a topic: pairs of time and message. Without one: of all, by topic."""
        return await get_events(self, topic)

    async def subscribe_topic(self, topic: str, handler: Callable[[Any], Any]) -> None:
        """Call `handler` with each ``(time, message)`` under a topic from now on.

        It is called on the loop, and may be a coroutine function.
        """
        await subscribe(self, topic, handler)

    async def unsubscribe_topic(self, topic: str) -> None:
        """Call no handler of the topic any more.

        Raises:
            ValueError: there is none.
        """
        await unsubscribe(self, topic)

    async def publish_dataset(
        self, *args: Any, name: Any = None, override: bool = False, **kwargs: Any
    ) -> None:
        """Keep a value under a name, or several, as long as the cluster lives.

        Futures in it keep their tasks wanted. ``publish_dataset(value, name="x")`` is the same as
        ``publish_dataset(x=value)`` and as ``publish_dataset({"x": value})``. Several values with
        one `name` are a tuple.

        Raises:
            KeyError: there is one of this name; with `override` it is replaced.
            SubmitError: it cannot be pickled, or is larger than 16 megabytes.
        """
        await publish(self, args, kwargs, name=name, override=override)

    async def get_dataset(self, name: Any, default: Any = NO_DEFAULT) -> Any:
        """What was published under a name; a list of names gives a list.

        Raises:
            KeyError: there is nothing, and no `default`.
        """
        return await get_dataset(self, name, default)

    async def list_datasets(self) -> tuple[Any, ...]:
        """The names of all data sets."""
        return await list_datasets(self)

    async def unpublish_dataset(self, name: Any) -> None:
        """Do not keep it any more, or all of a list of names.

        If there is none that is all right, too: a task that does so may run twice.
        """
        await unpublish(self, name)

    async def set_metadata(self, key: Any, value: Any) -> None:
        """Keep a value for whoever asks: under a name, or a list of names, one inside the other."""
        await set_metadata(self, key, value)

    async def get_metadata(self, keys: Any, default: Any = NO_DEFAULT) -> Any:
        """What is kept there; a dictionary if there are names below.

        Raises:
            KeyError: there is nothing, and no `default`.
        """
        return await get_metadata(self, keys, default)


class Publishing(Inquiring):
    """The methods of the client that blocks."""

    @property
    def datasets(self) -> Datasets:
        """All data sets as a mapping: ``client.datasets["x"] = value``."""
        return Datasets(self)

    def log_event(self, topic: str | list[str], msg: Any) -> None:
        """Say something under a topic, or several: who listens is told, and it is remembered.

        It is anything small that can be pickled; of each topic the last ten thousand events are
        kept, of four megabytes at most.
        """
        self.run_blocking(log_event(self, topic, msg))

    def get_events(self, topic: str | None = None) -> Any:
        """What was said under a topic: pairs of time and message. Without one: of all, by topic."""
        return self.run_blocking(get_events(self, topic))

    def subscribe_topic(self, topic: str, handler: Callable[[Any], Any]) -> None:
        """Call `handler` with each ``(time, message)`` under a topic from now on.

        It is called in a thread for callbacks.
        """
        self.run_blocking(subscribe(self, topic, handler))

    def unsubscribe_topic(self, topic: str) -> None:
        """Call no handler of the topic any more.

        Raises:
            ValueError: there is none.
        """
        self.run_blocking(unsubscribe(self, topic))

    def publish_dataset(
        self, *args: Any, name: Any = None, override: bool = False, **kwargs: Any
    ) -> None:
        """Keep a value under a name, or several, as long as the cluster lives.

        Futures in it keep their tasks wanted. ``publish_dataset(value, name="x")`` is the same as
        ``publish_dataset(x=value)`` and as ``publish_dataset({"x": value})``. Several values with
        one `name` are a tuple.

        Raises:
            KeyError: there is one of this name; with `override` it is replaced.
            SubmitError: it cannot be pickled, or is larger than 16 megabytes.
        """
        self.run_blocking(publish(self, args, kwargs, name=name, override=override))

    def get_dataset(self, name: Any, default: Any = NO_DEFAULT) -> Any:
        """What was published under a name; a list of names gives a list.

        Raises:
            KeyError: there is nothing, and no `default`.
        """
        return self.run_blocking(get_dataset(self, name, default))

    def list_datasets(self) -> tuple[Any, ...]:
        """The names of all data sets."""
        found: tuple[Any, ...] = self.run_blocking(list_datasets(self))
        return found

    def unpublish_dataset(self, name: Any) -> None:
        """Do not keep it any more, or all of a list of names.

        If there is none that is all right, too: a task that does so may run twice.
        """
        self.run_blocking(unpublish(self, name))

    def set_metadata(self, key: Any, value: Any) -> None:
        """Keep a value for whoever asks: under a name, or a list of names, one inside the other."""
        self.run_blocking(set_metadata(self, key, value))

    def get_metadata(self, keys: Any, default: Any = NO_DEFAULT) -> Any:
        """What is kept there; a dictionary if there are names below.

        Raises:
            KeyError: there is nothing, and no `default`.
        """
        return self.run_blocking(get_metadata(self, keys, default))
