"""Routes for programs: JSON of our own, what Dask's tools ask for, health and metrics."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from trio_dask import __version__
from trio_dask.dashboard.graphs import Graphs
from trio_dask.dashboard.metrics import metrics_text
from trio_dask.dashboard.openapi import openapi
from trio_dask.dashboard.plain import plain
from trio_dask.dashboard.shell import root_of
from trio_dask.dashboard.timeline import chrome_trace
from trio_dask.dashboard.view import GROUP_COLUMNS, PAGES, STATES, WORKER_FIXED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request

    from trio_dask.dashboard.feed import Feed
    from trio_dask.dashboard.view import View

_LIMIT_MAX: Final = 1_000
_NODES_MAX: Final = 5_000


class Api:
    """The routes over one view."""

    def __init__(self, view: View, feed: Feed) -> None:
        self._view: Final = view
        self._feed: Final = feed
        self._graphs: Final = Graphs(view)

    def routes(self) -> list[Route]:
        """All of them."""
        found: dict[str, Callable[[Request], Coroutine[Any, Any, Response]]] = {
            "/health": self.health,
            "/ready": self.ready,
            "/metrics": self.metrics,
            "/api/v1/openapi.json": self.openapi,
            "/api/v1/cluster": self.cluster,
            "/api/v1/workers": self.workers,
            "/api/v1/workers/{name:path}": self.worker,
            "/api/v1/groups": self.groups,
            "/api/v1/tasks": self.tasks,
            "/api/v1/tasks/{key:path}": self.task,
            "/api/v1/failures": self.failures,
            "/api/v1/events": self.events,
            "/api/v1/logs": self.logs,
            "/api/v1/graph": self.graph,
            "/api/v1/timeline": self.timeline,
            "/api/v1/clients": self.clients,
            "/api/v1/system": self.system,
            "/api/v1/get_workers": self.get_workers,
            "/api/v1/adaptive_target": self.adaptive_target,
            "/api/v1/may": self.may,
            "/json/counts.json": self.counts,
            "/json/identity.json": self.identity,
            "/individual-plots.json": self.plots,
        }
        moved = {
            "/info": "workers",
            "/info/main/workers.html": "workers",
            "/info/main/exceptions.html": "failures",
            "/info/worker/{name:path}.html": "workers/{name}",
            "/info/task/{name:path}.html": "tasks/{name}",
        }
        return [
            *(Route(path, endpoint) for path, endpoint in found.items()),
            *(Route(path, _redirect(to)) for path, to in moved.items()),
        ]

    # ------------------------------------------------------------ for what looks after us

    async def health(self, request: Request) -> Response:
        """Alive."""
        return PlainTextResponse("ok")

    async def ready(self, request: Request) -> Response:
        """Whether there is a worker to run tasks."""
        workers = self._view.totals()["slots"]
        return PlainTextResponse("ok" if workers else "no workers", 200 if workers else 503)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        text = metrics_text(self._view)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """What there is, for programs that make clients."""
        return _json(openapi(__version__))

    # ------------------------------------------------------------ ours

    async def cluster(self, request: Request) -> Response:
        """All in a few numbers."""
        feed, now = self._feed, anyio.current_time()
        return _json(
            {
                **self._view.identity(),
                "uptime_s": feed.time(now),
                # Who follows the stream and has heard this event knows all until then.
                "told": feed.seq,
                "told_s": feed.time(feed.turned),
                **self._view.totals(),
            }
        )

    async def workers(self, request: Request) -> Response:
        """Every worker."""
        return _json({"workers": self._view.workers(anyio.current_time())})

    async def worker(self, request: Request) -> Response:
        """One worker."""
        name = request.path_params["name"]
        return _found(self._view.worker(name, anyio.current_time()), f"no worker {name!r:.200}")

    async def groups(self, request: Request) -> Response:
        """Tasks by function, counted now."""
        for _ in self._view.census():
            await anyio.lowlevel.checkpoint()
        rows = self._view.group_rows(None)
        groups = [
            {"name": name, **dict(zip(GROUP_COLUMNS, row, strict=True))}
            for name, row in rows.items()
        ]
        return _json({"groups": groups})

    async def tasks(self, request: Request) -> Response:
        """Tasks that fit."""
        query = request.query_params
        state, limit = query.get("state", ""), query.get("limit", "50")
        if (state and state not in STATES) or not (
            limit.isascii() and limit.isdecimal() and len(limit) < 9
        ):
            return _json({"error": f"state is one of {', '.join(STATES)}; limit a number"}, 400)
        search = self._view.search(
            text=query.get("text", ""), name=query.get("name", ""), state=state,
            limit=min(int(limit), _LIMIT_MAX),
        )  # fmt: skip
        while True:
            try:
                next(search)
            except StopIteration as end:
                return _json(end.value)
            await anyio.lowlevel.checkpoint()

    async def task(self, request: Request) -> Response:
        """One task, and why it is where it is."""
        key = request.path_params["key"]
        gone = f"no task {key!r:.200}: nobody needs it any more, or it never was"
        return _found(self._view.task(key, anyio.current_time()), gone)

    async def failures(self, request: Request) -> Response:
        """The last failures."""
        return _json({"failures": self._view.failures(anyio.current_time())})

    async def events(self, request: Request) -> Response:
        """What has happened to the cluster."""
        return _json({"events": self._view.events(anyio.current_time())})

    async def logs(self, request: Request) -> Response:
        """The last lines of the scheduler's log."""
        return _json({"lines": self._view.logs(anyio.current_time())})

    async def graph(self, request: Request) -> Response:
        """Who takes whose values; looked at anew when that has been a while ago."""
        query = request.query_params
        limit = query.get("tasks", "0")
        if not (limit.isascii() and limit.isdecimal() and len(limit) < 9):
            return _json({"error": "tasks is a number"}, 400)
        what = query.get("name", ""), min(int(limit), _NODES_MAX)
        return _json(await self._graphs.get(what, anyio.current_time()))

    async def timeline(self, request: Request) -> Response:
        """What has been seen of the task stream, for chrome://tracing and the like."""
        workers = {
            number: row[WORKER_FIXED.index("name")]
            for number, row in self._view.worker_fixed().items()
        }
        answer = _json(chrome_trace(*self._feed.stream(), workers=workers))
        answer.headers["content-disposition"] = 'attachment; filename="timeline.json"'
        return answer

    async def clients(self, request: Request) -> Response:
        """Who is connected."""
        return _json({"clients": self._view.clients()})

    async def system(self, request: Request) -> Response:
        """The scheduler's own process."""
        import psutil

        process = psutil.Process()
        with process.oneshot():
            times = process.cpu_times()
            return _json(
                {
                    "pid": os.getpid(),
                    "host": os.uname().nodename,
                    "python": sys.version.split()[0],
                    "version": __version__,
                    "rss": process.memory_info().rss,
                    "cpu_s": times.user + times.system,
                    "threads": process.num_threads(),
                    "descriptors": process.num_fds() if hasattr(process, "num_fds") else 0,
                    "viewers": self._feed.viewers,
                    "uptime_s": self._feed.time(anyio.current_time()),
                    "garbage_searches": sum(each["collections"] for each in gc.get_stats()),
                    "garbage_found": sum(each["collected"] for each in gc.get_stats()),
                    **self._view.traffic(),
                }
            )

    # ------------------------------------------------------------ as Dask's

    async def get_workers(self, request: Request) -> Response:
        """Names and addresses."""
        workers = self._view.workers(anyio.current_time())
        listed = [{"name": each["name"], "address": each["address"]} for each in workers]
        return _json({"num_workers": len(workers), "workers": listed})

    async def adaptive_target(self, request: Request) -> Response:
        """How many workers there should be for what there is to do, and may be if that is kept to."""
        try:
            answer = await self._view.ask("workers_wanted", {})
        except ValueError as error:
            return _json({"error": str(error)}, 503)
        return _json({"workers": answer["wanted"], "adapting": answer["adapting"]})

    async def may(self, request: Request) -> Response:
        """What a viewer may do where nobody is asked who he is: look."""
        return _json({"orders": False, "mark": ""})

    async def counts(self, request: Request) -> Response:
        """Dask's numbers, as far as they make sense here."""
        totals, workers = self._view.totals(), self._view.workers(anyio.current_time())
        for _ in self._view.census():
            await anyio.lowlevel.checkpoint()
        rows = self._view.group_rows(None).values()
        states = {name: sum(row[at] for row in rows) for at, name in enumerate(GROUP_COLUMNS[:9])}
        return _json(
            {
                "bytes": states["nbytes"],
                "clients": totals["clients"],
                "cores": sum(each["nthreads"] for each in workers),
                "erred": states["failed"],
                "hosts": len({each["host"] for each in workers}),
                "idle": sum(each["processing"] < each["slots"] for each in workers),
                "memory": states["done"],
                "processing": totals["processing"],
                "released": states["released"],
                "saturated": sum(each["processing"] > each["slots"] > 0 for each in workers),
                "tasks": totals["tasks"],
                "unrunnable": 0 if totals["slots"] else states["ready"],
                "waiting": states["waiting"],
                "waiting_data": states["ready"],
                "workers": totals["workers"],
                "desired_workers": totals["workers"],
            }
        )

    async def identity(self, request: Request) -> Response:
        """Dask's description of a scheduler."""
        view, now = self._view, anyio.current_time()
        workers = {each["address"]: each for each in view.workers(now)}
        identity, totals = view.identity(), view.totals()
        return _json(
            {
                "type": "Scheduler",
                "id": identity["cluster"],
                "address": identity["address"],
                "services": {"dashboard": request.url.port or 80},
                "n_workers": totals["workers"],
                "total_threads": sum(each["nthreads"] for each in workers.values()),
                "total_memory": totals["memory_limit"],
                "workers": workers,
            }
        )

    async def plots(self, request: Request) -> Response:
        """What JupyterLab's extension offers to show."""
        return _json({name.capitalize(): f"/{path}" for path, name in PAGES.items()})


def _json(content: Any, status: int = 200) -> Response:
    return JSONResponse(plain(content), status)


def _found(content: dict[str, Any] | None, missing: str) -> Response:
    return _json({"error": missing}, 404) if content is None else _json(content)


def _redirect(to: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def moved(request: Request) -> Response:
        name = quote(request.path_params.get("name", ""), safe="")
        return RedirectResponse(root_of(request.scope) + to.replace("{name}", name), 307)

    return moved
