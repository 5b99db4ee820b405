"""A block whose work becomes a page, `performance_report`, or data, `get_task_stream`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.client import AsyncClient, Client
from trio_dask.dashboard import Recorder, dashboard_token, report_page, source_at, task_stream
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    import os

    from trio_dask.dashboard import Recorded

_NONE: Final = (
    "this cluster has no dashboard, which a report is made from: start it with one, "
    'for example LocalCluster(dashboard_address=":0")'
)


class _Recording(ABC):
    """A block during which the cluster is looked at, of code that blocks or awaits."""

    _recorder: Recorder | None = None

    @abstractmethod
    def _take(self, recorded: Recorded) -> None:
        """The block has ended, and this is what there was; may block."""

    def __enter__(self) -> Self:
        client = Client.current()
        link = client.run_blocking(client.live.ask("dashboard", {}))["link"]
        self._recorder = _recorder(client, link).begin()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._recorder is not None
        self._take(self._recorder.finish())

    async def __aenter__(self) -> Self:
        import anyio.to_thread

        client = AsyncClient.current()
        link = (await client.live.ask("dashboard", {}))["link"]
        recorder = _recorder(client, link)
        try:
            self._recorder = await anyio.to_thread.run_sync(recorder.begin)
        except BaseException:
            recorder.give_up()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        import anyio.to_thread

        recorder = self._recorder
        assert recorder is not None
        with anyio.CancelScope(shield=True):  # bounded: it asks three things, each with a limit
            recorded = await anyio.to_thread.run_sync(recorder.finish)
            await anyio.to_thread.run_sync(self._take, recorded)


class performance_report(_Recording):  # noqa: N801 - it is used as Dask's function is
    """Write down what the cluster does during a block, as one page that needs nothing else.

    For code that blocks, and with ``async with`` for code that awaits; the client is the one
    that `Client.current` finds, or `AsyncClient.current`. The page has the task stream,
    functions, throughput, memory, workers, failures and what has happened. It is written
    also if the block fails.

    Args:
        filename: where; what is there is replaced.
        title: what stands above it.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str] = "dask-report.html",
        *,
        title: str = "Performance report",
    ) -> None:
        self._path = Path(filename)
        self._title = title

    def _take(self, recorded: Recorded) -> None:
        written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        page = report_page(recorded, title=self._title, written=written)
        self._path.write_text(page, encoding="utf-8")


class get_task_stream(_Recording):  # noqa: N801 - it is used as Dask's function is
    """Which tasks run when and where during a block, as data.

    Used as `performance_report` is. After the block `data` has what the task stream of the
    dashboard draws: a row for each task that has ended in it, in the order in which they began.
    Tasks below 25 ms are told of together with those beside them: such a row has no key, and says
    how many `tasks` it stands for. Of very many at once, on more than 64 threads, some are left out.

    Attributes:
        data: dicts with ``key``, ``prefix`` (the function), ``tasks``, ``worker`` (its address),
            ``thread`` (a number), ``status`` (``OK``, ``error``, ``cancelled``) and
            ``startstops``, of which the one entry has ``action``, ``start`` and ``stop`` in
            seconds since 1970.
    """

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []

    def _take(self, recorded: Recorded) -> None:
        mirror = recorded.mirror
        blocks = [row for row in mirror.blocks if row[2] + row[3] >= recorded.began]
        self.data = task_stream(
            blocks, mirror.names, workers=recorded.workers, epoch=recorded.epoch
        )


def _recorder(client: Any, link: str) -> Recorder:
    if not link:
        raise ConfigError(_NONE)
    keys = client.live.entrance.keys
    return Recorder(source_at(link, dashboard_token(keys), keys.tls))
