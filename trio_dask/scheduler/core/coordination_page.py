"""What is held, by whom and since when; who waits: for people."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from trio_dask.scheduler.coordination import Ticket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import Client, ClusterState

#: Of each kind so many are listed, of each of them so many who hold it.
_LISTED: Final = 1000
_WHO: Final = 50


def coordination_page(state: ClusterState, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that is locked, set, queued or kept, in plain data."""
    records = state.records
    queues = {}
    for name in islice(records.queues.names(), _LISTED):
        size, maxsize, getters, putters = records.queues.describe(name)
        queues[name] = {
            "size": size,
            "maxsize": maxsize,
            "getting": _names(state, getters),
            "putting": _names(state, putters),
        }
    return {
        "locks": {
            name: _held(state, *records.locks.describe(name))
            for name in islice(records.locks.names(), _LISTED)
        },
        "semaphores": {
            name: {
                "max_leases": records.semaphores.limit(name),
                **_held(state, *records.semaphores.describe(name)),
            }
            for name in islice(records.semaphores.names(), _LISTED)
        },
        "events": {
            name: {
                "set": records.flags.is_set(name),
                "waiting": _names(state, records.flags.waiting(name)),
            }
            for name in islice(records.flags.names(), _LISTED)
        },
        "queues": queues,
        "variables": {
            name: {
                "set": records.variables.get(name) is not None,
                "waiting": _names(state, records.variables.waiting(name)),
            }
            for name in islice(records.variables.names(), _LISTED)
        },
        "datasets": list(islice(records.datasets, _LISTED)),
        "topics": list(islice(records.topics.names(), _LISTED)),
        "nbytes": records.nbytes,
    }


def _held(
    state: ClusterState, holders: list[tuple[Ticket, float]], waiting: list[Ticket]
) -> dict[str, Any]:
    return {
        "held": [
            {"who": _name(state, ticket), "since_s": max(0.0, state.now - since)}
            for ticket, since in holders[:_WHO]
        ],
        "held_count": len(holders),
        "waiting": _names(state, waiting),
        "waiting_count": len(waiting),
    }


def _names(state: ClusterState, tickets: Iterable[Ticket]) -> list[str]:
    return [_name(state, ticket) for ticket in islice(tickets, _WHO)]


def _name(state: ClusterState, ticket: Ticket) -> str:
    client = state.clients.get(ticket.owner)
    return client.name if client is not None else "somebody who is leaving"


def awaited(state: ClusterState, client: Client) -> list[str]:
    """What the client waits for, in words."""
    records, found = state.records, list[str]()
    for token in islice(records.tickets.get(client.number, ()), _LISTED):
        ticket = Ticket(client.number, token)
        for kind, machine in (
            ("lock", records.locks),
            ("semaphore", records.semaphores),
        ):
            for name in machine.waited_for(ticket):
                held, _ = machine.describe(name)
                by = ", ".join(
                    f"{_name(state, each)} for {max(0.0, state.now - since):.1f} s"
                    for each, since in held[:3]
                )
                found.append(f"the {kind} {name!r}{f', which is held by {by}' if by else ''}")
        found += [f"the event {name!r}" for name in records.flags.waited_for(ticket)]
        found += [f"the queue {name!r}" for name in records.queues.waited_for(ticket)]
        found += [f"the variable {name!r}" for name in records.variables.waited_for(ticket)]
    return found
