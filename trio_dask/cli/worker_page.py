"""A page and metrics of the worker's process, where they are asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import trio
from cyclopts import Parameter

from trio_dask.cli.options import DASHBOARD_OPTIONS
from trio_dask.dashboard import DashboardOptions
from trio_dask.worker import WorkersView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.comm import Keys
    from trio_dask.config import Config
    from trio_dask.worker import WorkerHandle

logger: Final = logging.getLogger("trio_dask.worker")


@Parameter(name="*", group=DASHBOARD_OPTIONS)
@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """A page of the process.

    Args:
        dashboard: Have a page and metrics of this process; the scheduler's dashboard has a page
            for each worker in any case. [default: no, unless there is an address]
        dashboard_address: Where it is, as `:0` or `127.0.0.1:8788`; without a host, on
            all interfaces. A port that is in use is replaced by a free one. [default: :0]
        dashboard_prefix: The path under which a proxy shows it, if the proxy leaves that in.
    """

    dashboard: Annotated[bool | None, Parameter()] = None
    dashboard_address: str | None = None
    dashboard_prefix: str | None = None

    def overrides(self) -> dict[str, Any]:
        """As settings."""
        wanted = self.dashboard
        if wanted is None and self.dashboard_address is not None:
            wanted = True
        return {
            "worker.dashboard": wanted,
            "worker.dashboard_address": self.dashboard_address,
            "worker.dashboard_prefix": self.dashboard_prefix,
        }


class Crew(Protocol):
    """Workers that will be there."""

    @property
    def there(self) -> trio.Event:
        """Set when they are."""

    @property
    def handle(self) -> WorkerHandle | None:
        """They, once they are there."""


async def beside_page(
    config: Config, keys: Keys, crew: Crew, run: Callable[[], Awaitable[None]]
) -> None:
    """Run workers, with a page as soon as they are there, if one is wanted."""
    if not config.worker.dashboard:
        await run()
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show, config, keys, crew, nursery)
        await run()
        nursery.cancel_scope.cancel("the workers have ended")


async def _show(config: Config, keys: Keys, crew: Crew, nursery: trio.Nursery) -> None:
    from trio_dask.dashboard import run_worker_page  # few want it

    await crew.there.wait()
    assert crew.handle is not None
    settings = config.worker
    options = DashboardOptions(
        address=settings.dashboard_address,
        host=settings.host,
        prefix=settings.dashboard_prefix,
        https=config.comm.tls.dashboard,
    )
    shown = await nursery.start(run_worker_page, WorkersView(crew.handle), keys, options)
    logger.info("  dashboard at:   %s", shown.link)
