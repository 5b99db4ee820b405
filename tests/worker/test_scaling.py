"""A worker process grows and shrinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.worker.fake_scheduler import FAKE_RUNNER, KEYS, fake_scheduler, settings
from trio_dask.worker import ProcessHost, WorkerHandle, run_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.fake_scheduler import FakeScheduler

pytestmark = [pytest.mark.network, pytest.mark.processes]


class Crew:
    """A worker process's handle, and what was said of its workers."""

    def __init__(self) -> None:
        self.handle: WorkerHandle
        self.there: dict[str, str] = {}
        self.ended = trio.Event()
        self._changed = trio.Event()

    def on_change(self, name: str, address: str | None) -> None:
        """Remember."""
        if address is None:
            del self.there[name]
        else:
            self.there[name] = address
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, *names: str) -> None:
        """Wait until just these are there."""
        while set(self.there) != set(names):
            await self._changed.wait()

    async def run(
        self, scheduler: FakeScheduler, tmp_path: Path, count: int, *,
        task_status: trio.TaskStatus[None],
    ) -> None:  # fmt: skip
        """The process."""
        async with trio.open_nursery() as nursery:
            self.handle = await nursery.start(self._run, scheduler, tmp_path, count)
            task_status.started()
        self.ended.set()

    async def _run(
        self, scheduler: FakeScheduler, tmp_path: Path, count: int, *,
        task_status: trio.TaskStatus[WorkerHandle],
    ) -> None:  # fmt: skip
        await run_worker(
            settings(tmp_path, nworkers=count), scheduler.address, KEYS,
            runner_host=ProcessHost(FAKE_RUNNER), numbered=True, on_change=self.on_change,
            task_status=task_status,
        )  # fmt: skip


async def test_workers_are_added_and_the_youngest_leave(tmp_path: Path) -> None:
    """With a goodbye; numbers are not used again, so names stay unique."""
    crew = Crew()
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        await nursery.start(crew.run, scheduler, tmp_path, 1)
        await crew.until("w-0")
        crew.handle.scale(3)
        await crew.until("w-0", "w-1", "w-2")
        assert sorted(crew.handle.addresses) == sorted(crew.there.values())
        crew.handle.scale(1)
        await crew.until("w-0")
        for name in ("w-1", "w-2"):
            assert await scheduler.talks[name].wait_end() == "it is not needed any more"
        crew.handle.scale(2)
        await crew.until("w-0", "w-3")
        nursery.cancel_scope.cancel()


async def test_without_any_worker_the_process_goes_on(tmp_path: Path) -> None:
    """It may be asked for some again."""
    crew = Crew()
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        await nursery.start(crew.run, scheduler, tmp_path, 0)
        assert crew.handle.workers == ()
        crew.handle.scale(1)
        await crew.until("w-0")
        crew.handle.scale(0)
        await crew.until()
        crew.handle.scale(1)
        await crew.until("w-1")
        nursery.cancel_scope.cancel()


async def test_one_that_is_still_starting_is_called_off(tmp_path: Path) -> None:
    """It never joins."""
    crew = Crew()
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        await nursery.start(crew.run, scheduler, tmp_path, 1)
        crew.handle.scale(2)
        crew.handle.scale(1)
        crew.handle.scale(2)
        await crew.until("w-0", "w-2")
        nursery.cancel_scope.cancel()


async def test_it_ends_when_the_scheduler_has_dismissed_the_last(tmp_path: Path) -> None:
    """Not before."""
    crew = Crew()
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        await nursery.start(crew.run, scheduler, tmp_path, 2)
        scheduler.talks["w-0"].connection.close("retired")
        await crew.until("w-1")
        assert not crew.ended.is_set()
        scheduler.talks["w-1"].connection.close("retired")
        await crew.ended.wait()


async def test_one_that_cannot_be_added_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others stay; the next call tries again."""
    crew = Crew()
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        await nursery.start(crew.run, scheduler, tmp_path, 1)

        async def full(_: str) -> object:
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr("trio_dask.worker.life.open_listener", full)
            crew.handle.scale(2)
            while "A worker could not be started" not in caplog.text:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert "Too many open files" in caplog.text
        assert set(crew.there) == {"w-0"}
        crew.handle.scale(2)
        await crew.until("w-0", "w-2")
        nursery.cancel_scope.cancel()
