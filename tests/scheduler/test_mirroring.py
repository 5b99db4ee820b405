"""What the cluster keeps is with workers, too, before anybody is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.conftest import Driver
from tests.scheduler.test_coordinating import answers, ask
from trio_dask.messages import session, tasks as words
from trio_dask.messages.ids import first_attempt
from trio_dask.messages.reunion import Members, Mirror, Mirrored
from trio_dask.scheduler.core import Misuse, mirroring

C, OTHER, A, B, D = 1, 2, 11, 12, 13


class Keepers(Driver):
    """A scheduler whose workers keep records for it, and say so when the test wants it."""

    def keeper(self, peer: int, **fields: Any) -> str:
        """A worker that would come back to another scheduler."""
        return self.worker(peer, secret=f"the secret of peer {peer}", **fields)

    def lasting_client(self, peer: int = C) -> None:
        """A client that would come back."""
        register = session.RegisterClient(f"c{peer}", f"the secret of peer {peer}")
        self.core.client_joined(peer, register)
        self.settle()

    def told(self, peer: int, *, confirm: bool = True) -> list[Mirror]:
        """What the worker was told to keep; it says that it does."""
        mirrors = [each for each in self.heard(peer) if isinstance(each, Mirror)]
        if confirm and mirrors:
            self.tell(peer, Mirrored(mirrors[-1].version))
        return mirrors

    def heads(self, peer: int) -> list[list[Any]]:
        """The heads of what it was told to keep."""
        return [head for each in self.told(peer) for head in each.heads.get("of", [])]

    def kinds(self) -> list[str]:
        """What there are records of."""
        return [head[0] for head, _, _ in self.core.state.mirrors.rows.values()]


@pytest.fixture
def keepers() -> Keepers:
    """With two clients."""
    found = Keepers()
    found.lasting_client(C)
    found.lasting_client(OTHER)
    for peer in (C, OTHER):
        found.heard(peer)
    return found


def put(keepers: Driver, token: int, data: bytes = b"x", peer: int = C, **more: Any) -> int:
    """The client puts something into the queue q."""
    return ask(keepers, peer, "queue.put", token=token, name="q", data=data, **more)


def test_without_workers_nobody_waits(keepers: Keepers) -> None:
    """And what was written is given to the first that comes, and that keeps something."""
    serial = put(keepers, 1)
    assert answers(keepers, C) == {serial: {}}
    keepers.worker(A)  # it would not come back, so it is told nothing
    assert keepers.told(A) == []
    keepers.keeper(B)
    (mirror,) = keepers.told(B)
    assert (mirror.anew, mirror.blobs) == (True, [b"x", b""])
    assert mirror.version == keepers.core.state.mirrors.version
    assert [head[0] for head in mirror.heads["of"]] == [mirroring.ITEM, mirroring.MARK]


def test_nobody_is_told_before_a_worker_has_it(keepers: Keepers) -> None:
    """Not who has put it, nor who is given it, nor who asks how many there are."""
    keepers.keeper(A)
    keepers.keeper(B)
    written, got = put(keepers, 1), ask(keepers, OTHER, "queue.get", token=1, name="q", want=1)
    size = ask(keepers, OTHER, "queue.size", name="q")
    assert answers(keepers, C) == answers(keepers, OTHER) == {}
    keepers.told(B)  # the first of the two
    assert answers(keepers, C) == {written: {}}
    there = answers(keepers, OTHER)
    assert there[got]["items"][0]["data"] == b"x"
    assert there[size] == {"size": 0}
    keepers.told(A)
    assert answers(keepers, C) == answers(keepers, OTHER) == {}


def members(said: list[Any]) -> list[tuple[list[str], list[int]]]:
    """Who has come, as it was told, each time before any record."""
    kinds = [type(each) for each in said if isinstance(each, Members | Mirror)]
    assert kinds == sorted(kinds, key=lambda kind: kind is Mirror)
    return [(each.workers, each.clients) for each in said if isinstance(each, Members)]


def test_whose_records_it_has_a_worker_knows_first(keepers: Keepers) -> None:
    """A scheduler to come waits for him then, who has come after the worker; he is told once."""
    keepers.keeper(A)
    put(keepers, 1)
    keepers.tick(1.0)
    keepers.heard(A)
    keepers.lasting_client(3)
    put(keepers, 2)
    put(keepers, 1, peer=3)
    assert members(keepers.heard(A)) == [([], [3])]
    put(keepers, 2, peer=3)
    assert members(keepers.heard(A)) == []
    keepers.leave(3)
    put(keepers, 3)
    (gone,) = [each for each in keepers.heard(A) if isinstance(each, Members)]
    assert gone.gone_clients == [3]
    keepers.tick(1.0)
    put(keepers, 4)
    assert len(members(keepers.heard(A))) == 1  # that all are told, now and then


def test_what_nobody_writes_nobody_waits_for(keepers: Keepers) -> None:
    """Locks, and what is only read."""
    keepers.keeper(A)
    lock = ask(keepers, C, "lock.acquire", token=1, names=["x"], need=1)
    size = ask(keepers, C, "queue.size", name="q")
    assert answers(keepers, C) == {lock: {}, size: {"size": 0}}
    assert keepers.told(A) == []


def test_what_is_taken_is_gone(keepers: Keepers) -> None:
    """The record of it, and, once the answer was heard, that of its having been put."""
    keepers.keeper(A)
    put(keepers, 1)
    ask(keepers, OTHER, "queue.get", token=1, name="q", want=1)
    (mirror,) = keepers.told(A)
    answers(keepers, OTHER)
    took = ask(keepers, OTHER, "ticket.took", token=1)
    assert keepers.told(A) == []  # nobody waits for that
    size = ask(keepers, OTHER, "queue.size", name="q")
    assert answers(keepers, OTHER) == {size: {"size": 0}}
    keepers.tick(1.0)
    (after,) = keepers.told(A)
    assert after.gone == mirror.ids[:1]
    assert answers(keepers, OTHER) == {took: {}}
    assert keepers.kinds() == [mirroring.MARK]
    lasting = keepers.core.state.clients[1].out.lasting
    assert lasting is not None
    keepers.tell(C, session.Heard(lasting.said))
    assert keepers.kinds() == []
    keepers.tick(1.0)
    assert keepers.told(A)[0].gone == mirror.ids[1:]
    assert keepers.core.state.mirrors.nbytes == 0


@pytest.mark.parametrize(
    ("topic", "params", "undo"),
    [
        ("variable.set", {"name": "v", "data": b"x"}, ("variable.delete", {"name": "v"})),
        ("dataset.publish", {"name": "d", "data": b"x"}, ("dataset.unpublish", {"name": "d"})),
        ("event.set", {"name": "e"}, ("event.set", {"name": "e", "set": False})),
        ("queue.put", {"name": "q", "data": b"x", "maxsize": 3, "token": 1}, ("queue.close", {"name": "q"})),
    ],
)  # fmt: skip
def test_each_kind_has_records(
    keepers: Keepers, topic: str, params: dict[str, Any], undo: tuple[str, dict[str, Any]]
) -> None:
    """One that is there as long as that is, however often it is written."""
    ask(keepers, C, topic, **params)
    once = [kind for kind in keepers.kinds() if kind != mirroring.MARK]
    again = {"token": 2} if "token" in params else {"override": True}
    ask(keepers, C, topic, **params | again)
    twice = [kind for kind in keepers.kinds() if kind != mirroring.MARK]
    assert len(twice) == (3 if topic == "queue.put" else 1)
    assert set(twice) == set(once)
    ask(keepers, C, undo[0], **undo[1])
    keepers.leave(C)
    assert keepers.kinds() == []
    assert keepers.core.state.mirrors.nbytes == 0


def test_a_closed_queue_has_nothing_that_was_lent(keepers: Keepers) -> None:
    """Who has it may take it, but another scheduler would not know of it."""
    put(keepers, 1)
    ask(keepers, OTHER, "queue.get", token=1, name="q", want=1)
    ask(keepers, C, "queue.close", name="q")
    keepers.leave(C)
    assert keepers.kinds() == []
    ask(keepers, OTHER, "ticket.took", token=1)
    keepers.leave(OTHER)
    assert keepers.kinds() == []


def test_metadata_replaces_what_was_below(keepers: Keepers) -> None:
    """Records are made again in the order in which they were written."""
    for path, tree in (
        (["a", "b"], b"1"), (["a", "b"], b"2"), (["a", "c"], b"3"), (["a"], {"d": b"4"}),
        (["a", "d", "e"], b"5"),
    ):  # fmt: skip
        ask(keepers, C, "metadata.set", path=path, tree=tree)
    keepers.leave(C)
    heads = [head[1:] for head, _, _ in keepers.core.state.mirrors.rows.values()]
    assert heads == [[["a"], {"d": b"4"}], [["a", "d", "e"], b"5"]]


def test_one_is_told_at_once_and_the_other_in_time(
    keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there is much, at the next tick, or when the first is not there any more."""
    monkeypatch.setattr(mirroring, "_ROWS_MANY", 6)
    keepers.keeper(A)
    keepers.keeper(B)
    put(keepers, 1)
    assert [len(keepers.told(peer)) for peer in (A, B)] == [1, 1]  # none was the first
    put(keepers, 2, b"2")
    serial = put(keepers, 3, b"3")
    assert [len(keepers.told(peer)) for peer in (A, B)] == [2, 0]
    assert serial in answers(keepers, C)
    put(keepers, 4, b"4")
    assert [each.blobs[::2] for each in keepers.told(B)] == [[b"2", b"3", b"4"]]
    keepers.told(A)
    put(keepers, 5, b"5")
    ask(keepers, OTHER, "queue.get", token=1, name="q", want=5)
    ask(keepers, OTHER, "ticket.took", token=1)
    keepers.tick(1.0)
    (mirror,) = keepers.told(B)
    assert (mirror.blobs, len(mirror.gone)) == ([b""], 4)  # what has come and gone it never knew
    keepers.told(A)
    serial = put(keepers, 6, b"6")
    assert keepers.told(B) == []
    keepers.core.lost(A, "test", keepers.now)
    keepers.settle()
    assert [each.blobs for each in keepers.told(B)] == [[b"6", b""]]
    assert serial in answers(keepers, C)


def test_nobody_is_left_who_was_to_have_it(keepers: Keepers) -> None:
    """Nor anything to be kept: who has taken the last of it is told, all the same."""
    keepers.keeper(A)
    put(keepers, 1)
    keepers.told(A)
    ask(keepers, OTHER, "queue.get", token=1, name="q", want=1)
    answers(keepers, OTHER)
    took = ask(keepers, OTHER, "ticket.took", token=1)
    keepers.leave(C)
    keepers.leave(A)
    assert not keepers.core.state.mirrors.rows
    assert answers(keepers, OTHER) == {took: {}}


# ---------------------------------------------------------------- who keeps it


def test_one_that_leaves_is_replaced(keepers: Keepers) -> None:
    """By one that gets all; who has waited for it is answered when that has it."""
    for peer in (A, B):
        keepers.keeper(peer)
    put(keepers, 1)
    keepers.told(A)
    keepers.told(B)
    answers(keepers, C)
    keepers.keeper(D)
    assert keepers.told(D) == []
    keepers.leave(A)
    (mirror,) = keepers.told(D)
    assert mirror.anew
    assert mirror.blobs[0] == b"x"
    keepers.leave(B)
    serial = put(keepers, 2)
    assert answers(keepers, C) == {}
    keepers.leave(D)
    assert answers(keepers, C) == {serial: {}}  # there is nobody to wait for


@pytest.mark.parametrize("how", ["away", "draining"])
def test_one_that_is_about_to_leave(keepers: Keepers, how: str) -> None:
    """It keeps all until another has it, and then nothing."""
    keepers.keeper(A)
    put(keepers, 1)
    keepers.told(A)
    if how == "away":
        keepers.core.lost(A, "test", keepers.now)
    else:
        ask(keepers, C, "retire_workers", workers=["w11"])
    keepers.keeper(B)
    keepers.settle()
    put(keepers, 2)
    assert keepers.told(A, confirm=False)[-1].blobs == [b"x", b""]  # as before
    assert keepers.told(B)[0].anew
    keepers.keeper(D)
    assert keepers.told(D)[0].anew
    (last,) = keepers.told(A, confirm=False)
    assert (last.anew, last.version, last.ids) == (True, 0, [])
    assert [each.worker.peer for each in keepers.core.state.mirrors.holders] == [B, D]


def test_rather_not_in_one_process(keepers: Keepers) -> None:
    """Nor on one host: what dies together keeps nothing for the other."""
    put(keepers, 1)
    for peer, host, process in ((A, "a", 1), (B, "a", 1), (D, "a", 2), (D + 1, "b", 1)):
        register = session.RegisterWorker(
            f"w{peer}", f"tcp://{peer}:1", 1, 0, {}, {"host": host, "pid": process},
            f"the secret of peer {peer}",
        )  # fmt: skip
        keepers.core.worker_joined(peer, register, 0.0)
    keepers.settle()
    assert [each.worker.peer for each in keepers.core.state.mirrors.holders] == [A, D + 1]


def test_much_is_told_in_parts(keepers: Keepers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next when it has the one before; what is new meanwhile comes as well."""
    monkeypatch.setattr(mirroring, "_ROWS_MAX", 4)
    for token in range(5):
        put(keepers, token, b"%d" % token)
    keepers.keeper(A)
    (first,) = keepers.told(A, confirm=False)
    assert (first.anew, first.version, len(first.ids)) == (True, 0, 4)
    serial = put(keepers, 9, b"new")
    (news,) = keepers.told(A, confirm=False)
    assert (news.version, news.blobs) == (0, [b"new", b""])
    keepers.tell(A, Mirrored(0))
    (second,) = keepers.told(A)
    (third,) = keepers.told(A, confirm=False)
    assert (second.version, third.version) == (0, keepers.core.state.mirrors.version)
    assert serial not in answers(keepers, C)
    keepers.tell(A, Mirrored(third.version))
    assert serial in answers(keepers, C)


def test_what_is_beyond_the_limit(keepers: Keepers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is with the scheduler only, and that is said once."""
    monkeypatch.setattr(mirroring, "MIRRORED_BYTES_MAX", 1000)
    keepers.keeper(A)
    put(keepers, 1, b"x" * 2000)
    keepers.told(A)
    assert keepers.kinds() == [mirroring.MARK]
    assert "1,000 bytes" in keepers.core.state.mirrors.complaint
    got = ask(keepers, OTHER, "queue.get", token=1, name="q", want=1)
    assert answers(keepers, OTHER)[got]["items"][0]["row"] == 0


def test_a_worker_says_what_it_cannot_have(keepers: Keepers) -> None:
    """It is let go."""
    keepers.keeper(A)
    for version in (-1, first_attempt(1) + 1):
        with pytest.raises(Misuse, match="records of the version"):
            keepers.core.handle(A, Mirrored(version), 0.0)
    keepers.tell(A, Mirrored(0))  # it keeps none


def test_small_values_of_tasks_are_kept(keepers: Keepers) -> None:
    """While something kept has a future of them: with it, or when they have ended."""
    first = keepers.client(3)
    keepers.keeper(A)
    done, later, _ = keepers.submit(first, [b"1", b"2", b"3"], peer=3)
    run = keepers.run_last(A)
    half = words.Run(run.attempts[:1], *([[]] * 11))
    keepers.done(A, half, b"one")
    ask(keepers, C, "variable.set", name="v", data=b"x", tids=[done, later])
    assert [head for head in keepers.heads(A) if head[0] == mirroring.VALUE] == [["value", done, 4]]
    while later not in keepers.core.state.mirrors.values:
        attempts = list(keepers.core.state.workers["tcp://host:11"].window)
        keepers.fail(A, words.Run(attempts[:1], *([[]] * 11)), b"oops")
    assert [head for head in keepers.heads(A) if head[0] == mirroring.VALUE] == [
        ["value", later, 5]
    ]
    ask(keepers, C, "variable.delete", name="v")
    assert mirroring.VALUE not in keepers.kinds()


def test_members_are_not_told_of_it(keepers: Keepers) -> None:
    """A cluster that keeps nothing has no messages for it."""
    keepers.keeper(A)
    keepers.keeper(B)
    said = [each for each in keepers.heard(A) if not isinstance(each, Members)]
    assert said == []
