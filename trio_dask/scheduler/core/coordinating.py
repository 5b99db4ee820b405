"""Locks, semaphores, events, queues and variables, as clients ask for them.

Who has to wait is answered when it is his turn. Whoever does not want to wait any longer says so
(`give_up`), and is told what came first: the decision is made here, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.session import Answer
from trio_dask.scheduler.coordination import Refusal, Ticket
from trio_dask.scheduler.core import mirroring
from trio_dask.scheduler.core.keeping import copied, item_of, let_go, recorded, told
from trio_dask.scheduler.core.mirroring import done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.coordination import Item
    from trio_dask.scheduler.coordination.queues import Moves
    from trio_dask.scheduler.core.state import Client, ClusterState

#: A client holds and waits for no more than this.
TICKETS_MAX: Final = 100_000
LEASES_MAX: Final = 1 << 40
NAME_MAX: Final = 1000
_NAMES_MAX: Final = 1000

LOCK: Final = "lock"
SEMAPHORE: Final = "semaphore"
EVENT: Final = "event"
GET: Final = "get"
PUT: Final = "put"
READ: Final = "read"


def gone(state: ClusterState, client: Client) -> None:
    """The client has ended: what it held others may have, and it waits for nothing."""
    state.records.topics.gone(client.number)
    mirroring.client_gone(state, client.number)
    if client.number in state.records.tickets:
        for token, kind in list(state.records.tickets[client.number].items()):
            _end(state, Ticket(client.number, token), kind)
        state.records.tickets.pop(client.number, None)


# ---------------------------------------------------------------- tickets


def _ticket(state: ClusterState, client: Client, message: Ask, kind: str) -> Ticket:
    """A new ticket, with the number that its owner gives it."""
    token = _token(message.params)
    own = state.records.tickets.setdefault(client.number, {})
    if token in own:
        msg = f"the token {token} is in use"
        raise Refusal(msg)
    if len(own) >= TICKETS_MAX:
        msg = f"{client.name} holds or waits for {TICKETS_MAX:,} things already"
        raise Refusal(msg)
    own[token] = kind
    ticket = Ticket(client.number, token)
    state.records.serials[ticket] = message.serial
    return ticket


def _token(params: dict[str, Any]) -> int:
    token = params.get("token")
    if type(token) is not int:
        msg = "a token is a whole number"
        raise Refusal(msg)
    return token


def _forget(state: ClusterState, ticket: Ticket) -> None:
    """The ticket is over."""
    state.records.serials.pop(ticket, None)
    own = state.records.tickets.get(ticket.owner)
    if own is not None:
        own.pop(ticket.token, None)
        if not own:
            del state.records.tickets[ticket.owner]


def _answer(state: ClusterState, ticket: Ticket, data: dict[str, Any], *, ok: bool = True) -> None:
    """Answer the question that the ticket was for, if it has not been."""
    serial = state.records.serials.pop(ticket, None)
    client = state.clients.get(ticket.owner)
    if serial is not None and client is not None:
        mirroring.answer(state, client, Answer(serial, ok=ok, data=data))


def _put(state: ClusterState, ticket: Ticket) -> None:
    """What somebody has brought is in: he need not bring it again."""
    serial = state.records.serials.pop(ticket, None)
    client = state.clients.get(ticket.owner)
    if serial is not None and client is not None:
        done(state, client, serial, {})
    _forget(state, ticket)


def _part(state: ClusterState, ticket: Ticket) -> dict[str, Any]:
    """Which of several locks somebody has, where he cannot know."""
    names = state.records.locks.part(ticket)
    return {"names": names} if names else {}


def granted(state: ClusterState, tickets: Iterable[Ticket], *, over: bool = False) -> None:
    """It is their turn; with `over` there is nothing to be given back."""
    for ticket in tickets:
        _answer(state, ticket, _part(state, ticket))
        if over:
            _forget(state, ticket)


def _refused(state: ClusterState, tickets: Iterable[Ticket], why: str) -> None:
    for ticket in tickets:
        _answer(state, ticket, {"error": why}, ok=False)
        _forget(state, ticket)


def _given(state: ClusterState, items: list[Item]) -> dict[str, Any]:
    """Items as they are given, each with its record, by which a scheduler to come knows it."""
    return {"items": [told(state, item) | {"row": item.row} for item in items]}


def _moved(state: ClusterState, moves: Moves[Item]) -> None:
    """Tell those who are concerned what has happened in a queue."""
    for ticket, item in zip(moves.put, moves.entered, strict=True):
        recorded(state, item, mirroring.ITEM, moves.name, state.records.queues.bound(moves.name))
        _put(state, ticket)
    for ticket, items in moves.got:
        _answer(state, ticket, _given(state, items))


def _end(state: ClusterState, ticket: Ticket, kind: str) -> None:
    """The ticket ends, whatever it was: what it held is free, and it waits for nothing."""
    records, now = state.records, state.now
    _forget(state, ticket)
    if kind == LOCK:
        granted(state, records.locks.drop(ticket, now))
    elif kind == SEMAPHORE:
        granted(state, records.semaphores.drop(ticket, now))
    elif kind == EVENT:
        records.flags.drop(ticket)
    elif kind == READ:
        records.variables.drop(ticket)
        let_go(state, records.reading.pop(ticket, None))
    else:
        moves, left = records.queues.drop(ticket)
        _moved(state, moves)
        let_go(state, *left)


def _on_drop(state: ClusterState, client: Client, message: Ask) -> None:
    """The owner gives a ticket back, or does not want any more what it is for."""
    token = _token(message.params)
    kind = state.records.tickets.get(client.number, {}).get(token)
    if kind is not None:
        _end(state, Ticket(client.number, token), kind)
    answer(state, client, message, {})


def _on_took(state: ClusterState, client: Client, message: Ask) -> None:
    """The owner has what he was given, if he was given something."""
    records, ticket = state.records, Ticket(client.number, _token(message.params))
    if ticket in records.reading or records.queues.handed(ticket) is not None:
        items = (*records.queues.took(ticket), records.reading.pop(ticket, None))
        let_go(state, *items, known=False)  # nobody else has seen them
        _forget(state, ticket)
    mirroring.answer_in_time(state, client, Answer(message.serial, ok=True, data={}))


def _on_give_up(state: ClusterState, client: Client, message: Ask) -> None:
    """The owner has waited for long enough: it had its turn before, or waits no more."""
    records, ticket = state.records, Ticket(client.number, _token(message.params))
    kind = records.tickets.get(client.number, {}).get(ticket.token)
    had, data = False, dict[str, Any]()
    if kind is None:
        had = message.params.get("kind") in (EVENT, PUT)  # these are over when it is their turn
    elif kind == LOCK:
        had = records.locks.holds(ticket)
        data = _part(state, ticket)
    elif kind == SEMAPHORE:
        had = records.semaphores.holds(ticket)
    elif kind == GET and (items := records.queues.handed(ticket)) is not None:
        had, data = True, _given(state, items)
    elif kind == READ and ticket in records.reading:
        had, data = True, told(state, records.reading[ticket])
    if kind is not None and not had:
        _answer(state, ticket, {"error": "it was given up"}, ok=False)
        _end(state, ticket, kind)
    answer(state, client, message, {"done": had, **data})


# ---------------------------------------------------------------- locks and semaphores


def answer(state: ClusterState, client: Client, message: Ask, data: dict[str, Any]) -> None:
    """Answer a question."""
    mirroring.answer(state, client, Answer(message.serial, ok=True, data=data))


def name_in(params: dict[str, Any]) -> str:
    """The name of what is asked for.

    Raises:
        Refusal: it is none.
    """
    name = params.get("name")
    if type(name) is not str or len(name) > NAME_MAX:
        msg = f"a name is text of at most {NAME_MAX} characters"
        raise Refusal(msg)
    return name


def _on_lock(state: ClusterState, client: Client, message: Ask) -> None:
    names, need = message.params.get("names"), message.params.get("need")
    if type(names) is not list or not 0 < len(names) <= _NAMES_MAX:
        msg = f"names is a list of 1 to {_NAMES_MAX} names"
        raise Refusal(msg)
    for name in names:
        name_in({"name": name})
    if type(need) is not int or not 0 < need <= len(set(names)):
        msg = f"num_locks={need!r}: of {len(set(names))} locks it is 1 to {len(set(names))}"
        raise Refusal(msg)
    ticket = _ticket(state, client, message, LOCK)
    granted(state, state.records.locks.ask(ticket, names, need, state.now))


def _on_locked(state: ClusterState, client: Client, message: Ask) -> None:
    holder = state.records.locks.holder(name_in(message.params))
    answer(state, client, message, {"locked": holder is not None})


def _on_semaphore(state: ClusterState, client: Client, message: Ask) -> None:
    name, limit = name_in(message.params), message.params.get("limit")
    if type(limit) is not int or not 0 < limit <= LEASES_MAX:
        msg = f"max_leases={limit!r}: it is a whole number, 1 or more"
        raise Refusal(msg)
    ticket = _ticket(state, client, message, SEMAPHORE)
    try:
        turns = state.records.semaphores.ask(ticket, name, limit, state.now)
    except Refusal:
        _forget(state, ticket)
        raise
    granted(state, turns)


def _on_semaphore_value(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    answer(state, client, message, {"value": state.records.semaphores.value(name)})


def _on_semaphore_close(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    held, _ = state.records.semaphores.describe(name)
    waited = state.records.semaphores.close(name)
    for ticket, _ in held:
        _forget(state, ticket)
    _refused(state, waited, f"the semaphore {name!r} was closed")
    done(state, client, message.serial, {"leases": len(held)})


# ---------------------------------------------------------------- events


def _on_event_wait(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    ticket = _ticket(state, client, message, EVENT)
    granted(state, state.records.flags.ask(ticket, name), over=True)


def _on_event_set(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    flags = state.mirrors.flags
    if message.params.get("set") is False:
        state.records.flags.clear(name)
        mirroring.remove(state, flags.pop(name, 0))
    else:
        if name not in flags:
            flags[name] = mirroring.add(state, [mirroring.FLAG, name], b"", len(name))
        granted(state, state.records.flags.set(name, state.now), over=True)
    done(state, client, message.serial, {})


def _on_event_is_set(state: ClusterState, client: Client, message: Ask) -> None:
    found = state.records.flags.is_set(name_in(message.params))
    answer(state, client, message, {"set": found})


# ---------------------------------------------------------------- queues and variables


def _maxsize(params: dict[str, Any]) -> int:
    maxsize = params.get("maxsize", 0)
    if type(maxsize) is not int or maxsize < 0:
        msg = f"maxsize={maxsize!r}: it is a whole number; 0 stands for no bound"
        raise Refusal(msg)
    return int(maxsize)


def _bound(state: ClusterState, name: str, maxsize: int) -> None:
    """The queue has a bound from now on, if it has none."""
    bounds = state.mirrors.bounds
    if maxsize and name not in bounds:
        bounds[name] = mirroring.add(state, [mirroring.BOUND, name, maxsize], b"", len(name))


def _on_queue_put(state: ClusterState, client: Client, message: Ask) -> None:
    name, maxsize = name_in(message.params), _maxsize(message.params)
    ticket = _ticket(state, client, message, PUT)
    try:
        item = item_of(state, message.params)
    except Refusal:
        _forget(state, ticket)
        raise
    _bound(state, name, maxsize)
    _moved(state, state.records.queues.put(ticket, name, item, maxsize))


def _on_queue_get(state: ClusterState, client: Client, message: Ask) -> None:
    name, maxsize = name_in(message.params), _maxsize(message.params)
    want = message.params.get("want", 1)
    if type(want) is not int or want < 0:
        msg = f"batch={want!r}: it is a whole number, or True for all that are there"
        raise Refusal(msg)
    ticket = _ticket(state, client, message, GET)
    _bound(state, name, maxsize)
    _moved(state, state.records.queues.get(ticket, name, want, maxsize))


def _on_queue_size(state: ClusterState, client: Client, message: Ask) -> None:
    size = state.records.queues.size(name_in(message.params))
    answer(state, client, message, {"size": size})


def _on_queue_close(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    for item in state.records.queues.lent(name):  # it is not the queue's any more
        mirroring.remove(state, item.row)
    waited, left = state.records.queues.close(name)
    _refused(state, waited, f"the queue {name!r} was closed")
    let_go(state, *left)
    mirroring.remove(state, state.mirrors.bounds.pop(name, 0))
    done(state, client, message.serial, {})


def lend(state: ClusterState, client: Client, message: Ask, item: Item) -> None:
    """Answer with a value, which is kept for the one who asks until he has it."""
    _read(state, _ticket(state, client, message, READ), item)


def _read(state: ClusterState, ticket: Ticket, item: Item) -> None:
    """Give a value to one who asked for it; it is kept for him until he has it."""
    state.records.reading[ticket] = copied(state, item)
    _answer(state, ticket, told(state, item))


def _on_variable_get(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    ticket = _ticket(state, client, message, READ)
    item = state.records.variables.ask(ticket, name)
    if item is not None:
        _read(state, ticket, item)


def _on_variable_set(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    item = recorded(state, item_of(state, message.params), mirroring.VARIABLE, name)
    before, waited = state.records.variables.set(name, item)
    for ticket in waited:
        _read(state, ticket, item)
    let_go(state, before)
    done(state, client, message.serial, {})


def _on_variable_delete(state: ClusterState, client: Client, message: Ask) -> None:
    let_go(state, state.records.variables.delete(name_in(message.params)))
    done(state, client, message.serial, {})


ORDERS: Final[dict[str, Callable[[ClusterState, Client, Ask], None]]] = {
    "ticket.drop": _on_drop,
    "ticket.took": _on_took,
    "ticket.give_up": _on_give_up,
    "lock.acquire": _on_lock,
    "lock.locked": _on_locked,
    "semaphore.acquire": _on_semaphore,
    "semaphore.value": _on_semaphore_value,
    "semaphore.close": _on_semaphore_close,
    "event.wait": _on_event_wait,
    "event.set": _on_event_set,
    "event.is_set": _on_event_is_set,
    "queue.put": _on_queue_put,
    "queue.get": _on_queue_get,
    "queue.size": _on_queue_size,
    "queue.close": _on_queue_close,
    "variable.get": _on_variable_get,
    "variable.set": _on_variable_set,
    "variable.delete": _on_variable_delete,
}
