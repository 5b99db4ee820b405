"""The page of a worker's process, and its routes for programs: small, and whole without scripts.

Everything about a worker is on the scheduler's dashboard as well; this is for what looks after
machines, and for those who can reach nothing else.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route, Router

from trio_dask.dashboard import shell
from trio_dask.dashboard.access import Door
from trio_dask.dashboard.gate import Gate
from trio_dask.dashboard.metrics import label, process_lines
from trio_dask.dashboard.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from trio_dask.comm import Keys

_ROOM: Final = "trio_dask_worker_"
#: Names, types, what they are, and where in what is known of a worker.
_METRICS: Final = (
    ("threads", "gauge", "Slots for tasks.", ("nthreads",)),
    ("tasks_given", "gauge", "Tasks in its process.", ("books", "in_runner")),
    ("tasks_running", "gauge", "Tasks that have a slot.", ("running",)),
    ("tasks_waiting_data", "gauge", "Tasks that wait for inputs.", ("books", "waiting")),
    ("values_held", "gauge", "Values that only its process has.", ("books", "held")),
    ("transfer_incoming_count", "gauge", "Requests for values to others.", ("books", "requests")),
    ("transfer_outgoing_count", "gauge", "Requests of others.", ("books", "unanswered")),
    ("runner_memory_bytes", "gauge", "Memory of its process for tasks.", ("runner", "rss")),
    ("runner_cpu_seconds", "gauge", "Processor time of that process.", ("runner", "cpu_s")),
)


class WorkerView(Protocol):
    """A window on the workers of a process."""

    def workers(self) -> list[dict[str, Any]]:
        """Each worker: name, address, nthreads, running, books, runner."""

    def process(self) -> dict[str, Any]:
        """What they share: scheduler, store_bytes, pid, host."""

    def logs(self, now: float) -> list[dict[str, Any]]:
        """The last lines of the log, the newest first."""


def worker_app(view: WorkerView, *, keys: Keys | None = None, prefix: str = "") -> ASGIApp:
    """The application; who may see it is as on the scheduler's dashboard."""
    pages = _Pages(view)
    router = Router(
        [
            Route("/", _to_status),
            Route("/status", pages.status),
            Route("/health", pages.health),
            Route("/metrics", pages.metrics),
            Route("/api/v1/workers", pages.workers),
            Route("/api/v1/logs", pages.logs),
            Route("/static/{version}/{name}", shell.static),
        ],
        redirect_slashes=False,
    )
    return Gate(router, Door(keys) if keys is not None else None, prefix)


async def _to_status(request: Request) -> Response:
    return RedirectResponse(shell.root_of(request.scope) + "status", 307)


class _Pages:
    def __init__(self, view: WorkerView) -> None:
        self._view: Final = view

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def metrics(self, request: Request) -> Response:
        text = "".join(_metrics(self._view))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def workers(self, request: Request) -> Response:
        found = {**self._view.process(), "workers": self._view.workers()}
        return JSONResponse(plain(found))

    async def logs(self, request: Request) -> Response:
        return JSONResponse(plain({"lines": self._view.logs(anyio.current_time())}))

    async def status(self, request: Request) -> Response:
        root = shell.root_of(request.scope)
        page = "".join(_page(self._view, root, anyio.current_time()))
        return HTMLResponse(page)


def _metrics(view: WorkerView) -> Iterator[str]:
    workers = view.workers()
    for name, kind, about, path in _METRICS:
        yield f"# HELP {_ROOM}{name} {about}\n# TYPE {_ROOM}{name} {kind}\n"
        for each in workers:
            value: Any = each
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if isinstance(value, int | float):
                yield f'{_ROOM}{name}{{worker="{label(str(each["name"]))}"}} {value}\n'
    stored = view.process()["store_bytes"]
    yield f"# HELP {_ROOM}store_bytes Values outside of processes.\n# TYPE {_ROOM}store_bytes gauge\n"
    yield f"{_ROOM}store_bytes {stored}\n"
    yield from process_lines()


def _page(view: WorkerView, root: str, now: float) -> Iterator[str]:
    process = view.process()
    title = html.escape(f"Workers at {process['host']}")
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title} · trio_dask</title>\n"
        f'<link rel="icon" href="{root}static/{shell.version()}/icon.svg">\n'
        f'<link rel="stylesheet" href="{root}static/{shell.version()}/app.css">\n'
        f'<script type="module" src="{root}static/{shell.version()}/again.js"></script>\n'
        f"</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f'<p class="lead">Process {process["pid"]}, for the scheduler at '
        f"{html.escape(str(process['scheduler']))}; {_size(process['store_bytes'])} of values "
        "outside of processes. The scheduler's dashboard has a page for each worker.</p>\n"
    )
    yield _table(
        "Workers",
        ("Name", "Address", "Running", "Given", "Waiting for inputs", "Memory", "Process"),
        [
            (
                each["name"], each["address"], f"{each['running']} of {each['nthreads']}",
                each["books"]["in_runner"], each["books"]["waiting"],
                _size(each["runner"].get("rss")), each["runner"].get("pid", "none"),
            )
            for each in view.workers()
        ],
    )  # fmt: skip
    yield "<h2>Log</h2>\n"
    yield _table(
        "Log",
        ("Seconds ago", "Level", "Text"),
        [(f"{each['ago_s']:.0f}", each["level"], each["text"]) for each in view.logs(now)],
    )
    yield "</main>\n</body>\n</html>\n"


def _table(name: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="text">{html.escape(str(cell))}</td>' for cell in row)
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<section class="card flush"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{name}">\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>'
        "</table></div></section>\n"
    )


def _size(nbytes: Any) -> str:
    return f"{nbytes / 2**20:,.0f} MiB" if isinstance(nbytes, int | float) else "unknown"
