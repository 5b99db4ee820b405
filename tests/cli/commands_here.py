"""Server commands in the process of the test: what they say, and what they really do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from trio_dask.cli import main
from trio_dask.comm import Keys, keys_from_token
from trio_dask.config import (
    Config,
    SchedulerConfig,
    SchedulerFile,
    load_config,
    new_token,
    write_scheduler_file,
)
from trio_dask.scheduler import SchedulerHandle, run_scheduler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest


class Said(logging.Handler):
    """What has been logged; somebody may wait for the next."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._more = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, label: str, count: int = 1) -> list[str]:
        """What follows it on the first lines that have it."""
        while True:
            found = [each.partition(label)[2].strip() for each in self.lines if label in each]
            if len(found) >= count:
                return found[:count]
            await self._more.wait()


class Here:
    """Runs the server of a command for as long as a check of it takes, in this thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said = Said()
        self.token = new_token()
        self._patch = monkeypatch
        monkeypatch.setenv("TRIO_DASK_TOKEN", self.token)
        for command in ("scheduler", "worker"):
            monkeypatch.setattr(f"trio_dask.cli.{command}.log_to_stderr", lambda *_: None)

    @property
    def keys(self) -> Keys:
        """What opens it."""
        return keys_from_token(self.token)

    def scheduler(self, *words: str, check: Callable[[Said], Awaitable[None]]) -> int:
        """The exit code of ``trio-dask scheduler``."""

        async def drive(serve: Callable[[], Awaitable[None]]) -> None:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await check(self.said)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                await serve()
                nursery.cancel_scope.cancel()

        return self._run("scheduler", words, drive)

    def worker(
        self,
        path: Path,
        *words: str,
        check: Callable[[Said, SchedulerHandle], Awaitable[None]],
        settings: SchedulerConfig | None = None,
    ) -> int:
        """The exit code of ``trio-dask worker``, with a scheduler in a scheduler file."""
        settings = settings or SchedulerConfig(host="127.0.0.1", port=0, dashboard=False)
        config = Config(scheduler=settings, comm=load_config().comm)

        async def drive(serve: Callable[[], Awaitable[None]]) -> None:
            async with trio.open_nursery() as nursery:
                handle = await nursery.start(run_scheduler, config, self.keys)
                content = SchedulerFile(id=handle.cluster, address=handle.address, token=self.token)
                write_scheduler_file(path, content)

                async def watch() -> None:
                    await check(self.said, handle)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                await serve()
                nursery.cancel_scope.cancel()

        return self._run("worker", ("--scheduler-file", str(path), *words), drive)

    def _run(
        self,
        command: str,
        words: tuple[str, ...],
        drive: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> int:
        def run(serve: Callable[[], Awaitable[None]], **_: Any) -> None:
            async def bounded() -> None:
                with trio.fail_after(30):
                    await drive(serve)

            trio.run(bounded)

        self._patch.setattr(f"trio_dask.cli.{command}.run_until_signal", run)
        logger = logging.getLogger("trio_dask")
        level = logger.level
        logger.addHandler(self.said)
        logger.setLevel(logging.INFO)
        try:
            return main([command, *words])
        finally:
            logger.removeHandler(self.said)
            logger.setLevel(level)
