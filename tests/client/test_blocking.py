"""The client for code that blocks, against a fake cluster on its loop."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.client.fake_cluster import CONFIG, SCHEDULER, on_loop, open_blocking
from tests.client.jobs import fail, inc, total, zeros
from trio_dask import AsyncClient, Client, as_completed, fire_and_forget, wait
from trio_dask.client import AsyncFuture, Future
from trio_dask.errors import CancelledError, SchedulerUnreachable, SubmitError
from trio_dask.messages import tasks

if TYPE_CHECKING:
    from collections.abc import Callable


def public(kind: type) -> dict[str, list[str]]:
    """The methods of a class, and what they take."""
    return {
        name: [
            str(each).partition(":")[0] for each in inspect.signature(method).parameters.values()
        ]
        for name, method in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("kinds", [(AsyncClient, Client), (AsyncFuture, Future)])
def test_both_have_the_same_methods_and_signatures(kinds: tuple[type, type]) -> None:
    """Who knows one knows the other; only what makes one block is one's own."""
    there, here = map(public, kinds)
    for own in ("run_blocking", "after"):
        here.pop(own, None)
    assert here == there
    parameters = [list(inspect.signature(kind).parameters) for kind in kinds]
    assert parameters[0] == parameters[1]
    for name in here:
        hints = [inspect.signature(getattr(kind, name)).return_annotation for kind in kinds]
        assert hints[0].replace("Async", "") == hints[1], name


def test_calls_and_their_values() -> None:
    """submit, map, gather, inputs in containers, large values, and an error each way."""
    with open_blocking() as (client, _):
        assert client.submit(inc, 1).result() == 2
        futures = client.map(inc, range(1000))
        assert client.gather(futures) == list(range(1, 1001))
        assert client.submit(total, {"a": [futures[0], (futures[1],)]}).result() == 3
        assert client.submit(zeros, 100_000).result() == bytes(100_000)
        assert client.gather({"x": futures[0], "y": (futures[1],)}) == {"x": 1, "y": (2,)}
        assert client.call(inc, 41) == 42
        assert client.gather([]) == []
        bad = client.submit(fail, "no")
        with pytest.raises(ValueError, match="no"):
            bad.result()
        assert isinstance(bad.exception(), ValueError)
        assert futures[0].exception() is None
        assert [type(each) for each in client.gather([futures[0], bad], "return")] == [
            int,
            ValueError,
        ]
        assert client.gather([futures[0], bad], errors="skip") == [1]
        with pytest.raises(ValueError, match="no"):
            client.gather([futures[0], bad])
        with pytest.raises(SubmitError):
            client.submit(inc, key="")


def test_what_is_too_large_is_refused_at_the_call() -> None:
    """It hurts nobody else: the client goes on."""
    data, long = bytes(40_000_000), "x" * 5000

    def holds_much() -> int:
        return len(data)

    with open_blocking() as (client, _):
        with pytest.raises(SubmitError, match=r"holds_much takes 40 MB along.* arguments"):
            client.submit(holds_much)
        wrong: list[dict[str, Any]] = [{"key": long}, {"workers": long}, {"resources": {long: 1}}]
        for options in wrong:
            with pytest.raises(SubmitError):
                client.submit(inc, 1, **options)
        assert client.submit(inc, 1).result() == 2


def test_what_cannot_be_sent_ends_the_client_with_a_reason() -> None:
    """Not its thread, and not in silence."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        client.flush()
        with client.live.lock:
            client._core._send(tasks.Cancel([1], "x" * (65 << 20)))
        client.live.soon()
        with pytest.raises(SchedulerUnreachable, match="cannot be"):
            future.result()


def test_scattered_values_are_inputs() -> None:
    """In the shape they came in."""
    with open_blocking() as (client, _):
        spread = client.scatter({"a": 1, "b": bytes(100_000)})
        assert client.submit(inc, spread["a"]).result() == 2
        assert spread["b"].result() == bytes(100_000)
        assert client.submit(len, bytes(100_000)).result() == 100_000  # stored for the call's sake


def test_questions() -> None:
    """All that is asked of the scheduler."""
    with open_blocking() as (client, _):
        assert client.scheduler_info()["address"] == SCHEDULER
        assert sum(client.nthreads().values()) == 2
        client.flush()
        assert "open" in repr(client)
        with pytest.raises(TimeoutError, match="2 of 5"):
            client.wait_for_workers(5, timeout=0.01)


def test_our_own_frames_are_few() -> None:
    """Between the user's call and his function's frames there is one of ours."""
    with open_blocking() as (client, _):
        bad = client.submit(fail, "no")
        for ask in (bad.result, lambda: client.gather([bad])):
            with pytest.raises(ValueError, match="no") as caught:
                ask()
            shown = traceback.extract_tb(caught.value.__traceback__)
            assert sum("trio_dask/client" in frame.filename for frame in shown) == 1
            assert "in fail" in caught.value.__notes__[0]


def test_the_remote_traceback_is_an_object() -> None:
    """With the frames of the function, for tools that print tracebacks."""
    with open_blocking() as (client, _):
        frames = traceback.extract_tb(client.submit(fail, "no").traceback())
        assert frames[-1].name == "fail"
        assert frames[-1].line == "raise ValueError(text)"
        assert client.submit(inc, 1).traceback() is None


def test_waiting_has_a_time_limit() -> None:
    """Which does nothing to the task."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1, key="slow")
        with pytest.raises(TimeoutError, match=r"slow is not done after 0\.001 s"):
            future.result(timeout=0.001)
        with pytest.raises(TimeoutError, match="slow"):
            future.exception(timeout=0)
        with pytest.raises(TimeoutError, match="1 of 1"):
            wait(future, timeout=0.001)
        with pytest.raises(TimeoutError, match=r"after 0\.002 s"):
            future.result(timeout="2ms")
        with pytest.raises(TimeoutError):
            future.result(timeout=-1)
        for nonsense in ("soon", float("nan"), [1]):
            with pytest.raises(ValueError, match="number of seconds"):
                future.result(timeout=nonsense)  # type: ignore[arg-type]
        client.flush()
        on_loop(client, fake.run)
        assert future.result(timeout=30) == 2


def test_wait_and_as_completed() -> None:
    """The same functions as for the other client, without await."""
    with open_blocking() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(300))
        client.flush()
        on_loop(client, fake.run, 1)
        assert wait(futures, return_when="FIRST_COMPLETED").done == {futures[0]}
        pairs = as_completed(futures, with_results=True)
        assert next(iter(pairs)) == (futures[0], 1)
        on_loop(client, fake.run)
        assert wait(futures).not_done == set()
        assert dict(pairs) == {future: n + 1 for n, future in enumerate(futures) if n}
        assert sum(map(len, as_completed(futures).batches())) == 300
        assert wait([]).done == set()
        fake.held = True
        steps = as_completed([client.submit(inc, 2)], timeout=0.001)
        with pytest.raises(TimeoutError, match="1 futures"):
            next(iter(steps))


def test_the_wrong_kind_of_loop_is_refused_by_name() -> None:
    """`async for` over blocking futures, and both kinds at once."""
    with open_blocking() as (client, _):
        future = client.submit(inc, 1)
        with pytest.raises(TypeError, match="use `for`"):
            aiter(as_completed([future]))
        other: Any = AsyncFuture(future._batch, future._tid)
        with pytest.raises(TypeError, match="separately"):
            wait([future, other])
        with pytest.raises(TypeError, match="use `async for`"):
            iter(as_completed([other]))


def test_one_iterator_for_many_threads() -> None:
    """Each future comes once, to one of them, and all threads end."""
    with open_blocking() as (client, fake):
        fake.held = True
        steps = as_completed(client.map(inc, range(500)))
        client.flush()
        seen: list[Any] = []
        threads = [threading.Thread(target=lambda: seen.extend(steps)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            on_loop(client, fake.run, 50)
        for thread in threads:
            thread.join()
        assert len(seen) == len(set(seen)) == 500


def test_many_threads_submit_and_wait() -> None:
    """Ten threads, a thousand calls each, with functions of their own: all results are right."""
    with open_blocking() as (client, _):
        wrong: list[Any] = []

        def use(number: int) -> None:
            def plus(x: int) -> int:
                return x + number

            futures = [client.submit(plus, each) for each in range(1000)]
            if [future.result() for future in futures] != list(range(number, number + 1000)):
                wrong.append(number)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        client.flush()
    assert len(client._core.table) == 0


def test_arguments_may_wait_for_results() -> None:
    """A generator of arguments is the user's code: nothing is locked while it runs."""
    with open_blocking() as (client, _):
        first = client.map(inc, range(10))
        second = client.map(inc, (future.result() for future in first))
        assert client.gather(second) == list(range(2, 12))


def test_callbacks_may_block() -> None:
    """They run in a thread of their own, so that they may wait for whatever they like."""
    with open_blocking() as (client, fake):
        fake.held = True
        values: list[Any] = []
        done = threading.Event()

        def callback(future: Future[int]) -> None:
            values.append(future.result() + client.submit(zeros, 5000).result()[0])
            done.set()

        future = client.submit(inc, 1)
        future.add_done_callback(callback)
        client.flush()
        fake.held = False
        on_loop(client, fake.run)
        assert done.wait(30)
        assert values == [2]
        done.clear()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(30)


def test_closing_ends_the_waiting_of_other_threads() -> None:
    """It may be done from anywhere, twice, and says itself what it was."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        errors: list[BaseException] = []
        waits = threading.Event()

        def waiter() -> None:
            waits.set()
            try:
                future.result()
            except CancelledError as error:  # noqa: ASYNC103
                errors.append(error)

        thread = threading.Thread(target=waiter)
        thread.start()
        waits.wait()
        closer = threading.Thread(target=client.close)
        closer.start()
        closer.join()
        thread.join()
        client.close()
        assert "the client was closed" in str(errors[0])
        with pytest.raises(RuntimeError, match="this Client is closed"):
            client.submit(inc, 1)
        with pytest.raises(RuntimeError, match="this Client is closed"):
            client.flush()


def test_nothing_is_left_of_a_closed_client() -> None:
    """No thread."""
    before = set(threading.enumerate())
    with open_blocking() as (client, _):
        client.submit(inc, 1).add_done_callback(lambda _: None)
        assert set(threading.enumerate()) - before
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert not set(threading.enumerate()) - before


def test_losing_the_scheduler() -> None:
    """Whoever waits is told, and so is who asks for more."""
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        client.flush()
        on_loop(client, fake.die)
        with pytest.raises(SchedulerUnreachable):
            future.result()
        with pytest.raises(SchedulerUnreachable):
            client.submit(inc, 1)
        assert "lost" in repr(client)


def test_cancelling_and_keeping() -> None:
    """The same messages as the other client's."""
    with open_blocking() as (client, fake):
        fake.held = True
        future, kept = client.submit(inc, 1), client.submit(inc, 2)
        client.flush()
        fire_and_forget(kept)
        future.cancel("enough")
        assert future.cancelled()
        client.flush()
        assert fake.tids(tasks.Keep) == [kept._tid]
        assert fake.told(tasks.Cancel)[0].reason == "enough"


def test_it_refuses_to_hold_up_a_loop() -> None:
    """Opening and waiting, on Trio and on asyncio; not in a thread beside the loop."""

    async def opening() -> None:
        with pytest.raises(RuntimeError, match="AsyncClient"):
            Client(SCHEDULER, config=CONFIG)

    trio.run(opening)
    asyncio.run(opening())
    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)

        async def waiting() -> None:
            with pytest.raises(RuntimeError, match="AsyncClient"):
                future.result()

        async def beside() -> int:
            return await trio.to_thread.run_sync(future.result)

        trio.run(waiting)
        asyncio.run(waiting())
        client.flush()
        on_loop(client, fake.run)
        assert trio.run(beside) == 2


def test_interrupting_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the waiting, not the client; that of a call cancels its task."""

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with open_blocking() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        client.flush()
        with monkeypatch.context() as patch:
            patch.setattr("trio_dask.client.waits.threading.Event", Interrupted)
            asks: list[Callable[[], Any]] = [future.result, lambda: client.call(inc, 2)]
            for ask in asks:
                with pytest.raises(KeyboardInterrupt):
                    ask()
        client.flush()
        assert len(fake.told(tasks.Cancel)) == 1
        on_loop(client, fake.run)
        assert future.result() == 2


SCRIPT = """
import os, sys, threading
from tests.client.fake_cluster import open_blocking, on_loop, CONFIG, SCHEDULER
from tests.client.jobs import inc
"""


def run_script(text: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT + text]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_forked_child_is_told_to_open_its_own() -> None:
    """Nothing there touches the parent's loop: not a call, not a wait, not a future's end."""
    run = run_script(
        "with open_blocking() as (client, fake):\n"
        "    done, future = client.submit(inc, 1), client.submit(inc, 1)\n"
        "    done.result()\n"
        "    client.live.lock.acquire()\n"  # as another thread might have at that moment
        "    child = os.fork()\n"
        "    if not child:\n"
        "        for ask in (lambda: client.submit(inc, 1), future.result, client.flush):\n"
        "            try:\n"
        "                threading.Thread(target=ask).run()\n"
        "            except RuntimeError as error:\n"
        "                print(error)\n"
        "        del future, done\n"
        "        client.close()\n"
        "        sys.exit(0)\n"
        "    client.live.lock.release()\n"
        "    print('child', os.waitpid(child, 0)[1])\n"
        "    print('parent', future.result())\n"
    )
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert [line for line in lines if "belongs to the process that forked" in line] == lines[:3]
    assert lines[3:] == ["child 0", "parent 2"]


def test_a_script_that_forgets_to_close_it_ends() -> None:
    """And says goodbye, without a word on stderr."""
    run = run_script(
        "opened = open_blocking()\n"
        "client, fake = opened.__enter__()\n"
        "print(client.submit(inc, 1).result())\n"
        "import atexit\n"
        "client.live.core.end, end = None, client.live.core.end\n"
        "client.live.core.end = lambda reason: (print(reason), end(reason))\n"
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[:2] == ["2", "the client was closed"]


def test_that_nobody_is_there_is_said_where_it_is_asked() -> None:
    """Not how a loop in another thread came to know, nor what each layer calls it."""
    with pytest.raises(SchedulerUnreachable, match=r"within 0 s: .*refused") as caught:
        Client("tcp://127.0.0.1:1", timeout=0, config=CONFIG)
    text = traceback.format_exception(caught.value)
    assert caught.value.__cause__ is None
    assert not [line for line in text if "loop_thread" in line or "direct cause" in line]
