"""What has run when and where, as data and as a page: for both clients.

What they are made of is above the clients, where clusters are, and is looked up when it is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from trio_dask.client.base import BaseClient
from trio_dask.client.entrance import reporting
from trio_dask.errors import TrioDaskError

if TYPE_CHECKING:
    import os
    from collections.abc import Coroutine

    from trio_dask.deploy import TaskStream, performance_report


class _Looking(BaseClient):
    """A client that may have begun to look. What is here blocks, in whichever thread."""

    _stream: TaskStream | None = None

    def _looked(
        self,
        link: str,
        start: float | str | None,
        stop: float | str | None,
        count: int | None,
    ) -> list[dict[str, Any]]:
        """What there is to see; begins to look if nobody has."""
        stream = self._stream
        if stream is None:
            mine = reporting().TaskStream(self, link).begin()
            with self.live.lock:
                if self._stream is None and self.live.state == "open":
                    self._stream = mine
                stream = self._stream
            if stream is not mine:  # another thread was faster, or the client was closed
                mine.end()
            if stream is None:
                return []
        try:
            return stream.rows(start, stop, count)
        except TrioDaskError:
            self._look_no_more()  # so that the next call begins anew
            raise

    def _look_no_more(self) -> None:
        with self.live.lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()


class AsyncReporting(_Looking):
    """The methods of the client that is awaited."""

    async def get_task_stream(
        self,
        start: float | str | None = None,
        stop: float | str | None = None,
        count: int | None = None,
    ) -> list[dict[str, Any]]:
        """Which tasks have run when and where: all that the dashboard's task stream has drawn.

        The first call begins to look, and gives what those who have looked before have seen, if
        anything; the next ones give what has run since, too, the last 50,000 rows. It goes on until
        the client is closed, and costs what a viewer of the dashboard does.

        Args:
            start: only what still ran at this time, in seconds since 1970, or later; text such as
                ``"60s"`` is so long ago.
            stop: only what had begun by then.
            count: the first so many after `start`; without `start` the last so many. With both
                `start` and `stop` it means nothing.

        Returns:
            Rows as `trio_dask.get_task_stream` has them in its `data`.

        Raises:
            ConfigError: the cluster has no dashboard.
            TrioDaskError: it does not answer.
        """
        link = "" if self._stream is not None else await self._dashboard_link()
        return await anyio.to_thread.run_sync(self._looked, link, start, stop, count)

    def performance_report(
        self,
        filename: str | os.PathLike[str] = "dask-report.html",
        *,
        title: str = "Performance report",
    ) -> performance_report:
        """A block whose work becomes a page: `trio_dask.performance_report`, of this client's cluster."""
        made: performance_report = reporting().performance_report(
            filename, title=title, client=self
        )
        return made

    async def _end_looking(self) -> None:
        if self._stream is not None:
            with anyio.CancelScope(shield=True):  # it has no more to do than to end a thread
                await anyio.to_thread.run_sync(self._look_no_more)


class Reporting(_Looking):
    """The methods of the client that blocks."""

    def run_blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of this client's in this thread."""
        raise NotImplementedError

    def get_task_stream(
        self,
        start: float | str | None = None,
        stop: float | str | None = None,
        count: int | None = None,
    ) -> list[dict[str, Any]]:
        """Which tasks have run when and where: all that the dashboard's task stream has drawn.

        The first call begins to look, and gives what those who have looked before have seen, if
        anything; the next ones give what has run since, too, the last 50,000 rows. It goes on until
        the client is closed, and costs what a viewer of the dashboard does.

        Args:
            start: only what still ran at this time, in seconds since 1970, or later; text such as
                ``"60s"`` is so long ago.
            stop: only what had begun by then.
            count: the first so many after `start`; without `start` the last so many. With both
                `start` and `stop` it means nothing.

        Returns:
            Rows as `trio_dask.get_task_stream` has them in its `data`.

        Raises:
            ConfigError: the cluster has no dashboard.
            TrioDaskError: it does not answer.
        """
        link = "" if self._stream is not None else self.run_blocking(self._dashboard_link())
        return self._looked(link, start, stop, count)

    def performance_report(
        self,
        filename: str | os.PathLike[str] = "dask-report.html",
        *,
        title: str = "Performance report",
    ) -> performance_report:
        """A block whose work becomes a page: `trio_dask.performance_report`, of this client's cluster."""
        made: performance_report = reporting().performance_report(
            filename, title=title, client=self
        )
        return made
