"""`performance_report`: a block whose work becomes a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.client import AsyncClient, Client
from trio_dask.dashboard import Recorder, dashboard_token, report_page, source_at
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    import os

    from trio_dask.dashboard import Recorded

_NONE: Final = (
    "this cluster has no dashboard, which a report is made from: start it with one, "
    'for example LocalCluster(dashboard_address=":0")'
)


class performance_report:  # noqa: N801 - it is used as Dask's function is
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
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        client = Client.current()
        link = client.run_blocking(client.live.ask("dashboard", {}))["link"]
        self._recorder = _recorder(client, link).begin()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._recorder is not None
        self._write(self._recorder.finish())

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
            await anyio.to_thread.run_sync(self._write, recorded)

    def _write(self, recorded: Recorded) -> None:
        written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        page = report_page(recorded, title=self._title, written=written)
        self._path.write_text(page, encoding="utf-8")


def _recorder(client: Any, link: str) -> Recorder:
    if not link:
        raise ConfigError(_NONE)
    keys = client.live.entrance.keys
    return Recorder(source_at(link, dashboard_token(keys), keys.tls))
