"""Plugins for tests: what they do is seen in files, as they travel by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trio_dask import WorkerPlugin


class Note(WorkerPlugin):
    """Says when it comes and when it goes, in a file for each worker."""

    name = "note"

    def __init__(self, directory: str, text: str = "up") -> None:
        self.directory = directory
        self.text = text

    def _say(self, worker: Any, text: str) -> None:
        with (Path(self.directory) / worker.name).open("a", encoding="utf-8") as file:
            file.write(f"{text} ")

    def setup(self, worker: Any) -> None:
        """Say it."""
        self._say(worker, self.text)

    def teardown(self, worker: Any) -> None:
        """Say it."""
        self._say(worker, "down")


class Later(WorkerPlugin):
    """Is there when somebody has opened and closed the other end of a pipe."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def setup(self, worker: Any) -> None:
        """Wait for that."""
        (Path(self.directory) / f"{worker.name}.pipe").read_bytes()


class Awaits(Note):
    """Is set up by a coroutine."""

    async def setup(self, worker: Any) -> None:  # type: ignore[override]
        """Go through a loop."""
        import trio

        await trio.lowlevel.checkpoint()
        self._say(worker, self.text)


class Refuses(WorkerPlugin):
    """Cannot be set up on one of the workers."""

    def __init__(self, worker: str, *, once: str = "") -> None:
        self.worker = worker
        self.once = once

    def setup(self, worker: Any) -> None:
        """As its name says."""
        if worker.name == self.worker and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            message = f"not on {worker.name}"
            raise OSError(message)
