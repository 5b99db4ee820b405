"""What a client holds of what the cluster keeps: another scheduler is told, and asked for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client.core import ClientCore
from trio_dask.messages.reunion import Announced, Known, Tickets
from trio_dask.messages.session import Answer, Ask, Resumed, Welcome
from trio_dask.messages.tasks import Want

if TYPE_CHECKING:
    from trio_dask.messages import Message


class Held:
    """A client, and what it has been told."""

    def __init__(self) -> None:
        self.core = ClientCore("c", secret="the secret of the client")
        self.core.handle([Welcome(3, "cluster", 1)])
        self.answers: list[Answer] = []
        self.token = 0

    def ask(self, topic: str, **params: Any) -> int:
        """It asks for something."""
        return self.core.ask(topic, params, self.answers.append)

    def wait(self, topic: str, **params: Any) -> tuple[int, int]:
        """It asks for something with a ticket: the serial of the question, and the ticket's token."""
        self.token += 1
        return self.ask(topic, token=self.token, **params), self.token

    def answer(self, serial: int, *, ok: bool = True, **data: Any) -> None:
        """It is answered."""
        self.core.handle([Answer(serial, ok, data)])

    def again(self) -> list[Message]:
        """What another scheduler is told."""
        self.core.flush()
        self.core.lost()
        self.core.handle([Resumed(-1), Welcome(3, "cluster", 2)])
        said, _ = self.core.flush()
        return said

    def held(self) -> dict[str, Any]:
        """What it says to hold."""
        said = self.again()
        found = [each for each in said if isinstance(each, Tickets)]
        assert not found or said.index(found[0]) < said.index(Announced(0, []))
        return found[0].held if found else {}

    def asked(self) -> list[tuple[int, str]]:
        """What it asks again, after all that it tells."""
        said = self.again()
        later = said[said.index(Announced(0, [])) + 1 :]
        return [(each.serial, each.topic) for each in later if isinstance(each, Ask)]


def test_locks_are_held_until_they_are_given_back() -> None:
    """Of several locks those that it has got."""
    client = Held()
    one, first = client.wait("lock.acquire", names=["x"], need=1)
    some, second = client.wait("lock.acquire", names=["a", "b", "c"], need=2)
    lease, third = client.wait("semaphore.acquire", name="s", limit=4)
    waits, _ = client.wait("lock.acquire", names=["y"], need=1)
    client.answer(one)
    client.answer(some, names=["c", "a"])
    client.answer(lease)
    locks = [[first, ["x"]], [second, ["c", "a"]]]
    assert client.held() == {"locks": locks, "semaphores": [[third, "s", 4]]}
    assert client.asked() == [(waits, "lock.acquire")]
    client.ask("ticket.drop", token=first)
    client.ask("ticket.drop", token=third)
    assert client.held() == {"locks": locks[1:]}


def test_what_was_given_is_held_until_it_is_known_to_be_taken() -> None:
    """Until the scheduler has answered that it was."""
    client = Held()
    get, token = client.wait("queue.get", name="q", want=2, maxsize=0)
    read, other = client.wait("variable.get", name="v")
    none, _ = client.wait("dataset.get", name="d")
    items = [
        {"data": b"", "tids": [7], "keys": ["x"], "row": 5},
        {"data": b"", "tids": [], "row": 0},
    ]
    client.answer(get, items=items)
    client.answer(read, data=b"", tids=[8], keys=["y"])
    client.answer(none, found=False)
    took = client.ask("ticket.took", token=token)
    assert client.held() == {"items": [[token, "q", [5], [7]]], "reading": [[other, [8]]]}
    assert client.asked() == [(took, "ticket.took")]
    client.answer(took)
    client.answer(client.ask("ticket.took", token=other))
    assert client.held() == {}


def test_who_has_given_up_asks_for_both() -> None:
    """First for what it has waited for: only then it can be said what came first."""
    client = Held()
    lock, token = client.wait("lock.acquire", names=["x"], need=1)
    client.core.forget(lock)
    asks = client.ask("ticket.give_up", token=token, kind="lock")
    assert client.asked() == [(lock, "lock.acquire"), (asks, "ticket.give_up")]
    client.answer(asks, done=True)
    client.answer(lock)
    assert client.held() == {"locks": [[token, ["x"]]]}
    assert client.asked() == []


def test_what_is_void_is_not_asked_for() -> None:
    """Given up in time, refused, over, or dropped while it waits."""
    client = Held()
    lock, token = client.wait("lock.acquire", names=["x"], need=1)
    client.core.forget(lock)
    client.answer(client.ask("ticket.give_up", token=token, kind="lock"), done=False)
    refused, _ = client.wait("semaphore.acquire", name="s", limit=4)
    client.answer(refused, ok=False, error="no")
    put, _ = client.wait("queue.put", name="q", data=b"")
    event, _ = client.wait("event.wait", name="e")
    client.answer(put)
    client.answer(event)
    dropped, last = client.wait("lock.acquire", names=["y"], need=1)
    client.core.forget(dropped)
    drop = client.ask("ticket.drop", token=last)
    client.answer(dropped)  # it had its turn, and has given it back
    assert client.held() == {}
    assert client.asked() == [(drop, "ticket.drop")]
    client.answer(drop)
    assert not client.core._holdings._tickets
    assert not client.core._holdings._tokens
    assert not client.core._holdings._ending


def test_topics_are_listened_to_again() -> None:
    """All that are, with few questions."""
    client = Held()
    for number in range(150):
        client.answer(client.ask("topic.listen", topics=[f"t{number}"]))
    client.answer(client.ask("topic.listen", topics=["t7"], listen=False))
    asked = [each for each in client.again() if isinstance(each, Ask)]
    assert [len(each.params["topics"]) for each in asked] == [100, 49]


def test_futures_of_others_are_wanted_again() -> None:
    """Those that it still has, with what it knows of them before."""
    client = Held()
    placed = client.core.want([101, 102], ["a", "b"])
    client.core.release([placed[0][1]])
    said = client.again()
    wants = [each for each in said if isinstance(each, Want)]
    assert wants == [Want([placed[1][1]], [102])]
    kinds = [type(each) for each in said]
    assert Known not in kinds
