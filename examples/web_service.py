"""A web service whose answers are computed on a cluster: Starlette and an `AsyncClient`.

    python examples/web_service.py          # then: curl http://127.0.0.1:8000/factors/360360

It is the same with FastAPI, which is made of Starlette: give its `FastAPI` the `lifespan`.

The cluster is that of ``TRIO_DASK_SCHEDULER_ADDRESS``, or one of its own. Requests that come while
others are computed wait for the cluster, not for one another.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trio_dask import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request


def factors(number: int) -> list[int]:
    """The prime factors of a number, the slow way."""
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found + [number] * (number > 1)


async def until_given_up(request: Request, scope: anyio.CancelScope) -> None:
    """A visitor who leaves is told of by a message; nothing else stops what he has asked for."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def service(compute: Callable[[int], Awaitable[list[int]]], **options: Any) -> Starlette:
    """The web service, with some way to have factors computed."""

    async def answer(request: Request) -> Response:
        number = request.path_params["number"]
        if number > 1 << 50:
            return JSONResponse({"error": "that would take too long"}, 400)
        response = Response(status_code=499)  # nobody will read it
        async with anyio.create_task_group() as visit:
            visit.start_soon(until_given_up, request, visit.cancel_scope)
            response = JSONResponse({"number": number, "factors": await compute(number)})
            visit.cancel_scope.cancel()
        return response

    return Starlette(routes=[Route("/factors/{number:int}", answer)], **options)


def app() -> Starlette:
    """The service with a client, which is open as long as the service is."""
    clients: list[AsyncClient] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncClient() as client:
            clients.append(client)
            yield

    # `call` owns its task: where it is cancelled, as its visitor has left, the task is stopped.
    return service(lambda number: clients[0].call(factors, number), lifespan=lifespan)


async def asked(service: Starlette, path: str) -> bytes:
    """What the service answers, without a network, to somebody who waits for it."""
    said: list[bytes] = []
    asks = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asks:
            return message
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        said.append(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "root_path": "", "server": ("localhost", 80), "client": ("localhost", 1),
    }  # fmt: skip
    await service(scope, receive, send)
    return b"".join(said)


async def requested(compute: Callable[[int], Awaitable[list[int]]], count: int, start: int) -> int:
    """The lengths of so many answers together, asked for twenty at a time."""
    web, numbers = service(compute), iter(range(start, start + count))
    lengths: list[int] = []

    async def visitor() -> None:
        lengths.extend([len(await asked(web, f"/factors/{number}")) for number in numbers])

    async with anyio.create_task_group() as visitors:
        for _ in range(20):
            visitors.start_soon(visitor)
    return sum(lengths)


if __name__ == "__main__":
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind = ["127.0.0.1:8000"]
    trio.run(serve, app(), config)
