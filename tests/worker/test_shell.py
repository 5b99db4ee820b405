"""Real worker shells, real sockets, runner processes that do as they are told."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from tests.worker.fake_scheduler import (
    FAKE_RUNNER,
    KEYS,
    FakeScheduler,
    Talk,
    client_of,
    fake_scheduler,
    settings,
    workers,
)
from trio_dask.comm import Connection, connect, keys_from_token
from trio_dask.errors import (
    AuthenticationError,
    CommError,
    ConfigError,
    HandshakeRefused,
    SchedulerUnreachable,
)
from trio_dask.messages.session import CLIENT, WORKER, Refused
from trio_dask.messages.tasks import (
    Done,
    Free,
    Recall,
    Replicas,
    Returned,
    Run,
    RunnerDied,
    Running,
    Slots,
    Stored,
    Unrunnable,
)
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Store, StoreDone, Values
from trio_dask.worker import ProcessHost, link, run_worker
from trio_dask.worker.nanny import RunnerFailed

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


pytestmark = [pytest.mark.network, pytest.mark.processes]


def task(attempt: int, args: bytes, inputs: dict[int, str] | None = None) -> Run:
    """A `Run` of one attempt at task 1000 + attempt."""
    deps = list(inputs or {})
    return Run(
        [attempt], [1000 + attempt], [7], [attempt], [args],
        [len(deps)] if deps else [], deps, list(range(len(deps))), [],
        list((inputs or {}).values()), [],
    )  # fmt: skip


def children() -> list[int]:
    """Processes of ours."""
    return [each.pid for each in psutil.Process().children(recursive=True)]


async def done(talk: Talk) -> tuple[int, bytes]:
    """The next attempt that ended."""
    answer = await talk.hear(Done)
    return answer.attempts[0], bytes(answer.values[0])


async def test_work_and_a_clean_end(tmp_path: Path) -> None:
    """Tasks run; cancelled workers say goodbye and leave no process, socket, file or thread."""
    descriptors = set(os.listdir("/proc/self/fd"))
    async with fake_scheduler() as scheduler:
        async with workers(scheduler, settings(tmp_path)) as handle:
            assert sorted(scheduler.talks) == ["w-0", "w-1"]
            assert len(children()) == 2
            assert len(list(tmp_path.iterdir())) == 1
            assert [r.address for r in scheduler.registrations.values()] != []
            for name, talk in scheduler.talks.items():
                talk.say(task(1, name.encode()), task(2, b"ok:x"))
                assert await done(talk) == (1, b"")
                assert await done(talk) == (2, b"x")
            began = trio.current_time()
        assert trio.current_time() - began < 3
        assert [await talk.wait_end() for talk in scheduler.talks.values()] == [
            "the worker ends"
        ] * 2
        assert all(worker.core.books()["in_runner"] == 0 for worker in handle.workers)
    assert children() == []
    assert list(tmp_path.iterdir()) == []
    await trio.testing.wait_all_tasks_blocked()
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors) + 1


async def test_a_busy_worker_ends_in_time(tmp_path: Path) -> None:
    """A task that never ends does not keep its process, nor the worker, and is not blamed."""
    async with fake_scheduler() as scheduler:
        async with workers(scheduler, settings(tmp_path, nworkers=1, name="w")):
            talk = scheduler.talks["w"]
            talk.say(task(1, b"hang"))
            assert await talk.hear(Running) is not None
            began = trio.current_time()
        assert trio.current_time() - began < 3
        assert await talk.wait_end() == "the worker ends"
        assert [m for m in talk.heard if isinstance(m, RunnerDied)] == []
    assert children() == []


@pytest.mark.parametrize(
    ("args", "words"), [(b"die", "SIGKILL"), (b"fork", "exited with code 3"), (b"invent", "broke the rules")]
)  # fmt: skip
async def test_a_runner_dies(tmp_path: Path, args: bytes, words: str) -> None:
    """What was running, queued and held is told, and another runner takes over at once."""
    async with fake_scheduler() as scheduler:
        async with workers(scheduler, settings(tmp_path, nworkers=1, name="w")):
            talk = scheduler.talks["w"]
            talk.say(task(1, b"hold:v"))
            await talk.hear(Done)
            began = trio.current_time()
            talk.say(task(2, args), task(3, b"ok:x"))
            assert (await talk.hear(Slots)).nthreads == 0
            died = await talk.hear(RunnerDied)
            if args == b"invent":  # it goes on until it is killed
                assert sorted(died.running + died.queued) == [2, 3]
            else:
                assert (died.running, died.queued) == ([2], [3])
            assert died.lost == [1001]
            assert words in died.certificate["reason"]
            assert died.certificate["pid"] != 0
            assert (await talk.hear(Slots)).nthreads == 1
            assert trio.current_time() - began < 3
            talk.say(task(4, b"ok:y"))  # its function is given to the new one, too
            assert await done(talk) == (4, b"y")
            assert len(children()) == 1
    assert children() == []


async def test_killed_from_outside_again_and_again(tmp_path: Path) -> None:
    """A runner killed at any moment: each attempt is answered exactly once."""
    async with fake_scheduler() as scheduler:
        async with workers(scheduler, settings(tmp_path, nworkers=1, name="w")):
            talk = scheduler.talks["w"]
            for round_ in range(3):
                attempts = range(100 * round_ + 1, 100 * round_ + 41)
                for attempt in attempts:
                    talk.say(task(attempt, b"ok:x"))
                os.kill(children()[0], signal.SIGKILL)
                died = await _hear_all(talk, set(attempts))
                assert died.certificate["signal"] == 9
                assert (await talk.hear(Slots)).nthreads == 1


async def _hear_all(talk: Talk, attempts: set[int]) -> RunnerDied:
    answered: list[int] = []
    died = None
    while True:
        for message in talk.heard:
            if isinstance(message, Done | Returned):
                answered += message.attempts
            elif isinstance(message, RunnerDied):
                died = message
                answered += [*message.running, *message.queued]
        slots = [m for m in talk.heard if isinstance(m, Slots) and m.nthreads]
        talk.heard[:] = slots
        if died is not None and len(answered) >= len(attempts):
            break
        await talk.wait_more()
    assert sorted(answered) == sorted(attempts)
    return died


async def test_values_travel(tmp_path: Path) -> None:
    """Between neighbours without a socket, between processes and to clients with one."""
    async with AsyncExitStack() as stack:
        scheduler = await stack.enter_async_context(fake_scheduler())
        here = await stack.enter_async_context(workers(scheduler, settings(tmp_path)))
        config = settings(tmp_path, name="far", nworkers=1)
        far = await stack.enter_async_context(workers(scheduler, config))
        a, b, c = (scheduler.talks[name] for name in ("w-0", "w-1", "far"))
        at_a = scheduler.registrations["w-0"].address
        a.say(task(1, b"hold:va"))
        await a.hear(Done)
        b.say(task(2, b"join", {1001: at_a}))
        assert (await b.hear(Replicas)).tids == [1001]
        assert await done(b) == (2, b"va")
        assert all(not worker.peers._links for worker in here.workers)
        c.say(task(3, b"join", {1001: f"tcp://127.0.0.1:1 {at_a}"}))
        assert await done(c) == (3, b"va")
        c.say(task(4, b"join", {77: f"tcp://127.0.0.1:1 {at_a}"}))
        assert (await c.hear(Unrunnable)).places == [f"tcp://127.0.0.1:1 {at_a}"]
        client = await stack.enter_async_context(client_of(far.addresses[0]))
        client.say(Store(1, [50], [bytes(3 << 20)]), Store(2, [50], [bytes(3 << 20)]))
        assert (await client.hear(StoreDone)).error == ""
        assert (await c.hear(Stored)).nbytes == [3 << 20]
        client.say(Fetch(3, [50, 1001, 51]))
        statuses: dict[int, int] = {}
        while len(statuses) < 3:
            part = await client.hear(Values)
            statuses.update(zip(part.tids, part.statuses, strict=True))
        assert statuses == {50: FOUND, 1001: FOUND, 51: ABSENT}
        for talk in (a, b, c):
            talk.say(Free([50, 1001]), Recall([99]))
        client.say(Fetch(4, [50, 1001]))
        await client.hear(Values)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(far.store) == 0
        assert all(worker.core.books()["held"] == 0 for worker in (*here.workers, *far.workers))


async def test_bad_peers_hurt_only_themselves(tmp_path: Path) -> None:
    """Garbage, a wrong token, a worker that stores, one that does not read: others are served."""
    async with fake_scheduler() as scheduler:
        async with workers(scheduler, settings(tmp_path, nworkers=1, name="w")) as handle:
            address = handle.addresses[0]
            host, port = address.removeprefix("tcp://").split(":")
            garbage = await trio.open_tcp_stream(host, int(port))
            await garbage.send_all(b"GET / HTTP/1.1\r\n\r\n" * 100)
            with pytest.raises(AuthenticationError):
                await connect(address, keys=keys_from_token("fedcba9876543210" * 4), role=CLIENT)
            async with client_of(address, WORKER) as thief:
                thief.say(Store(1, [50], [b"v"]))
                await thief.wait_end()
            async with client_of(address) as client:
                client.say(Store(1, [50, 51], [bytes(80 << 20), b"v"]))
                await client.hear(StoreDone)
                # Never runs: it reads nothing.
                deaf = await connect(address, keys=KEYS, role=CLIENT)
                for serial in range(200):
                    deaf._link.queue([Fetch(serial, [50, 51])])
                for piece in deaf._link.take():
                    await deaf._stream.send_all(piece)
                client.say(Fetch(2, [51]))
                assert (await client.hear(Values)).tids == [51]
                unsent = [
                    peer.queued_bytes
                    for peer in handle.workers[0]._sessions.values()
                    if isinstance(peer, Connection)
                ]
                assert max(unsent) < 200 << 20
                await trio.aclose_forcefully(deaf._stream)
            await garbage.aclose()
            scheduler.talks["w"].say(task(1, b"ok:x"))
            assert await done(scheduler.talks["w"]) == (1, b"x")


async def _run(scheduler: FakeScheduler, tmp_path: Path, command: list[str] | None = None) -> None:
    host = ProcessHost(command or FAKE_RUNNER)
    config = settings(tmp_path, reconnect_s=0.1)
    await run_worker(config, scheduler.address, KEYS, runner_host=host)


async def test_the_scheduler_says_goodbye(tmp_path: Path) -> None:
    """Then the process has done its work."""
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:

        async def part() -> None:
            await scheduler.wait_for(2)
            for talk in scheduler.talks.values():
                talk.connection.close("shutdown")

        nursery.start_soon(part)
        await _run(scheduler, tmp_path)
    assert children() == []


async def test_the_scheduler_is_lost(tmp_path: Path) -> None:
    """Without a goodbye it is an error, and nothing is left either."""
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:

        async def cut() -> None:
            await scheduler.wait_for(2)
            scheduler.gone = True
            for talk in scheduler.talks.values():
                talk.connection.cut("test")

        nursery.start_soon(cut)
        with pytest.raises(SchedulerUnreachable, match="the scheduler was lost and is not back"):
            await _run(scheduler, tmp_path)
    assert children() == []
    assert list(tmp_path.iterdir()) == []


async def test_who_is_to_leave_does_not_look_for_a_lost_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is there to take what it has, so a signal ends it as it would otherwise."""
    looking = trio.Event()

    async def reach_again(*_: Any) -> Connection:
        looking.set()
        await trio.sleep_forever()  # it does not come back

    monkeypatch.setattr(link, "_reach_again", reach_again)
    config = settings(tmp_path, reconnect_s=3600.0)
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        run = partial(run_worker, runner_host=ProcessHost(FAKE_RUNNER))
        handle = await nursery.start(run, config, scheduler.address, KEYS)
        scheduler.gone = True
        for talk in scheduler.talks.values():
            talk.connection.cut("test")
        await looking.wait()
        handle.drain("SIGTERM received")
        # And now it ends: an hour would be too long for any test.
    assert children() == []
    assert list(tmp_path.iterdir()) == []


async def test_the_scheduler_is_lost_before_it_welcomes(tmp_path: Path) -> None:
    """A worker that has just begun looks for it as one does that has long been there."""
    async with fake_scheduler() as scheduler:
        scheduler.dies = 2
        async with workers(scheduler, settings(tmp_path, reconnect_s=30.0)):
            await scheduler.wait_for(2)
    assert scheduler.dies == 0
    assert children() == []


async def test_refused(tmp_path: Path) -> None:
    """The scheduler's reason is the error."""
    async with fake_scheduler(Refused("the name w-0 is taken")) as scheduler:
        with pytest.raises(HandshakeRefused, match="the name w-0 is taken"):
            await _run(scheduler, tmp_path)


async def test_runners_that_cannot_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The worker gives up with their exit code."""
    config = settings(tmp_path, nworkers=1, restart_delay_s=0.01)
    host = ProcessHost([FAKE_RUNNER[0], "-c", "import sys; sys.exit(9)"])
    async with fake_scheduler() as scheduler:
        with pytest.raises(RunnerFailed, match="exited with code 9"):
            await run_worker(config, scheduler.address, KEYS, runner_host=host)
    assert "starting another" in caplog.text


async def test_a_wrong_token_is_no_reason_to_wait(tmp_path: Path) -> None:
    """It will not become right."""
    async with fake_scheduler() as scheduler:
        with pytest.raises(AuthenticationError):
            await run_worker(
                settings(tmp_path), scheduler.address, keys_from_token("fedcba9876543210" * 4)
            )


async def test_no_scheduler(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each try is a line, the waits double, and the death timeout ends it."""
    times = []

    async def no_answer(address: str, **_: object) -> Connection:
        await trio.lowlevel.checkpoint()
        times.append(trio.current_time())
        raise CommError(f"{address}: cannot connect: Connection refused")

    monkeypatch.setattr("trio_dask.worker.link.connect", no_answer)
    config = settings(tmp_path, nworkers=1, death_timeout_s=10.0)
    began = trio.current_time()
    with pytest.raises(SchedulerUnreachable, match=r"within 10 s.*Connection refused"):
        await run_worker(config, "127.0.0.1:1", KEYS)
    assert [time - began for time in times] == pytest.approx([0, 0.5, 1.5, 3.5, 7.5])
    assert trio.current_time() - began == pytest.approx(10)
    assert caplog.text.count("Waiting for the scheduler: tcp://127.0.0.1:1: cannot connect") == 5


async def test_no_nanny_needs_a_host(tmp_path: Path) -> None:
    """Runners in this process are brought along by whoever knows them."""
    with pytest.raises(ConfigError, match="nanny"):
        await run_worker(settings(tmp_path, nanny=False), "127.0.0.1:1", KEYS)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Workers listen where they reach the scheduler from, and say the lines people wait for."""
    caplog.set_level(logging.INFO)
    async with fake_scheduler(host="[::1]") as scheduler:
        async with workers(scheduler, settings(tmp_path, nworkers=1)) as handle:
            [address] = handle.addresses
            assert address.startswith("tcp://[::1]:")
            async with client_of(address) as client:
                client.say(Fetch(1, [5]))
                assert (await client.hear(Values)).statuses == [ABSENT]
    assert f"Start worker at:  {address}" in caplog.text
    assert f"Registered to:    {scheduler.address}" in caplog.text
