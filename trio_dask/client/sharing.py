"""How a client takes part in what the cluster keeps: tickets, and values with futures in them.

A ticket is a number of the client's for one request. It is its own from the question on, so that
whatever becomes of who waits, it can be given back: the scheduler knows whether there was a turn.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.futures import AsyncFuture, Future
from trio_dask.client.waits import TimeIsUp
from trio_dask.messages.payload import given, unpack

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient
    from trio_dask.client.live import Live
    from trio_dask.messages.session import Answer

#: Unique in this process, whichever client has them.
_tokens: Final = itertools.count(1)
#: Who has waited for long enough is told within this time, or takes it for a no.
_GIVE_UP_S: Final = 10.0


async def wait_turn(
    live: Live, topic: str, params: dict[str, Any], limit_s: float | None
) -> tuple[int, dict[str, Any] | None]:
    """Ask, and wait until it is our turn: the ticket, and what came with it.

    None instead of that: it was not in time, and the ticket is void.

    Raises:
        ValueError: the scheduler says that it makes no sense.
        SchedulerUnreachable: there will be no turn.
    """
    token = next(_tokens)
    try:
        return token, await live.ask(topic, params | {"token": token}, limit_s=limit_s)
    except TimeIsUp:
        pass
    except ValueError:
        raise  # there is no such ticket
    except BaseException:
        drop(live, token)
        raise
    try:
        kind = topic.partition(".")[2] if topic.startswith("queue") else topic.partition(".")[0]
        params = {"token": token, "kind": kind}
        answer = await live.ask("ticket.give_up", params, limit_s=_GIVE_UP_S)
    except TimeIsUp:
        drop(live, token)
        return token, None
    except BaseException:
        drop(live, token)
        raise
    return token, answer if answer.pop("done", False) else None


def drop(live: Live, token: int) -> None:
    """Give a ticket back, or give up what it waits for. Never waits."""
    _say(live, "ticket.drop", token)


def take(live: Live, token: int) -> None:
    """What came with the ticket is ours now. Never waits."""
    _say(live, "ticket.took", token)


def _say(live: Live, topic: str, token: int) -> None:
    with live.lock:
        if live.core.ended:
            return
        live.core.ask(topic, {"token": token}, _ignore)
    live.flush()


def _ignore(answer: Answer) -> None:
    pass


# ---------------------------------------------------------------- values


def opened(client: BaseClient, item: dict[str, Any]) -> Any:
    """A value that was kept, with futures of this client where there were some of another's."""
    targets: list[int] = item["tids"]
    if not targets:
        return unpack(item["data"])
    make: Any = AsyncFuture if client.asynchronous else Future
    with client.live.lock:
        placed = client.live.core.want(targets, item["keys"])
    with given({number: make(batch, tid) for number, (batch, tid) in enumerate(placed)}):
        return unpack(item["data"])


async def read_if_there(client: BaseClient, topic: str, params: dict[str, Any]) -> list[Any] | None:
    """A value that the cluster keeps, in a list; None: there is none."""
    token, answer = await wait_turn(client.live, topic, params, None)
    if answer is None or answer.get("found") is False:
        return None
    try:
        return [opened(client, answer)]
    finally:
        take(client.live, token)


async def read(
    client: BaseClient, topic: str, params: dict[str, Any], limit_s: float | None
) -> list[Any] | None:
    """Values that the cluster keeps, as soon as they are there; None: not in time."""
    token, answer = await wait_turn(client.live, topic, params, limit_s)
    if answer is None:
        return None
    items = answer.get("items")
    try:
        return [opened(client, item) for item in ([answer] if items is None else items)]
    finally:
        take(client.live, token)
