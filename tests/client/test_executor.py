"""A client behaves as any executor of the standard library does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import operator
import os
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import AsyncClient, Client, Future, LocalCluster, SubmitError, get_client

if TYPE_CHECKING:
    from collections.abc import Iterator


def hold(_: object = None) -> str:
    """A task that waits until the test says so; it finds the event where all of a process look."""
    import builtins

    builtins.executor_gate.wait(30)  # type: ignore[attr-defined]
    return "open"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a cluster in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What `hold` waits for."""
    import builtins

    event = threading.Event()
    monkeypatch.setattr(builtins, "executor_gate", event, raising=False)
    yield event
    event.set()


def test_submit(client: Client) -> None:
    """Values, errors, and arguments with the names of options."""
    with client.get_executor() as executor:
        assert executor.submit(pow, 2, 10).result() == 1024
        assert executor.submit(pow, 2, exp=3).exception() is None
        with pytest.raises(ZeroDivisionError):
            executor.submit(operator.floordiv, 1, 0).result(timeout=30)
        assert executor.submit(lambda **given: given, priority="mine").result() == {
            "priority": "mine"
        }
        with pytest.raises(SubmitError):
            executor.submit(7)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="was shut down"):
        executor.submit(pow, 2, 10)
    with pytest.raises(TypeError, match="unknown option"):
        client.get_executor(fifo_timeout="1s")
    with pytest.raises(TypeError, match="unknown option key"):
        client.get_executor(key="one")
    assert "Client" in repr(executor)


def test_map(client: Client) -> None:
    """In order, in chunks, with an error where its value would be, and a time limit."""
    with client.get_executor(priority=1) as executor:
        assert list(executor.map(pow, range(5), [2] * 9)) == [0, 1, 4, 9, 16]
        assert list(executor.map(pow, range(7), [2] * 7, chunksize=3)) == [0, 1, 4, 9, 16, 25, 36]
        assert list(executor.map(pow, [], [])) == []
        values = executor.map(operator.floordiv, [4, 4, 4], [2, 0, 1])
        assert next(values) == 2
        with pytest.raises(ZeroDivisionError):
            next(values)
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(pow, [1], [1], chunksize=0)


def test_map_in_time(client: Client, gate: threading.Event) -> None:
    """What is late is a TimeoutError, and is given up."""
    executor = client.get_executor()
    values = executor.map(hold, range(3), timeout=0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(values)
    executor.shutdown()
    assert not executor._pending


def test_waiting_for_several(client: Client, gate: threading.Event) -> None:
    """The functions of the standard library know these futures."""
    executor = client.get_executor()
    slow, quick = executor.submit(hold), executor.submit(abs, -1)
    done, not_done = concurrent.futures.wait([slow, quick], 30, return_when=FIRST_COMPLETED)
    assert (done, not_done) == ({quick}, {slow})
    bad = executor.submit(operator.floordiv, 1, 0)
    done, not_done = concurrent.futures.wait([slow, bad], 30, return_when=FIRST_EXCEPTION)
    assert (done, not_done) == ({bad}, {slow})
    assert not slow.done()
    with pytest.raises(concurrent.futures.TimeoutError):
        slow.result(timeout=0)
    gate.set()
    found = list(concurrent.futures.as_completed([slow, quick, bad], 30))
    assert set(found) == {slow, quick, bad}
    assert slow.result() == "open"
    executor.shutdown()


def test_cancelling(client: Client, gate: threading.Event) -> None:
    """What has not ended can be cancelled, also if it runs; what waits for it is told."""
    executor = client.get_executor()
    future = executor.submit(hold)
    told: list[Any] = []
    future.add_done_callback(told.append)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert told == [future]
    done, _ = concurrent.futures.wait([future], 0)
    assert done == {future}
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    finished = executor.submit(abs, -1)
    assert finished.result() == 1
    assert not finished.cancel()
    several = [executor.submit(hold) for _ in range(4)]
    executor.shutdown(cancel_futures=True)
    assert all(each.cancelled() for each in several)


def test_cancelled_on_the_cluster(client: Client, gate: threading.Event) -> None:
    """Somebody else may stop a task: its future is cancelled."""
    executor = client.get_executor()
    future = executor.submit(hold)
    task = executor._pending[future]
    client.cancel([task])
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=30)
    executor.shutdown()


def test_callbacks(client: Client) -> None:
    """They are called once, with the future, whatever another one raises."""
    told = threading.Event()
    with client.get_executor() as executor:
        future = executor.submit(abs, -3)
        future.add_done_callback(lambda done: told.set() if done.result() == 3 else None)
        assert told.wait(30)


def test_a_callback_waits_for_other_calls(client: Client) -> None:
    """It may ask for more, and wait for that, by whatever the standard library has for it."""
    found: list[Any] = []
    told = threading.Event()

    def more(done: concurrent.futures.Future[int]) -> None:
        with client.get_executor() as another:
            found.append(another.submit(abs, -done.result()).result(timeout=30))
            found.extend(another.map(abs, [-1, -2], timeout=30))
            last = another.submit(abs, -7)
            found.extend(each.result() for each in concurrent.futures.as_completed([last], 30))
        told.set()

    executor = client.get_executor()
    executor.submit(abs, -3).add_done_callback(more)
    assert told.wait(60), found
    assert found == [3, 1, 2, 7]
    executor.shutdown()


def test_callbacks_of_the_client_wait_for_its_executors(client: Client) -> None:
    """And one that shuts an executor down waits for what is under way."""
    found: list[Any] = []
    told = threading.Event()
    executor = client.get_executor()

    def ask(done: Future[int]) -> None:
        found.append(executor.submit(abs, -done.result()).result(timeout=30))
        told.set()

    client.submit(abs, -5).add_done_callback(ask)
    assert told.wait(60)
    assert found == [5]
    told.clear()
    futures = [executor.submit(abs, -number) for number in range(4)]

    def end(_: object) -> None:
        executor.shutdown()
        told.set()

    futures[0].add_done_callback(end)
    assert told.wait(60)
    assert [each.done() for each in futures] == [True] * 4


@pytest.mark.parametrize("by", ["a value", "a cancellation"])
def test_a_callback_cancels_all(client: Client, gate: threading.Event, by: str) -> None:
    """Also the future whose callback it is, as whoever wants the first of several does."""
    told = threading.Event()
    executor = client.get_executor()
    futures = [executor.submit(hold) for _ in range(4)]
    asked: list[bool] = []

    def enough(_: object) -> None:
        asked.extend(each.cancel() for each in futures)
        told.set()

    futures[0].add_done_callback(enough)
    if by == "a cancellation":  # in a thread that may be left behind
        threading.Thread(target=futures[0].cancel, daemon=True).start()
    else:
        gate.set()
    assert told.wait(30)
    assert asked[0] is (by == "a cancellation")
    assert concurrent.futures.wait(futures, 30).not_done == set()
    assert executor.submit(abs, -3).result(timeout=30) == 3
    executor.shutdown()


class Leaves:
    """What exits when it is unpickled."""

    def __reduce__(self) -> Any:
        return sys.exit, ("no",)


def test_a_result_that_exits_is_the_error_of_its_future(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """And of no other one: those that come later have their values."""
    with client.get_executor() as executor:
        with pytest.raises(SystemExit, match="no"):
            executor.submit(Leaves).result(timeout=30)
        future = executor.submit(abs, -3)
        future.add_done_callback(lambda _: sys.exit("enough"))
        assert future.result(timeout=30) == 3
        told = threading.Event()
        last = executor.submit(abs, -4)
        last.add_done_callback(lambda _: told.set())
        assert last.result(timeout=30) == 4
        assert told.wait(30)
    assert "enough" in caplog.text


def test_it_ends_with_its_client(client: Client, gate: threading.Event) -> None:
    """Pending futures are cancelled, not forgotten."""
    with Client(client.scheduler_address) as another:
        future = another.get_executor().submit(hold)
    began = time.monotonic()
    with pytest.raises((concurrent.futures.CancelledError, RuntimeError)):
        future.result(timeout=30)
    assert time.monotonic() - began < 20
    with pytest.raises(RuntimeError, match="closed"):
        another.get_executor().submit(abs, -1)


def countdown(number: int) -> int:
    """A task that has another executor's call for each step."""
    if not number:
        return 0
    with get_client().get_executor() as executor:
        below = executor.submit(countdown, number - 1)
        assert below.exception() is None
        [more] = executor.map(countdown, [number - 1])
        return int(below.result() + more + 1)


def leave_a_block() -> str:
    """A task that waits for calls only by leaving the block."""
    with get_client().get_executor() as executor:
        below = executor.submit(countdown, 0)
    return str(below)


def endless() -> None:
    """A task that an exception stops."""
    while True:
        time.sleep(0.001)


def give_up_waiting() -> float:
    """A task for which a call takes too long."""
    executor = get_client().get_executor()
    below = executor.submit(endless)
    began = time.monotonic()
    with pytest.raises(concurrent.futures.TimeoutError):
        below.result(timeout=0.05)
    assert below.cancel()
    return time.monotonic() - began


def wait_for_several(how: str) -> list[int]:
    """A task that waits for calls by functions of the standard library, and for a thread's call."""
    with get_client().get_executor() as executor, concurrent.futures.ThreadPoolExecutor() as local:
        calls = [executor.submit(countdown, number) for number in (1, 2)]
        if how == "as_completed":
            return sorted(each.result() for each in concurrent.futures.as_completed(calls, 60))
        if how == "in a thread":
            local.submit(concurrent.futures.wait, calls, 0).result()
        elif how == "with others":
            calls.append(local.submit(countdown, 0))
        elif how == "FIRST_EXCEPTION":
            calls.append(executor.submit(operator.floordiv, 1, 0))
        returns = how if how.isupper() else concurrent.futures.ALL_COMPLETED
        done, not_done = concurrent.futures.wait(calls, 60, return_when=returns)
        assert done
        assert not_done if how == "FIRST_COMPLETED" else not calls[-1].cancelled()
        return sorted(each.result() for each in calls if not each.exception())


@pytest.fixture
def single() -> Iterator[Client]:
    """A client of a cluster that has one slot."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("ALL_COMPLETED", [1, 3]),
        ("FIRST_COMPLETED", [1, 3]),
        ("FIRST_EXCEPTION", [1, 3]),
        ("as_completed", [1, 3]),
        ("with others", [0, 1, 3]),
        ("in a thread", [1, 3]),
    ],
)
def test_several_on_one_slot(single: Client, how: str, found: list[int]) -> None:
    """Also who waits with the functions of the standard library has no slot meanwhile."""
    assert single.submit(wait_for_several, how).result(timeout=60) == found


def wait_for_ever(how: str) -> None:
    """A task that waits for what does not end by itself, says so, and would go on after all."""
    executor = get_client().get_executor()
    call = executor.submit(hold)
    try:
        if how == "wait":
            concurrent.futures.wait([call])
        else:
            list(concurrent.futures.as_completed([call]))
    finally:
        import builtins

        builtins.executor_ended.append(call.done())  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["wait", "as_completed"])
def test_who_waits_for_several_can_be_cancelled(
    single: Client, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It ends where it waits, and the call that it waits for ends with it."""
    import builtins

    ended: list[bool] = []
    monkeypatch.setattr(builtins, "executor_ended", ended, raising=False)
    future = single.submit(wait_for_ever, how)
    while not any("hold" in key for keys in single.processing().values() for key in keys):
        os.sched_yield()
    future.cancel()
    while not ended:
        os.sched_yield()
    assert ended == [False]
    gate.set()
    assert single.submit(abs, -1).result(timeout=60) == 1


def time_out() -> tuple[int, int, str]:
    """A task that waits, but not for long, for what no worker can run."""
    executor = get_client().get_executor(resources={"unheard of": 1})
    call = executor.submit(hold)
    done, not_done = concurrent.futures.wait([call], timeout=0.01)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(concurrent.futures.as_completed([call], timeout=0.01))
    call.cancel()
    return len(done), len(not_done), get_client().get_executor().submit(str, 7).result()


def test_time_limits_on_one_slot(single: Client) -> None:
    """They are kept, and the task goes on."""
    assert single.submit(time_out).result(timeout=60) == (0, 1, "7")


def test_inside_tasks(client: Client) -> None:
    """Who waits has no slot meanwhile: one is enough for calls within calls."""
    [worker, _] = client.nthreads()
    with client.get_executor(workers=worker) as executor:
        futures = [executor.submit(countdown, 3) for _ in range(3)]
        assert [future.result(timeout=60) for future in futures] == [7] * 3
        assert "finished" in executor.submit(leave_a_block).result(timeout=60)
        assert executor.submit(give_up_waiting).result(timeout=60) < 25
    while any(client.processing().values()):  # what was given up stops before its cluster ends
        os.sched_yield()


async def _on_asyncio(address: str) -> None:
    async with AsyncClient(address) as client:
        executor = client.get_executor()
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, pow, 2, 10) == 1024
        future = executor.submit(operator.floordiv, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wrap_future(future)
        executor.shutdown()


def test_of_an_async_client(client: Client) -> None:
    """It is what asyncio's `run_in_executor` takes."""
    asyncio.run(_on_asyncio(client.scheduler_address))
