"""Events, data sets and metadata, on a whole cluster in this process."""

from __future__ import annotations

import threading
import time
import warnings
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import trio_dask
from trio_dask import AsyncClient, Client, LocalCluster, SubmitError, get_client, get_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One worker with two slots, in threads."""
    with LocalCluster(1, 2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client."""
    with Client(cluster) as client:
        yield client


# ---------------------------------------------------------------- events


def log_twice(topic: str) -> None:
    """A task that says something."""
    client = get_client()
    client.log_event(topic, {"step": 1})
    client.log_event([topic, "other"], {"step": 2})


def says_by_its_worker(topic: str) -> str:
    """As tasks do that were written for Dask."""
    worker = get_worker()
    worker.log_event(topic, {"by": worker.get_current_task()})
    worker.log_event([topic, "and-this"], [1])
    return worker.key


async def awaits_nothing(topic: str) -> str:
    """The same in code that awaits."""
    return says_by_its_worker(topic)


@pytest.mark.parametrize(
    ("task", "executor"),
    [(says_by_its_worker, None), (awaits_nothing, None), (awaits_nothing, "asyncio")],
)
def test_a_task_says_something_by_its_worker(client: Client, task: Any, executor: Any) -> None:
    """All of it is there when the task has ended, in its order."""
    topic = f"by-{task.__name__}-{executor}"
    key = client.submit(task, topic, executor=executor).result()
    assert [said for _, said in client.get_events(topic)] == [{"by": key}, [1]]
    assert client.get_events("and-this")[-1][1] == [1]


def test_what_cannot_be_said_by_a_worker(client: Client) -> None:
    """It is the task's error, and it names what is wrong."""

    def odd(topic: Any, said: Any) -> None:
        get_worker().log_event(topic, said)

    for topic, said, error, match in (
        ("x", threading.Lock, SubmitError, "cannot be pickled"),
        (5, str, ValueError, "topic=5: it is text, or a list of texts"),
        ([5], str, ValueError, "topic=.5.: it is text"),
        ([], str, ValueError, "topic=..: it is text"),
        ("x", partial(bytes, 1 << 20), ValueError, "bytes, where"),
    ):
        with pytest.raises(error, match=match):
            client.submit(lambda topic, made: odd(topic, made()), topic, said).result()


def test_the_client_of_a_task_by_its_worker(client: Client) -> None:
    """It is the one that `get_client` gives."""
    assert client.submit(lambda: get_worker().client is get_client()).result()


def test_events_are_heard_and_remembered(client: Client, cluster: LocalCluster) -> None:
    """In order, with times, by all handlers of all clients, until they do not listen any more."""
    heard: SimpleQueue[Any] = SimpleQueue()
    client.subscribe_topic("steps", heard.put)
    client.subscribe_topic("steps", lambda event: heard.put(event[1]["step"]))
    with Client(cluster) as other:
        theirs: SimpleQueue[Any] = SimpleQueue()
        other.subscribe_topic("steps", theirs.put)
        client.submit(log_twice, "steps").result()
        found = [heard.get(timeout=PATIENCE_S) for _ in range(4)]
        assert [found[0][1], found[1], found[2][1], found[3]] == [{"step": 1}, 1, {"step": 2}, 2]
        assert 0 <= time.time() - found[0][0] < 3600
        assert theirs.get(timeout=PATIENCE_S)[1] == {"step": 1}
    events = client.get_events("steps")
    assert [message for _, message in events] == [{"step": 1}, {"step": 2}]
    assert [message for _, message in client.get_events()["other"]] == [{"step": 2}]
    client.unsubscribe_topic("steps")
    with pytest.raises(ValueError, match="does not listen"):
        client.unsubscribe_topic("steps")
    client.log_event("steps", "late")
    client.flush()
    assert heard.empty()
    assert client.get_events("nothing") == ()
    with pytest.raises(TypeError, match="handler=3"):
        client.subscribe_topic("steps", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="an event of"):
        client.log_event("steps", bytes(1 << 17))
    with pytest.raises(SubmitError):
        client.log_event("steps", threading.Lock())


def test_a_handler_that_fails_disturbs_nobody(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log, and the next one is called all the same."""
    heard: SimpleQueue[Any] = SimpleQueue()
    client.subscribe_topic("bad", lambda event: 1 / 0)
    client.subscribe_topic("bad", heard.put)
    client.log_event("bad", 1)
    assert heard.get(timeout=PATIENCE_S)[1] == 1
    assert "of topic 'bad' failed" in caplog.text


def printing(number: int) -> None:
    """A task that prints."""
    trio_dask.print("number", number, sep="=", end="!\n")


def warning() -> None:
    """A task that warns."""
    trio_dask.warn("careful", RuntimeWarning)


def test_what_tasks_print_is_printed_here(client: Client) -> None:
    """By who handles it, or else by itself; outside of a task it is just printed."""
    heard: SimpleQueue[Any] = SimpleQueue()
    client.subscribe_topic("print", lambda event: heard.put(event[1]["text"]))
    client.submit(printing, 1).result()
    assert heard.get(timeout=PATIENCE_S) == "number=1!\n"
    trio_dask.print("here")
    client.unsubscribe_topic("print")


def test_what_a_task_of_this_process_prints_is_there_once(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task has printed it here already; of one elsewhere the client prints it."""
    heard: SimpleQueue[Any] = SimpleQueue()
    client.submit(printing, 1).result()
    client.log_event("print", {"text": "from elsewhere\n", "error": False})
    client.subscribe_topic("after", heard.put)
    client.log_event("after", None)
    heard.get(timeout=PATIENCE_S)  # handlers are called in order
    assert capsys.readouterr().out == "number=1!\nfrom elsewhere\n"


def test_what_tasks_warn_of_is_a_warning_here(client: Client) -> None:
    """With its category."""
    heard: SimpleQueue[Any] = SimpleQueue()
    client.subscribe_topic("warn", lambda event: heard.put(event[1]))
    with warnings.catch_warnings(record=True):  # the task runs in this process
        warnings.simplefilter("always")
        client.submit(warning).result()
        said = heard.get(timeout=PATIENCE_S)
        line = warning.__code__.co_firstlineno + 2
        assert said == {
            "text": "careful", "category": RuntimeWarning, "file": __file__, "line": line,
        }  # fmt: skip
    client.unsubscribe_topic("warn")


@pytest.mark.anyio
async def test_handlers_on_a_loop(cluster: LocalCluster) -> None:
    """Plain functions and coroutines; those that do not end end with the client."""
    async with AsyncClient(cluster) as client:
        plain, awaited, waits = anyio.Event(), anyio.Event(), anyio.Event()

        def handle(event: Any) -> None:
            plain.set()

        async def handle_and_wait(event: Any) -> None:
            await anyio.lowlevel.checkpoint()
            awaited.set()
            await waits.wait()

        await client.subscribe_topic("loop", handle)
        await client.subscribe_topic("loop", handle_and_wait)
        await client.log_event("loop", 1)
        with anyio.fail_after(PATIENCE_S):
            await plain.wait()
            await awaited.wait()
        assert [message for _, message in await client.get_events("loop")][-1] == 1
        await client.unsubscribe_topic("loop")


# ---------------------------------------------------------------- data sets


def use_dataset(name: str) -> int:
    """A task that uses one."""
    return int(sum(get_client().get_dataset(name)["x"].result()))


def test_data_sets_outlive_their_clients(client: Client, cluster: LocalCluster) -> None:
    """With the futures in them."""
    with Client(cluster) as other:
        x = other.scatter([1, 2, 3], broadcast=False)
        other.publish_dataset({"x": other.submit(list, (1, 2, 3))}, name="numbers")
        del x
    assert client.submit(use_dataset, "numbers").result() == 6
    assert client.get_dataset("numbers")["x"].result() == [1, 2, 3]
    assert client.list_datasets() == ("numbers",)
    with pytest.raises(KeyError, match="there is a data set 'numbers' already"):
        client.publish_dataset(numbers=1)
    client.publish_dataset(numbers=1, override=True)
    assert client.get_dataset("numbers") == 1
    client.unpublish_dataset("numbers")
    with pytest.raises(KeyError, match="no data set 'numbers'"):
        client.get_dataset("numbers")
    client.unpublish_dataset("numbers")  # a task that does it may run twice
    assert client.get_dataset("numbers", default=None) is None


def test_data_sets_as_a_mapping(client: Client) -> None:
    """Names are text, numbers, or tuples of these."""
    names: list[Any] = ["a", 1, 2.5, ("a", 1)]
    for name in names:
        client.datasets[name] = [name]
    assert list(client.datasets) == names
    assert client.get_dataset(names) == [[name] for name in names]
    assert ("a", 1) in client.datasets
    assert "b" not in client.datasets
    assert len(client.datasets) == 4
    assert repr(client.datasets) == "<Datasets: 'a', 1, 2.5, ('a', 1)>"
    with pytest.raises(KeyError):
        client.datasets["b"]
    assert dict(client.datasets.items()) == {name: [name] for name in names}
    assert client.datasets.get("b", 3) == 3
    assert client.datasets.pop("a") == ["a"]
    for name in names[1:]:
        del client.datasets[name]
    with pytest.raises(KeyError, match="no data set 1"):
        del client.datasets[1]
    with pytest.raises(TypeError, match="a data set's name"):
        client.publish_dataset(1, name=object())
    for args in [(1,), (1, "x"), ({"x": 1}, {"y": 2})]:
        with pytest.raises(ValueError, match="takes values with name="):
            client.publish_dataset(*args)
    with pytest.raises(ValueError, match="there is none"):
        client.publish_dataset(name="x")
    with pytest.raises(SubmitError, match="data set 'x': a bytes of"):
        client.publish_dataset(x=bytes(17 << 20))


def test_several_data_sets_at_once(client: Client) -> None:
    """From a dictionary, and by name; all of them, or none if there is one already."""
    client.publish_dataset({("a", "b"): 1, 8: 2}, n3=3)
    client.publish_dataset(4, 5, name="several")
    assert client.get_dataset([("a", "b"), 8, "n3", "several"]) == [1, 2, 3, (4, 5)]
    with pytest.raises(KeyError, match="there is a data set 8 already"):
        client.publish_dataset({"new": 1, 8: 3})
    assert client.list_datasets() == (("a", "b"), 8, "n3", "several")
    client.publish_dataset({"new": 1, 8: 3}, override=True)
    assert client.get_dataset(["new", 8]) == [1, 3]
    client.unpublish_dataset([("a", "b"), 8, "n3", "nothing", "several", "new"])
    assert client.list_datasets() == ()


# ---------------------------------------------------------------- metadata


def leave_word(number: int) -> None:
    """A task that says something about itself."""
    get_client().set_metadata(["tasks", str(number)], {"square": number**2})


def test_metadata_is_a_tree(client: Client) -> None:
    """Set and read at any depth; what is no dictionary of text is a leaf."""
    client.gather(client.map(leave_word, range(3)))
    assert client.get_metadata(["tasks", "2", "square"]) == 4
    assert client.get_metadata("tasks") == {str(n): {"square": n * n} for n in range(3)}
    client.set_metadata("tasks", {1: "a leaf"})
    assert client.get_metadata(["tasks"]) == {1: "a leaf"}
    client.set_metadata(["tasks", "x"], None)
    assert client.get_metadata("tasks") == {"x": None}
    with pytest.raises(KeyError, match="no metadata at"):
        client.get_metadata(["tasks", "y"])
    assert client.get_metadata(["tasks", "x", "y"], default=7) == 7
    with pytest.raises(SubmitError, match="futures inside"):
        client.set_metadata("f", client.submit(int))


@pytest.mark.anyio
async def test_all_of_it_awaited(cluster: LocalCluster) -> None:
    """On both loops."""
    async with AsyncClient(cluster) as client:
        await client.publish_dataset(client.submit(pow, 2, 3), name="eight")
        assert await (await client.get_dataset("eight")) == 8
        assert await client.list_datasets() == ("eight",)
        await client.unpublish_dataset("eight")
        await client.datasets.set("nine", 9)
        await client.datasets.set("nine", 10)
        assert await client.datasets["nine"] == 10
        assert [name async for name in client.datasets] == ["nine"]
        assert await client.datasets.names() == ("nine",)
        await client.datasets.delete("nine")
        assert await client.datasets.get("nine", 3) == 3
        await client.set_metadata("m", 1)
        assert await client.get_metadata("m") == 1
