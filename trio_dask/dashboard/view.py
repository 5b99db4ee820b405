"""What the dashboard shows, as it is asked for: the scheduler's view fits, and so do others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

#: What the columns of a view's rows are; memory in MiB, processors in percent of one.
WORKER_COLUMNS: Final = ("processing", "held", "memory", "cpu", "slots", "status", "silent_s")
WORKER_FIXED: Final = ("name", "address", "host", "nthreads", "memory_limit", "lanes")
GROUP_COLUMNS: Final = (
    "waiting", "ready", "assigned", "done", "failed", "released", "cancelled", "lost",
    "nbytes", "runs", "failures", "seconds",
)  # fmt: skip
STATES: Final = GROUP_COLUMNS[:8]
#: The pages by their paths, in order.
PAGES: Final = {
    "status": "status", "workers": "workers", "tasks": "tasks", "graph": "graph",
    "profile": "profile", "failures": "failures", "events-log": "events", "logs": "logs", "system": "system",
}  # fmt: skip


class View(Protocol):
    """A window on a cluster; see `trio_dask.scheduler.observing`."""

    @property
    def began(self) -> float:
        """When the scheduler began, on the clock that `now` is of."""

    def watch(self) -> None:
        """Somebody looks."""

    def unwatch(self) -> None:
        """Nobody looks any more."""

    @property
    def size(self) -> int:
        """How many tasks there are."""

    def census(self) -> Generator[None, None, None]:
        """Count tasks by state."""

    def traffic(self) -> dict[str, int]:
        """What has gone through the scheduler's connections."""

    def identity(self) -> dict[str, Any]:
        """What never changes."""

    def totals(self) -> dict[str, Any]:
        """The whole cluster in a few numbers."""

    def worker_rows(self, now: float) -> dict[int, tuple[Any, ...]]:
        """What changes of workers."""

    def worker_fixed(self) -> dict[int, tuple[Any, ...]]:
        """What does not."""

    def group_rows(self, limit: int | None = ...) -> dict[str, tuple[Any, ...]]:
        """Tasks by function."""

    def blocks(self) -> tuple[list[tuple[Any, ...]], int]:
        """Finished tasks since the last time."""

    def workers(self, now: float) -> list[dict[str, Any]]:
        """Every worker, in short."""

    def worker(self, name: str, now: float) -> dict[str, Any] | None:
        """A worker, by name or address."""

    def task(self, key: str, now: float) -> dict[str, Any] | None:
        """A task, by key."""

    def search(
        self, *, text: str = ..., name: str = ..., state: str = ..., limit: int = ...
    ) -> Generator[None, None, dict[str, Any]]:
        """Tasks that fit."""

    def failures(self, now: float, limit: int = ...) -> list[dict[str, Any]]:
        """The last failures."""

    def events(self, now: float) -> list[dict[str, Any]]:
        """What has happened to the cluster."""

    def logs(self, now: float) -> list[dict[str, Any]]:
        """The last lines of the log."""

    def graph(self, *, name: str = ..., limit: int = ...) -> Generator[None, None, dict[str, Any]]:
        """Who takes whose values."""

    def clients(self) -> list[dict[str, Any]]:
        """Who is connected."""

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """What is answered to a client that asks this; ValueError if it makes no sense."""
