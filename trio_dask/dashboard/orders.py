"""What can be changed from here: by POST alone, by those whom the gate lets through.

All of it is what a client may ask of the scheduler, and is asked in the same way.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_dask.dashboard.plain import plain

if TYPE_CHECKING:
    from starlette.requests import Request

    from trio_dask.dashboard.view import View

logger: Final = logging.getLogger("trio_dask.dashboard")

_TASK: Final = re.compile(r"/api/v1/tasks/.+/cancel")
_ORDERS: Final = ("/api/v1/retire_workers", "/api/v1/restart_workers", "/api/v1/restart")
_BODY_MAX: Final = 64 * 1024
#: What takes longer goes on, and is answered by saying so.
PATIENCE_S: Final = 10.0


def is_order(method: str, path: str) -> bool:
    """Whether this request is to change something."""
    return method == "POST" and (path in _ORDERS or _TASK.fullmatch(path) is not None)


class Orders:
    """The routes over one view."""

    def __init__(self, view: View) -> None:
        self._view: Final = view

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/v1/retire_workers", self.retire, methods=["POST"]),
            Route("/api/v1/restart_workers", self.restart_workers, methods=["POST"]),
            Route("/api/v1/restart", self.restart, methods=["POST"]),
            Route("/api/v1/tasks/{key:path}/cancel", self.cancel, methods=["POST"]),
        ]

    async def retire(self, request: Request) -> Response:
        """Workers leave in good order: those that are named, or as many as are not needed."""
        return await self._order(request, "retire_workers", ("workers", "n", "minimum"))

    async def restart_workers(self, request: Request) -> Response:
        """The processes that run the tasks of these workers are replaced."""
        return await self._order(request, "restart_workers", ("workers",))

    async def restart(self, request: Request) -> Response:
        """All tasks are forgotten, all processes that run them replaced."""
        return await self._order(request, "restart", ())

    async def cancel(self, request: Request) -> Response:
        """A task is stopped, whoever wants it."""
        keys = [request.path_params["key"]]
        answer = await self._order(request, "cancel_keys", (), keys=keys)
        if answer.status_code == _OK and json.loads(bytes(answer.body))["unknown"]:
            return _error(f"no task {keys[0]!r:.200}", 404)
        return answer

    async def _order(
        self, request: Request, topic: str, known: tuple[str, ...], **more: Any
    ) -> Response:
        params = await _params(request)
        if params is None:
            return _error("the body is a JSON object, or nothing", 400)
        if unknown := [name for name in params if name not in known]:
            return _error(f"there is no {unknown[0]!r:.100} here: {', '.join(known)}", 400)
        logger.info("%s, by order of a viewer at %s", topic, _place(request))
        with anyio.move_on_after(PATIENCE_S):
            try:
                answer = await self._view.ask(topic, {**params, **more})
            except ValueError as error:
                return _error(str(error), 400)
            return JSONResponse(plain(answer))
        return JSONResponse({"under_way": True}, 202)


async def _params(request: Request) -> dict[str, Any] | None:
    body = b""
    async with aclosing(request.stream()) as stream:
        async for part in stream:
            body += part
            if len(body) > _BODY_MAX:
                return None
    try:
        params = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    return params if type(params) is dict else None


def _place(request: Request) -> str:
    return request.client.host if request.client is not None else "an unknown place"


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)


_OK: Final = 200
