"""Whatever is handed to the client by mistake is an error where it is, and of nobody else."""

from __future__ import annotations

import collections
import enum
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.client.jobs import inc
from trio_dask import (
    Client,
    LocalCluster,
    SubmitError,
    as_completed,
    fire_and_forget,
    get_client,
    wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What is no parameter of anything.
STRANGE = [object(), 2**70, {1: 2}, [object()]]


class Name(str, enum.Enum):  # noqa: UP042 - one that shows itself as something else
    """Text of a type of its own, as that of numpy is."""

    FIRST = "local-0"
    KEY = "the-key"
    TOPIC = "steps"


class Count(enum.IntEnum):
    """A number of a type of its own."""

    ONE = 1


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """With two workers in this process."""
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, odd: client.get_worker_logs(odd),
        lambda client, odd: client.get_scheduler_logs(odd),
        lambda client, odd: client.profile(odd),
        lambda client, odd: client.get_events(odd),
        lambda client, odd: client.log_event([odd], 1),
        lambda client, odd: client.replicate([], n=odd),
        lambda client, odd: client.retire_workers(n=odd),
        lambda client, odd: client.subscribe_topic(odd, print),
        lambda client, odd: client.has_what(odd),
        lambda client, odd: client.scatter(1, broadcast=odd),
        lambda client, odd: client.scatter(1, workers=odd),
        lambda client, odd: client.submit(inc, 1, key=odd),
        lambda client, odd: client.gather(object(), errors=odd),
    ],
)
def test_what_cannot_be_sent_is_an_error_of_the_call(
    client: Client, ask: Callable[[Client, Any], object]
) -> None:
    """The connection is everybody's: it goes on."""
    for odd in STRANGE:
        with pytest.raises((ValueError, TypeError)):
            ask(client, odd)
    assert client.submit(inc, 1).result() == 2


def test_parameters_of_other_types_are_what_they_are(client: Client) -> None:
    """Text and numbers of enumerations, or of numpy, do as well."""
    assert len(client.get_worker_logs(Count.ONE)) == 2
    assert client.submit(inc, 1, key=Name.KEY).key == "the-key"
    assert client.submit(inc, 1, workers=Name.FIRST).result() == 2
    assert client.gather(client.map(inc, [1], workers=[Name.FIRST])) == [2]
    assert client.who_has(client.scatter(bytes(100_000), workers=Name.FIRST))
    waits = client.submit(inc, 1, resources={Name.KEY: 1})
    client.flush()
    waits.release()
    assert [each.key for each in client.map(inc, [1], key=[Name.KEY])] == ["the-key"]
    (future,) = client.map(inc, [1], key=Name.KEY)
    assert future.key.startswith("the-key-")
    assert list(client.profile(workers=Name.FIRST)["children"]) == []
    heard = threading.Event()
    client.subscribe_topic(Name.TOPIC, lambda _: heard.set())
    client.log_event(Name.TOPIC, 1)
    assert heard.wait(30)
    assert len(client.get_events(Name.TOPIC)) == 1
    assert client.submit(inc, 1).result() == 2


def test_a_topic_that_was_refused_is_not_listened_to(client: Client) -> None:
    """The next handler is the first one."""
    with pytest.raises(ValueError, match="topics"):
        client.subscribe_topic(object(), print)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not listen"):
        client.unsubscribe_topic(2**70)  # type: ignore[arg-type]


@pytest.mark.parametrize("broadcast", [0, -1, 1.5, None, "all"])
def test_broadcast_is_a_number_of_workers_or_all(client: Client, broadcast: Any) -> None:
    """Anything else is named."""
    with pytest.raises(ValueError, match="broadcast="):
        client.scatter([1], broadcast=broadcast)


def test_broadcast_to_so_many(client: Client) -> None:
    """As with `replicate`: what is large enough to be anywhere is on as many workers."""
    for broadcast, count in ((1, 1), (2, 2), (5, 2), (True, 2)):
        future = client.scatter(bytes(100_000), broadcast=broadcast)
        [places] = client.who_has(future).values()
        assert len(places) == count, broadcast


@pytest.mark.parametrize("reason", [None, 3, Name.KEY, object()])
def test_a_reason_is_text_or_becomes_it(client: Client, reason: Any) -> None:
    """It is shown to whoever waits."""
    future = client.submit(inc, 1, workers="nobody")
    client.cancel(future, reason=reason)
    assert future.cancelled()
    again = client.submit(inc, 1, workers="nobody")
    again.cancel(reason)
    assert again.cancelled()


def test_gather_says_what_it_takes(client: Client) -> None:
    """Neither a container nor an iterator."""
    with pytest.raises(TypeError, match=r"gather takes futures, .* not 3"):
        client.gather(3)


@pytest.mark.parametrize("strange", [3, "a key", None, object()])
def test_what_is_no_future_is_named(client: Client, strange: Any) -> None:
    """Nothing would be cancelled, or moved, without a word."""
    own = () if strange is None else (client.who_has,)  # to which None is everything
    for ask in (client.cancel, client.retry, *own, wait, fire_and_forget):
        with pytest.raises(TypeError, match="what is meant are futures"):
            ask(strange)


def test_a_name_that_is_a_number_is_shown_as_text(client: Client) -> None:
    """It is for logs."""
    with Client(client.scheduler_address, name=5) as other:  # type: ignore[arg-type]
        assert other.submit(inc, 1).result() == 2


def test_a_client_that_is_closed_has_no_futures(client: Client) -> None:
    """As it shows itself, though somebody may hold some of its."""
    with Client(client.scheduler_address) as other:
        future = other.submit(inc, 1)
        assert repr(other).endswith("open, 1 future>")
    assert repr(other) == f"<Client: {client.scheduler_address!r}, closed>"
    del future


def test_a_thread_of_a_task_is_told_where_a_client_is(client: Client) -> None:
    """It is not the one that runs the task."""

    def asks() -> str:
        found: list[str] = []

        def ask() -> None:
            try:
                get_client()
            except ValueError as error:
                found.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return found[0]

    with LocalCluster(n_workers=1) as cluster, Client(cluster) as own:
        assert "handed the task's own" in own.submit(asks).result()


def test_a_client_is_not_sent(client: Client) -> None:
    """Neither as an argument nor in what a function refers to: the error says what to do."""
    with pytest.raises(SubmitError, match=r"get_client\(\)"):
        client.submit(str, client)
    with pytest.raises(SubmitError, match=r"get_client\(\)"):
        client.submit(lambda: client)


def test_no_retries_are_none(client: Client) -> None:
    """As programs written for Dask say it."""
    assert client.submit(inc, 1, retries=None).result() == 2
    assert client.gather(client.map(inc, [1], retries=None)) == [2]


class Row(list[Any]):
    """A list with a name."""

    name = ""


def test_containers_of_other_types_keep_their_type(client: Client) -> None:
    """What is in them is waited for like all else; what has no futures inside is the same object."""
    futures = client.map(inc, [1, 2])
    row, untouched = Row(futures), Row([1])
    row.name = "first"
    counts = collections.defaultdict(int, {"a": futures[0], "b": 5})
    found = client.gather({"row": row, "counts": counts, "same": untouched})
    assert found == {"row": [2, 3], "counts": {"a": 2, "b": 5}, "same": [1]}
    assert type(found["row"]) is Row
    assert found["row"].name == "first"
    assert found["counts"].default_factory is int
    assert found["same"] is untouched
    assert row == futures
    ordered = collections.OrderedDict(a=client.submit(int, "x"), b=futures[1])
    assert client.gather(ordered, errors="skip") == collections.OrderedDict(b=3)
    mixed: Any = ordered
    assert wait(mixed).not_done == set()


@pytest.mark.parametrize("odd", ["hello", 5, [], {}, b"", float("nan"), object()])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client, odd: client.submit(inc, 1, pure=odd),
        lambda client, odd: client.map(inc, [1], pure=odd, key="a"),
        lambda client, odd: client.submit(int, 1, actor=odd),
        lambda client, odd: client.map(int, [1], actor=odd),
        lambda client, odd: client.submit(inc, 1, allow_other_workers=odd),
        lambda client, odd: client.submit(inc, 1, workers="x", allow_other_workers=odd),
        lambda client, odd: client.gather([], progress=odd),
        lambda client, odd: client.gather([], errors=odd),
        lambda client, odd: client.scatter([], progress=odd),
        lambda client, odd: client.scatter([], hash=odd),
        lambda client, odd: wait([], return_when=odd),
        lambda client, odd: as_completed([], with_results=odd),
        lambda client, odd: as_completed([], raise_errors=odd),
        lambda client, odd: as_completed([]).next_batch(block=odd),
        lambda client, odd: client.publish_dataset(1, name="x", override=odd),
        lambda client, odd: client.run(inc, 1, on_error=odd),
    ],
)
def test_a_choice_that_is_none_is_refused(
    client: Client, ask: Callable[[Client, Any], object], odd: Any
) -> None:
    """It would be one of them by chance: the error shows it, and says what it may be."""
    with pytest.raises((ValueError, TypeError), match=r"=.*: (it is|keys are)") as caught:
        ask(client, odd)
    assert repr(odd)[:20] in str(caught.value)


@pytest.mark.parametrize("yes", [True, 1, np.True_])
@pytest.mark.parametrize("no", [False, 0, None, np.False_])
def test_what_is_as_good_as_true_or_false(client: Client, yes: Any, no: Any) -> None:
    """As programs have it that compute such a choice, or were written for Dask."""
    assert client.submit(inc, 1, pure=yes).key == client.submit(inc, 1, pure=yes).key
    assert client.submit(inc, 1, pure=no).key != client.submit(inc, 1, pure=no).key
    assert client.submit(inc, 1, actor=no, allow_other_workers=no).result() == 2
    assert client.submit(inc, 1, workers="nobody", allow_other_workers=yes).result() == 2
    assert client.gather(client.map(inc, [1]), progress=no) == [2]
    assert [value for _, value in as_completed(client.map(inc, [1]), with_results=yes)] == [2]


@pytest.mark.parametrize("resources", [[], 0, "", False])
def test_resources_are_a_mapping(client: Client, resources: Any) -> None:
    """Also those that look as if there were none."""
    with pytest.raises(SubmitError, match="resources="):
        client.submit(inc, 1, resources=resources)


@pytest.mark.parametrize("odd", [5, None, "print", []])
def test_a_callback_can_be_called(client: Client, odd: Any) -> None:
    """Else that is said at once, not in a log when the task is done."""
    future = client.submit(inc, 1)
    with pytest.raises(TypeError, match="cannot be called"):
        future.add_done_callback(odd)


def test_a_list_of_keys_is_one(client: Client) -> None:
    """Or a prefix."""
    with pytest.raises(SubmitError, match="key=5: it is a prefix for all calls, or a list"):
        client.map(inc, [1], key=5)  # type: ignore[call-overload]


@pytest.mark.parametrize("odd", [True, False, [], "soon", float("nan")])
def test_a_time_limit_is_none_by_chance(client: Client, odd: Any) -> None:
    """True is no second."""
    future = client.submit(inc, 1)
    for ask in (future.result, future.exception, partial(wait, future)):
        with pytest.raises(ValueError, match="timeout="):
            ask(timeout=odd)
