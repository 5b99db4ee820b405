"""submit, map, gather, and what they refuse, on both loops."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from tests.client.fake_cluster import client_of, open_client
from tests.client.jobs import Sealed, add, fail, inc, size, total, zeros
from trio_dask.client import as_completed, futures_of
from trio_dask.errors import CancelledError, SubmitError
from trio_dask.messages import tasks

pytestmark = pytest.mark.anyio


class Pair(NamedTuple):
    """A container with names."""

    a: Any
    b: Any


async def test_submit_gives_the_value() -> None:
    """A future is awaited, as often as one likes."""
    async with open_client() as (client, _):
        future = client.submit(inc, 10)
        assert future.status == "pending"
        assert await future == 11
        assert await future.result(timeout=5) == 11
        assert future.done()
        assert future.status == "finished"
        assert await future.exception() is None
        assert repr(future) == f"<AsyncFuture: finished, key: {future.key}>"


async def test_map_pairs_like_zip() -> None:
    """Iterables are paired up to the shortest; iterators will do."""
    async with open_client() as (client, _):
        futures = client.map(add, range(5), iter([10, 20, 30]))
        assert await client.gather(futures) == [10, 21, 32]
        assert client.map(inc, []) == []


async def test_large_map_travels_in_few_messages() -> None:
    """One message for ten thousand tasks, and the function once."""
    async with open_client() as (client, fake):
        futures = client.map(inc, range(25_000))
        assert await client.gather(futures) == list(range(1, 25_001))
        assert [len(each.args) for each in fake.told(tasks.Submit)] == [10_000, 10_000, 5_000]
        assert len(fake.told(tasks.Functions)) == 1


async def test_burst_of_calls_is_one_message() -> None:
    """Calls between two waits travel together, whatever they call."""
    async with open_client() as (client, fake):
        futures = [client.submit(inc if n % 2 else size, n if n % 2 else b"x") for n in range(100)]
        await client.gather(futures)
        assert len(fake.told(tasks.Submit)) == 2  # a new function begins one


async def test_futures_are_found_at_any_depth() -> None:
    """In containers, nested, in keyword arguments; each is an input."""
    async with open_client() as (client, fake):
        one, two = client.submit(inc, 0), client.submit(inc, 1)
        deep = client.submit(total, [one, {"x": (two, one)}], more={"y": [two]})
        assert await deep == 6
        (submit,) = [each for each in fake.told(tasks.Submit) if each.dep_tids][-1:]
        assert submit.dep_counts[-1] == 2


async def test_map_over_futures_and_shared_futures() -> None:
    """Futures in a map's columns and in its keyword arguments are inputs row by row."""
    async with open_client() as (client, _):
        ones = client.map(inc, range(3))
        shared = client.submit(inc, 99)
        assert await client.gather(client.map(total, ones, extra=shared)) == [101, 102, 103]
        assert await client.gather(client.map(total, ones, [10, 20, 30], extra=5)) == [16, 27, 38]


async def test_gather_keeps_shapes() -> None:
    """Lists, tuples, sets, dicts and named tuples, nested; the rest is left as it is."""
    async with open_client() as (client, _):
        a, b, c = client.map(inc, range(3))
        shape = {"x": [a, (b, "as it is")], "y": Pair(c, {a}), "z": a}
        expected = {"x": [1, (2, "as it is")], "y": Pair(3, {1}), "z": 1}
        assert await client.gather(shape) == expected
        assert await client.gather(a) == 1
        assert await client.gather(each for each in (a, b)) == [1, 2]
        assert await client.gather([]) == []


async def test_gather_and_errors() -> None:
    """Raised, left out, or returned."""
    async with open_client() as (client, _):
        good, bad = client.submit(inc, 1), client.submit(fail, "no")
        with pytest.raises(ValueError, match="no"):
            await client.gather([good, bad])
        assert await client.gather([good, bad], errors="skip") == [2]
        assert await client.gather({"g": good, "b": bad}, errors="skip") == {"g": 2}
        assert await client.gather(Pair(good, bad), errors="skip") == (2,)
        assert await client.gather(bad, errors="skip") is None
        with pytest.raises(TypeError, match="gather takes futures"):
            await client.gather("abc")
        assert futures_of(5) == futures_of("abc") == futures_of([5, Pair(1, "x")]) == []
        value, error = await client.gather([good, bad], errors="return")
        assert value == 2
        assert isinstance(error, ValueError)
        with pytest.raises(ValueError, match="errors="):
            await client.gather([good], errors="other")  # type: ignore[call-overload]


async def test_gather_raises_at_the_first_failure() -> None:
    """It does not wait for the others."""
    async with open_client() as (client, fake):
        fake.held = True
        futures: list[Any] = [*client.map(inc, range(300)), client.submit(fail, "early")]
        await client.flush()
        fake.queue.rotate(1)
        fake.run(1)
        with pytest.raises(ValueError, match="early"):
            await client.gather(futures)
        assert futures[0].status == "pending"


async def test_errors_are_new_each_time() -> None:
    """Tracebacks do not pile up in one exception object."""
    async with open_client() as (client, _):
        future = client.submit(fail, "again")
        first, second = await future.exception(), await future.exception()
        assert isinstance(first, ValueError)
        assert first is not second
        with pytest.raises(ValueError, match="again"):
            await future
        assert future.status == "error"


async def test_values_at_workers_are_fetched() -> None:
    """Large results stay where they were made until somebody wants them."""
    async with open_client() as (client, _):
        futures = client.map(zeros, [10, 5_000, 100_000])
        assert [len(each) for each in await client.gather(futures)] == [10, 5_000, 100_000]
        assert len(await futures[2]) == 100_000


async def test_value_is_fetched_elsewhere() -> None:
    """A worker that is gone costs another try, not the value."""
    async with open_client() as (client, fake):
        fake.dead.add("tcp://one:1")
        assert len(await client.submit(zeros, 9_000)) == 9_000
        assert fake.told(tasks.Unreachable) == []


async def test_value_nowhere_is_asked_for_again() -> None:
    """The scheduler hears of it, and finds another way."""
    async with open_client() as (client, fake):
        future = client.submit(zeros, 9_000)
        await client.gather([future], errors="return")
        for store in fake.stores.values():
            store.clear()
        assert len(await future) == 9_000
        assert fake.tids(tasks.Unreachable) == [future._tid]


@pytest.mark.parametrize("count", [1, 5_000])
async def test_value_that_cannot_be_unpickled_here(count: int) -> None:
    """The error names the task, wherever its value was, and says what is missing."""
    async with open_client() as (client, _):
        future = client.submit(Sealed, count)
        for wait in (future.result, lambda: client.gather([future])):
            with pytest.raises(ValueError, match="no such package") as caught:
                await wait()
            [note] = caught.value.__notes__
            assert note.startswith(f"{future.key} has ended well; ")
            assert "cannot be unpickled here" in note
            assert "packages" in note


async def test_large_arguments_go_to_a_worker() -> None:
    """They are stored first and are then an input; the scheduler never sees them."""
    async with open_client() as (client, fake):
        fake.held = True
        big = client.submit(size, b"x" * 200_000)
        many = client.map(size, [b"y" * 100_000, b"z"])
        await client.flush()
        assert max(len(each) for message in fake.told(tasks.Submit) for each in message.args) < 200
        while len(fake.values) < 2:
            await client.flush()
        fake.run()
        assert await client.gather([big, *many]) == [200_000, 100_000, 1]
        await client.flush()
        assert set(fake.tids(tasks.Put)) <= set(fake.tids(tasks.Release))


async def test_scatter_keeps_shapes() -> None:
    """Futures for stored values, in the container the values came in."""
    async with open_client() as (client, fake):
        assert await client.gather(await client.scatter([1, 2])) == [1, 2]
        named = await client.scatter({"a": 1, "b": "two"})
        assert await client.gather(named) == {"a": 1, "b": "two"}
        with pytest.raises(ValueError, match="keys are not made of values"):
            await client.scatter([1], hash=True)
        one = await client.scatter("text", workers="tcp://two:2", hash=False)
        assert await one == "text"
        assert list(fake.stores["tcp://two:2"]) == [one._tid]
        assert one.key.startswith("data-")  # as the scheduler calls it


async def test_store_is_tried_again_and_given_up() -> None:
    """A worker that cannot store is not the end; several are."""
    async with open_client() as (client, fake):
        fake.store_errors.append("full")
        assert await (await client.scatter(5)) == 5
        fake.store_errors += ["full"] * 4
        lost = await client.scatter(6)
        assert lost.status == "lost"
        assert isinstance(await lost.exception(), Exception)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.submit(42), "42 is no function"),
        (lambda client: client.map(42, [1]), "42 is no function"),
        (lambda client: client.submit(inc, threading.Lock()), "^argument 0, .*lock"),
        (lambda client: client.map(inc, [1, threading.Lock()]), "^argument 0, .*lock"),
        (
            lambda client: client.map(inc, [1], y={2: threading.Lock()}),
            "^argument 'y' .* value of 2",
        ),
        (lambda client: client.map(inc), "at least one iterable"),
        (lambda client: client.map(inc, 5), "5 is none"),
        (lambda client: client.map(inc, [1, 2], key=["a", "a"]), "'a' more than once"),
        (lambda client: client.map(inc, [1, 2], key=["a"]), "1 keys for 2 calls"),
        (lambda client: client.submit(inc, 1, key=""), "1 to 4096"),
        (lambda client: client.submit(inc, 1, priority="high"), "priority='high'"),
        (lambda client: client.submit(inc, 1, priority=1.5), "priority=1.5: .* whole number"),
        (lambda client: client.submit(inc, 1, priority=1 << 40), "priority="),
        (lambda client: client.submit(inc, 1, retries=-1), "retries=-1"),
        (lambda client: client.submit(inc, 1, workers=[]), "workers="),
        (lambda client: client.submit(inc, 1, workers=[3]), "workers="),
        (lambda client: client.submit(inc, 1, allow_other_workers=True), "needs workers="),
        (lambda client: client.submit(inc, 1, resources={"GPU": "one"}), "resources="),
        (lambda client: client.submit(inc, 1, resources={"GPU": float("inf")}), "resources="),
        (lambda client: client.submit(inc, 1, resources={"GPU": 10**400}), "resources="),
        (lambda client: client.submit(inc, 1, workers=3), "workers=3"),
        (lambda client: client.submit(inc, 1, executor=3), "executor=3: it is 'asyncio'"),
        (lambda client: client.map(inc, [1], executor="thread"), "executor='thread': .* 'process'"),
        (lambda client: client.submit(dict, executor="process", actor=True), "actor=True with"),
        (lambda client: client.submit(dict, executor="asyncio", actor=True), "actor=True with"),
        (lambda client: client.map(inc, [1], actor=True), "actor=True makes an object of a class"),
        (lambda client: client.submit(inc, 1, timeout=0), "timeout=0: .* above 0"),
        (lambda client: client.submit(inc, 1, timeout=-1.5), "timeout=-1.5"),
        (lambda client: client.submit(inc, 1, timeout=True), "timeout=True"),
        (lambda client: client.submit(inc, 1, timeout="soon"), "timeout='soon'"),
        (lambda client: client.map(inc, [1], deadline=float("nan")), "deadline=nan"),
        (lambda client: client.map(inc, [1], deadline=-1), "deadline=-1: .* 0 or more"),
        (lambda client: client.submit(inc, 1, deadline=[5]), "deadline="),
    ],
)
async def test_what_cannot_be_submitted_is_refused(call: Any, words: str) -> None:
    """At the call, naming what is wrong; nothing is sent."""
    async with open_client() as (client, fake):
        with pytest.raises(SubmitError, match=words):
            call(client)
        await client.flush()
        assert fake.told(tasks.Submit) == []


async def test_options_are_sent_if_they_say_something() -> None:
    """Defaults are left out."""
    async with open_client() as (client, fake):
        priority: Any = 5.0  # as annotations of Dask have it
        futures = client.map(
            inc, [1], priority=priority, retries=2, workers="a", resources={"GPU": 1}
        )
        futures.append(client.submit(inc, 1))
        futures.append(client.submit(inc, 1, executor="process"))
        futures += client.map(inc, [1], executor="process", retries=1)
        await client.gather(futures)
        assert [each.options for each in fake.told(tasks.Submit)] == [
            {"priority": 5, "retries": 2, "workers": ["a"], "resources": {"GPU": 1.0}},
            {},
            {"apart": True},
            {"retries": 1, "apart": True},
        ]


async def test_annotations_around_a_call() -> None:
    """What `dask.annotate` says holds for single calls, too, but for what they say themselves."""
    dask = pytest.importorskip("dask", reason="its annotations are looked at")
    async with open_client() as (client, fake):
        with dask.annotate(workers="a", allow_other_workers=True, retries=2.0, foo="bar"):
            futures = [client.submit(inc, 1), *client.map(inc, [1], workers="b", priority=1)]
        with dask.annotate(resources={"GPU": 1}, executor="process"):
            futures.append(client.submit(inc, 1))
        futures.append(client.submit(inc, 1))
        await client.gather(futures)
        common = {"retries": 2, "allow_other_workers": True}
        assert [each.options for each in fake.told(tasks.Submit)] == [
            {**common, "workers": ["a"]},
            {**common, "workers": ["b"], "priority": 1},
            {"resources": {"GPU": 1.0}, "apart": True},
            {},
        ]
        with (
            dask.annotate(workers=lambda key: "a"),
            pytest.raises(SubmitError, match="is for graphs; here say workers="),
        ):
            client.map(inc, [1])


async def test_keys() -> None:
    """Automatic, chosen, prefixed, and the same for the same call where it is pure."""
    async with open_client() as (client, _):
        assert client.submit(inc, 1).key.startswith("inc-")
        assert client.submit(inc, 1, key="mine").key == "mine"
        assert [each.key for each in client.map(inc, [1, 2], key=["a", "b"])] == ["a", "b"]
        one, same = client.submit(inc, 1, pure=True), client.submit(inc, 1, pure=True)
        assert one.key == same.key != client.submit(inc, 2, pure=True).key
        assert client.map(inc, [1], pure=True)[0].key == one.key
        assert client.submit(add, 1, pure=True).key != one.key


@pytest.mark.parametrize("way", ["await", "gather", "as_completed", "exception"])
async def test_an_error_does_not_keep_its_future(way: str) -> None:
    """What has failed is let go of with its last reference, and with it what it was made of."""
    gc.disable()  # which would end what refers to itself, sooner or later
    try:
        async with open_client() as (client, _):
            future = client.submit(fail, "a")
            kept = weakref.ref(future)
            if way == "exception":
                future.release()
                await client.flush()
            with suppress(ValueError, CancelledError):
                if way == "gather":
                    await client.gather([future])
                elif way == "as_completed":
                    async for _each in as_completed([future], with_results=True):
                        pass
                elif way == "exception":
                    await future.exception()
                else:
                    await future.result()
            del future
            assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("installed", [True, False])
async def test_keys_with_a_prefix(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Each map has its own, as the same key is the same task; a pure one those of its calls."""
    monkeypatch.setattr("trio_dask.client.keys.find_spec", lambda _: installed or None)
    if installed:
        pytest.importorskip("dask", reason="its tokens are used")
    async with open_client() as (client, _):

        def keys(numbers: list[int], **options: Any) -> list[str]:
            return [each.key for each in client.map(inc, numbers, key="p", **options)]

        found = keys([1, 2]) + keys([1, 2]) + keys([1, 2], pure=True)
        assert len(set(found)) == len(found)
        assert all(each.startswith("p-") for each in found)
        assert keys([2, 1], pure=True) == found[:-3:-1]
        with pytest.raises(SubmitError, match="string of 1 to"):
            client.map(inc, [1], key="p" * 4096)


@pytest.mark.parametrize("installed", [True, False])
async def test_pure_keys_with_dask_and_without(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """Dask's tokens where it is installed, so that sets and functions by value have the same."""
    pytest.importorskip("dask", reason="its tokens are compared with")
    from dask.tokenize import tokenize

    if not installed:
        monkeypatch.setattr("trio_dask.client.keys.find_spec", lambda _: None)
    async with open_client() as (client, _):
        future = client.submit(add, 1, y=2, pure=True)
        [mapped] = client.map(add, [1], y=2, pure=True)
        token = f"add-{tokenize(add, {'y': 2}, 1)}"
        assert (future.key == token) is (mapped.key == token) is installed
        assert client.submit(add, future, y=2, pure=True).key != token


async def test_pure_digest_tells_lambdas_apart() -> None:
    """Two lambdas have one name, but are not one function."""
    async with open_client() as (client, _):
        first = client.submit(lambda x: x + 1, 1, pure=True)
        second = client.submit(lambda x: x + 2, 1, pure=True)
        assert first.key != second.key
        assert await client.gather([first, second]) == [2, 3]


async def test_futures_of_others_and_outside() -> None:
    """Another client's futures are refused by name."""
    async with open_client() as (client, fake), client_of(fake) as other:
        future = client.submit(inc, 1)
        with pytest.raises(
            SubmitError,
            match=r"^argument 0 .* another client, .* publish_dataset, a Variable or a Queue$",
        ):
            _ = other.submit(inc, [future])
        with pytest.raises(ValueError, match="another client"):
            await other.gather([future])


async def test_dropped_futures_are_released_in_columns() -> None:
    """Garbage is collected into few messages, also from other threads."""
    async with open_client() as (client, fake):
        futures = client.map(inc, range(1000))
        await client.gather(futures)
        tids = [each._tid for each in futures]
        half = futures[:500]
        del futures
        gc.collect()
        await client.flush()
        assert sorted(fake.tids(tasks.Release)) == tids[500:]
        box = [half]
        del half
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
        await client.flush()
        assert sorted(fake.tids(tasks.Release)) == tids
        assert len(fake.told(tasks.Release)) <= 3
        assert not client.live.core.table.batches


async def test_released_future_says_so() -> None:
    """Releasing early is allowed; asking for the value then is a clear error."""
    async with open_client() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        future.release()
        future.release()
        await client.flush()
        assert future.cancelled()
        with pytest.raises(CancelledError, match="was released"):
            await future
        assert fake.tids(tasks.Release) == [future._tid]


async def test_functions_are_forgotten() -> None:
    """A function that is gone, with all its tasks, is taken back from the scheduler."""
    async with open_client() as (client, fake):

        def local(x: int) -> int:
            return x * 2

        assert await client.gather(client.map(local, range(300))) == [2 * x for x in range(300)]
        del local
        gc.collect()
        assert await client.submit(inc, 1) == 2
        await client.flush()
        assert len(fake.told(tasks.ForgetFunctions)) == 1
