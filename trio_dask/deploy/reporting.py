"""Work that becomes a page, `performance_report`, or data, `get_task_stream`; for a block, or so far."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from trio_dask.client import AsyncClient, Client
from trio_dask.config import parse_seconds
from trio_dask.dashboard import Recorder, dashboard_token, report_page, source_at, task_stream
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from trio_dask.dashboard import Recorded

_NONE: Final = (
    "this cluster has no dashboard, which a report is made from: start it with one, "
    'for example LocalCluster(dashboard_address=":0")'
)


class _Recording(ABC):
    """A block during which the cluster is looked at, of code that blocks or awaits."""

    _client: Client | AsyncClient | None = None
    _recorder: Recorder | None = None

    @abstractmethod
    def _take(self, recorded: Recorded) -> None:
        """The block has ended, and this is what there was; may block."""

    def __enter__(self) -> Self:
        client = Client.current() if self._client is None else self._client
        if not isinstance(client, Client):
            msg = f"with an {type(client).__name__} it is `async with`"
            raise TypeError(msg)
        link = client.run_blocking(client.live.ask("dashboard", {}))["link"]
        self._recorder = _recorder(client, link).begin()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._recorder is not None
        self._take(self._recorder.finish())

    async def __aenter__(self) -> Self:
        import anyio.to_thread

        client = AsyncClient.current() if self._client is None else self._client
        if not isinstance(client, AsyncClient):
            msg = f"with a {type(client).__name__} it is `with`, and blocks"
            raise TypeError(msg)
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

    For code that blocks, and with ``async with`` for code that awaits. The page has the task
    stream, functions, throughput, memory, workers, failures and what has happened. It is written
    also if the block fails.

    Args:
        filename: where; what is there is replaced.
        title: what stands above it.
        client: whose cluster; else the client that `Client.current` finds, or
            `AsyncClient.current`.

    Raises:
        ConfigError: the cluster has no dashboard.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str] = "dask-report.html",
        *,
        title: str = "Performance report",
        client: Client | AsyncClient | None = None,
    ) -> None:
        self._path = Path(filename)
        self._title = title
        self._client = client

    def _take(self, recorded: Recorded) -> None:
        _write(self._path, recorded, self._title)


class get_task_stream(_Recording):  # noqa: N801 - it is used as Dask's function is
    """Which tasks run when and where during a block, as data.

    Used as `performance_report` is. After the block `data` has what the task stream of the
    dashboard draws: a row for each task that has ended in it, in the order in which they began.
    Tasks below 25 ms are told of together with those beside them: such a row has no key, and says
    how many `tasks` it stands for. Of very many at once, on more than 64 threads, some are left out.

    Args:
        client: as for `performance_report`.
        plot: with ``"save"`` what `performance_report` shows is written to `filename`, too.
        filename: where to.

    Attributes:
        data: dicts with ``key``, ``prefix`` (the function), ``tasks``, ``worker`` (its address),
            ``thread`` (a number), ``status`` (``OK``, ``error``, ``cancelled``) and
            ``startstops``, of which the one entry has ``action``, ``start`` and ``stop`` in
            seconds since 1970.
    """

    def __init__(
        self,
        client: Client | AsyncClient | None = None,
        plot: Literal[False, "save"] = False,  # noqa: FBT002 - as in Dask
        filename: str | os.PathLike[str] = "task-stream.html",
    ) -> None:
        if plot not in {False, "save"}:
            msg = f"plot={plot!r}: it is 'save', which writes a page to filename="
            raise ValueError(msg)
        self._client = client
        self._path = Path(filename) if plot else None
        self.data: list[dict[str, Any]] = []

    def _take(self, recorded: Recorded) -> None:
        self.data = _rows(recorded)
        if self._path is not None:
            _write(self._path, recorded, "Task stream")


class TaskStream:
    """The task stream of a cluster for as long as a client is open: `Client.get_task_stream`.

    All of it blocks.
    """

    def __init__(self, client: Any, link: str) -> None:
        self._recorder = _recorder(client, link, past=True)

    def begin(self) -> Self:
        """Look from now on.

        Raises:
            TrioDaskError: we may not, or nobody answers.
        """
        self._recorder.begin()
        return self

    def rows(
        self, start: float | str | None, stop: float | str | None, count: int | None
    ) -> list[dict[str, Any]]:
        """What `Client.get_task_stream` gives.

        Raises:
            TrioDaskError: nobody answers any more.
        """
        recorded = self._recorder.so_far()
        return between(_rows(recorded), start, stop, count, now=_now)

    def end(self) -> None:
        """Look no more."""
        self._recorder.give_up()


def between(
    rows: list[dict[str, Any]],
    start: float | str | None,
    stop: float | str | None,
    count: int | None,
    *,
    now: Callable[[], float],
) -> list[dict[str, Any]]:
    """Those of `rows`, which are in order, that ran after `start` and before `stop`.

    >>> rows = [{"startstops": [{"start": t, "stop": t + 1.0}]} for t in (10.0, 20.0, 30.0)]
    >>> starts = lambda *choice: [
    ...     row["startstops"][0]["start"] for row in between(rows, *choice, now=lambda: 40.0)
    ... ]
    >>> starts(20.5, None, None), starts(None, "15s", None), starts(None, None, 1)
    ([20.0, 30.0], [10.0, 20.0], [30.0])
    >>> starts(15.0, None, 1), starts(15.0, 40.0, 1)
    ([20.0], [20.0, 30.0])
    """
    first, last = (
        now() - parse_seconds(each) if isinstance(each, str) else each for each in (start, stop)
    )
    chosen = [
        row
        for row in rows
        for ran in row["startstops"]
        if (first is None or ran["stop"] >= first) and (last is None or ran["start"] <= last)
    ]
    if count is None or (first is not None and last is not None):
        return chosen
    return chosen[:count] if first is not None else chosen[max(0, len(chosen) - count) :]


def _rows(recorded: Recorded) -> list[dict[str, Any]]:
    mirror = recorded.mirror
    blocks = [row for row in list(mirror.blocks) if row[2] + row[3] >= recorded.began]
    return task_stream(blocks, mirror.names, workers=recorded.workers, epoch=recorded.epoch)


def _write(path: Path, recorded: Recorded, title: str) -> None:
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    path.write_text(report_page(recorded, title=title, written=written), encoding="utf-8")


def _recorder(client: Any, link: str, *, past: bool = False) -> Recorder:
    if not link:
        raise ConfigError(_NONE)
    keys = client.live.entrance.keys
    return Recorder(source_at(link, dashboard_token(keys), keys.tls), past=past)


def _now() -> float:
    return datetime.now(UTC).timestamp()
