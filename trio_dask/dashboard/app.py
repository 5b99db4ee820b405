"""The dashboard as an ASGI application over a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

from trio_dask.dashboard import shell
from trio_dask.dashboard.access import Door
from trio_dask.dashboard.api import Api
from trio_dask.dashboard.events import Events
from trio_dask.dashboard.feed import Feed
from trio_dask.dashboard.gate import Gate
from trio_dask.dashboard.looking import Looking
from trio_dask.dashboard.orders import Orders
from trio_dask.dashboard.view import PAGES

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from trio_dask.comm import Keys
    from trio_dask.dashboard.view import View

#: Those with something behind them have pages of their own; each is made by the browser.
_WITH_PARTS: Final = ("workers", "tasks", "profile")


def app(
    view: View,
    *,
    keys: Keys | None = None,
    feed: Feed | None = None,
    prefix: str = "",
) -> ASGIApp:
    """The application; it runs on the loop of what it shows.

    Args:
        view: what it shows.
        keys: the cluster's: who asks from elsewhere needs the dashboard's token. Without them
            nobody is asked for anything: mount it only behind something that does.
        feed: what tells viewers what has changed; one of its own by default.
        prefix: the path that a proxy shows it under, where the proxy leaves that in.
    """
    feed = Feed(view) if feed is None else feed
    pages = [Route(f"/{name}", shell.page) for name in PAGES]
    pages += [Route(f"/{name}/{{part:path}}", shell.page) for name in _WITH_PARTS]
    router = Router(
        [
            Route("/", _to_status),
            Route("/events", _Plain(Events(feed))),
            Route("/static/{version}/{name}", shell.static),
            *Api(view, feed).routes(),
            *Looking(view).routes(),
            *Orders(view).routes(),
            *pages,
        ],
        redirect_slashes=False,
    )
    return Gate(router, Door(keys) if keys is not None else None, prefix)


class _Plain:
    """Tells the router that this is an application, and no function of a request."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)


async def _to_status(request: Request) -> Response:
    return RedirectResponse(shell.root_of(request.scope) + "status", 307)
