"""wait, as_completed, callbacks, cancelling and keeping, on both loops."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.client.fake_cluster import open_client
from tests.client.jobs import fail, inc, zeros
from trio_dask import as_completed, fire_and_forget, wait
from trio_dask.errors import CancelledError, SchedulerUnreachable
from trio_dask.messages import tasks

pytestmark = pytest.mark.anyio


async def test_wait_for_all_and_for_one() -> None:
    """Sets of those that are done and those that are not."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(300))
        await client.flush()
        fake.run(1)
        done, not_done = await wait(futures, return_when="FIRST_COMPLETED")
        assert (done, not_done) == ({futures[0]}, set(futures[1:]))
        with pytest.raises(TimeoutError, match="299 of 300"):
            await wait(futures, timeout=0.001)
        fake.run()
        assert (await wait(futures)).not_done == set()
        assert (await wait(futures[0])).done == {futures[0]}
        with pytest.raises(ValueError, match="return_when"):
            await wait(futures, return_when="NEVER")  # type: ignore[call-overload]


async def test_result_has_a_time_limit() -> None:
    """Which says what was not done, and does nothing to the task."""
    async with open_client() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1, key="slow")
        with pytest.raises(TimeoutError, match=r"slow is not done after 0\.001 s"):
            await future.result(timeout=0.001)
        with pytest.raises(TimeoutError, match="slow"):
            await future.exception(timeout=0.001)
        await client.flush()  # on a busy machine all that has taken no longer than it took to send
        fake.run()
        assert await future == 2


async def test_many_waiters_of_one_future() -> None:
    """All are woken; one that gives up disturbs nobody."""
    async with open_client() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        await client.flush()
        values: list[int] = []

        async def waiter() -> None:
            values.append(await future)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(waiter)
            with anyio.move_on_after(0.001):
                await future
            fake.run()
        assert values == [2] * 5


async def test_as_completed_gives_the_order() -> None:
    """In the order of their ends, each once, and more may be added meanwhile."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(4))
        await client.flush()
        fake.queue.reverse()
        fake.run(2)
        steps = as_completed(futures)
        assert [await anext(steps), await anext(steps)] == [futures[3], futures[2]]
        assert not steps.has_ready()
        assert steps.count() == 2
        steps.add(futures[3])
        assert await anext(steps) is futures[3]
        fake.run()
        assert {each async for each in steps} == {futures[0], futures[1]}
        assert steps.is_empty()


async def test_as_completed_says_how_many_are_left() -> None:
    """When it is shown."""
    async with open_client() as (client, fake):
        fake.held = True
        steps = as_completed(client.map(inc, range(3)))
        await client.flush()
        assert repr(steps) == "<as_completed: waiting=3 done=0>"
        fake.run(2)
        _ = await anext(steps)
        assert repr(steps) == "<as_completed: waiting=1 done=1>"
        fake.run()


async def test_as_completed_with_results() -> None:
    """Pairs; errors raised, or in place of the value; large values fetched."""
    async with open_client() as (client, _):
        futures: list[Any] = [client.submit(inc, 1), client.submit(zeros, 9_000)]
        found = {future: value async for future, value in as_completed(futures, with_results=True)}
        assert found == {futures[0]: 2, futures[1]: bytes(9_000)}
        bad = client.submit(fail, "no")
        with pytest.raises(ValueError, match="no"):
            await anext(as_completed([bad], with_results=True))
        _, error = await anext(as_completed([bad], with_results=True, raise_errors=False))
        assert isinstance(error, ValueError)


async def test_as_completed_in_batches() -> None:
    """All that are done, at each step; a whole map costs one watch."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(1000))
        await client.flush()
        steps = as_completed(futures)
        fake.run(400)
        sizes = []
        async for batch in steps.batches():
            sizes.append(len(batch))
            fake.run()
        assert sum(sizes) == 1000
        assert sizes[0] == 400
        with pytest.raises(TypeError, match="not int"):
            as_completed([1])  # type: ignore[type-var]


async def test_a_batch_that_is_not_waited_for() -> None:
    """It has what is there, and may be empty."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(3))
        await client.flush()
        steps = as_completed(futures, with_results=True)
        assert await steps.next_batch(block=False) == []
        fake.run(2)
        await client.flush()
        assert await steps.next_batch(block=False) == [(futures[0], 1), (futures[1], 2)]
        fake.run()
        assert await steps.next_batch() == [(futures[2], 3)]
        assert await steps.next_batch() == []


async def test_batches_of_nothing() -> None:
    """Of an iterator to which nothing was added it is neither asynchronous nor not."""
    steps: Any = as_completed()
    assert list(steps.batches()) == [] == [each async for each in steps.batches()]
    assert steps.next_batch() == [] == await steps.next_batch()
    with pytest.raises(StopIteration):
        steps.next()
    async with open_client() as (client, _):
        batches = steps.batches()
        future = client.submit(inc, 1)
        steps.add(future)
        assert [each async for each in batches] == [[future]]
        with pytest.raises(TypeError, match="use `async for`"):
            iter(batches)
        with pytest.raises(TypeError, match="use `async for`"):
            steps.next()


async def test_clearing_ends_who_waits() -> None:
    """Nothing is to come any more."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(3))
        steps = as_completed(futures)
        async with anyio.create_task_group() as group:

            async def wait_for_one() -> None:
                assert [each async for each in steps] == []

            group.start_soon(wait_for_one)
            await anyio.wait_all_tasks_blocked()
            steps.clear()
        assert steps.is_empty()
        steps.add(futures[1])
        fake.run()
        assert [each async for each in steps] == [futures[1]]


async def test_as_completed_has_a_time_limit() -> None:
    """For all of it."""
    async with open_client() as (client, fake):
        fake.held = True
        steps = as_completed(client.map(inc, range(3)), timeout=0.001)
        with pytest.raises(TimeoutError, match="3 futures are not done"):
            _ = await anext(steps)


async def test_forgotten_iterators_do_not_stay() -> None:
    """Whoever leaves a loop early leaves no watch behind."""
    async with open_client() as (client, _):
        futures = client.map(inc, range(5))
        async for _future in as_completed(futures):
            break
        await client.flush()
        assert not client.live.core.watching._watched


async def test_duplicates_come_twice() -> None:
    """As in Dask."""
    async with open_client() as (client, _):
        future = client.submit(inc, 1)
        assert [each async for each in as_completed([future, future])] == [future, future]


async def test_done_callbacks() -> None:
    """Called once, with the future, also when it is done already; their errors are logged."""
    async with open_client() as (client, _):
        future, seen = client.submit(inc, 1), list[Any]()
        future.add_done_callback(seen.append)
        await future
        future.add_done_callback(seen.append)
        assert seen == [future, future]


async def test_failing_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing else happens."""
    async with open_client() as (client, _):
        future = client.submit(inc, 1)
        future.add_done_callback(lambda future: 1 / 0)
        assert await future == 2
        assert "the callback" in caplog.text


async def test_cancel_waits_for_the_end() -> None:
    """Whatever has not started is cancelled, with the reason in the error."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(3))
        await client.cancel(futures[:2], reason="changed my mind")
        assert [each.status for each in futures] == ["cancelled", "cancelled", "pending"]
        with pytest.raises(CancelledError, match="changed my mind"):
            await futures[0]
        with pytest.raises(CancelledError):
            await futures[0].exception()
        fake.run()
        assert await futures[2] == 3
        await futures[2].cancel()
        assert futures[2].status == "finished"


async def test_call_owns_its_task() -> None:
    """Giving up waiting for it cancels it; its end releases it."""
    async with open_client() as (client, fake):
        assert await client.call(inc, 1) == 2
        fake.held = True
        with anyio.move_on_after(0.01) as scope:
            await client.call(inc, 2)
        assert scope.cancelled_caught
        await client.flush()
        assert len(fake.tids(tasks.Cancel)) == 1
        assert len(fake.tids(tasks.Release)) == 2
        assert not fake.queue


async def test_fire_and_forget() -> None:
    """Said before the release, even if the client leaves at once."""
    async with open_client() as (client, fake):
        fire_and_forget([client.submit(inc, 1), {"x": client.submit(inc, 2)}])
        await client.close()
        kinds = [type(each) for each in fake.said]
        assert len(fake.tids(tasks.Keep)) == 2
        assert kinds.index(tasks.Submit) < kinds.index(tasks.Keep)


async def test_value_made_again_is_waited_for() -> None:
    """`Again` takes a value back; who waits then gets the new one."""
    async with open_client() as (client, fake):
        future = client.submit(inc, 1)
        await future
        scheduler = fake.connections[0]
        scheduler.send(tasks.Again([future._tid]))
        await client.flush()
        assert future.status == "pending"
        fake.tell(scheduler, [future._tid])
        assert await future == 2


async def test_lost_scheduler_wakes_everybody() -> None:
    """All that wait hear of it, what is there can still be used, and nothing hangs."""
    async with open_client() as (client, fake):
        good = client.submit(inc, 1)
        await good
        fake.held = True
        pending = client.map(inc, range(300))
        await client.flush()
        errors: list[str] = []

        async def waiter(call: Any) -> None:
            with pytest.raises(SchedulerUnreachable) as caught:
                await call()
            errors.append(str(caught.value))

        async with anyio.create_task_group() as group:
            group.start_soon(waiter, lambda: client.gather(pending))
            group.start_soon(waiter, pending[0].result)
            group.start_soon(waiter, lambda: wait(pending))
            group.start_soon(waiter, as_completed(pending[:2]).__anext__)
            group.start_soon(waiter, lambda: client.live.ask("never", {}))
            await anyio.wait_all_tasks_blocked()
            fake.die()
        assert len(errors) == 5
        assert "tcp://scheduler:8786" in errors[0]
        assert await good == 2
        with pytest.raises(SchedulerUnreachable):
            _ = client.submit(inc, 2)
        assert "lost" in repr(client)
