"""What a client holds of what the cluster keeps, so that it can tell another scheduler.

A ticket is the client's from the question on. Once it is answered, what it stands for is held:
locks and leases until they are given back, items and values until the scheduler knows that they
were taken. A ticket that waits is asked for again, also when whoever asked has waited for long
enough and wants to know what came first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.reunion import Tickets
from trio_dask.messages.session import Answer, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Message

#: What is held after the answer; nothing else is.
_HELD: Final = {
    "lock.acquire": "locks",
    "semaphore.acquire": "semaphores",
    "queue.get": "items",
    "variable.get": "reading",
    "dataset.get": "reading",
}
_ENDS: Final = ("ticket.drop", "ticket.took", "ticket.give_up")
#: So many topics are listened to with one question.
_TOPICS_MAX: Final = 100


@dataclass(slots=True, eq=False)
class _Ticket:
    serial: int  # of the question; 0: it is answered
    topic: str
    params: dict[str, Any]
    held: list[Any] | None = None


class Holdings:
    """Tickets by their token, and the topics that are listened to."""

    def __init__(self) -> None:
        self._tickets: dict[int, _Ticket] = {}
        self._tokens: dict[int, int] = {}  # by the serial of a question that is not answered
        self._ending: dict[int, int] = {}  # the same of those that end a ticket
        self._topics: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def asks(self, serial: int, topic: str, params: dict[str, Any]) -> None:
        """The client asks this."""
        token = params.get("token")
        if topic == "topic.listen":
            change = self._topics.pop if params.get("listen") is False else self._topics.setdefault
            for name in params["topics"]:
                change(name, None)
        elif token is None:
            pass
        elif topic == "ticket.drop":
            self._forget(token)
        elif topic in _ENDS:
            self._ending[serial] = token
        else:
            self._tickets[token] = _Ticket(serial, topic, params)
            self._tokens[serial] = token

    def answered(self, answer: Answer) -> None:
        """A question is answered, also one whose answer nobody waits for any more."""
        token = self._tokens.pop(answer.serial, None)
        if token is not None:
            ticket = self._tickets.get(token)
            if ticket is not None:
                self._settle(token, ticket, answer.data if answer.ok else None)
            return
        token = self._ending.pop(answer.serial, None)
        ticket = self._tickets.get(token) if token is not None else None
        if token is None or ticket is None:
            return
        if "done" not in answer.data:  # it was taken
            self._forget(token)
        else:
            self._settle(token, ticket, answer.data if answer.data["done"] else None)

    def _settle(self, token: int, ticket: _Ticket, data: dict[str, Any] | None) -> None:
        """The ticket has had its turn, or is void."""
        kind = _HELD.get(ticket.topic)
        if data is None or kind is None or data.get("found") is False:
            self._forget(token)
            return
        self._tokens.pop(ticket.serial, None)
        ticket.serial = 0
        params, ticket.params = ticket.params, {}
        if ticket.held is None:
            ticket.held = [token, *_HOLDS[kind](params, data)]

    def _forget(self, token: int) -> None:
        ticket = self._tickets.pop(token, None)
        if ticket is not None:
            self._tokens.pop(ticket.serial, None)

    # ------------------------------------------------------------ another scheduler

    def said_again(self) -> Iterator[Message]:
        """What is held."""
        held: dict[str, list[Any]] = {}
        for ticket in self._tickets.values():
            if ticket.held is not None:
                held.setdefault(_HELD[ticket.topic], []).append(ticket.held)
        if held:
            yield Tickets(held)

    def asked_again(self, serial: Callable[[], int]) -> Iterator[Ask]:
        """What is waited for, also by nobody, and what is listened to."""
        for ticket in self._tickets.values():
            if ticket.serial:
                yield Ask(ticket.serial, ticket.topic, ticket.params)
        topics = list(self._topics)
        for at in range(0, len(topics), _TOPICS_MAX):
            yield Ask(serial(), "topic.listen", {"topics": topics[at : at + _TOPICS_MAX]})


def _locks(params: dict[str, Any], data: dict[str, Any]) -> list[Any]:
    return [data.get("names") or params["names"]]


def _semaphores(params: dict[str, Any], _: dict[str, Any]) -> list[Any]:
    return [params["name"], params["limit"]]


def _items(params: dict[str, Any], data: dict[str, Any]) -> list[Any]:
    items = data.get("items", [])
    tids = dict.fromkeys(tid for item in items for tid in item["tids"])
    return [params["name"], [row for item in items if (row := item.get("row"))], list(tids)]


def _reading(_: dict[str, Any], data: dict[str, Any]) -> list[Any]:
    return [data.get("tids", [])]


_HOLDS: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], list[Any]]]] = {
    "locks": _locks,
    "semaphores": _semaphores,
    "items": _items,
    "reading": _reading,
}
