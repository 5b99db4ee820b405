"""What is asked of workers is answered once, whoever leaves, is silent, or says what it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.ids import auto_key
from trio_dask.messages.inquiring import SAID_BYTES_MAX, Inquire, Told
from trio_dask.scheduler.core import Misuse
from trio_dask.scheduler.core.inquiring import INQUIRIES_MAX, PATIENCE_S, asked_here

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

C, A, B, HAND = 1, 10, 11, 90


def ask(cluster: Driver, topic: str = "profile", *, serial: int = 1, **params: Any) -> None:
    """The client asks."""
    cluster.tell(C, session.Ask(serial, topic, params))


def answers(cluster: Driver, peer: int = C) -> list[session.Answer]:
    """What it is told."""
    return [each for each in cluster.heard(peer) if isinstance(each, session.Answer)]


def asked(cluster: Driver, peer: int) -> list[Inquire]:
    """What a worker is asked."""
    return [each for each in cluster.heard(peer) if isinstance(each, Inquire)]


def told(cluster: Driver, peer: int, question: Inquire, said: bytes, *, ok: bool = True) -> None:
    """A worker answers."""
    cluster.tell(peer, Told(question.serial, ok=ok, said=[said]))


def test_all_are_asked_and_answer_together(cluster: Driver) -> None:
    """What they say is passed on, by address; who cannot say anything says why."""
    cluster.client()
    a, b = cluster.worker(A), cluster.worker(B)
    ask(cluster, name="f", since_s=5.0)
    [to_a], [to_b] = asked(cluster, A), asked(cluster, B)
    assert to_a.params == to_b.params == {"name": "f", "since_s": 5.0, "bytes_max": SAID_BYTES_MAX}
    told(cluster, A, to_a, b"tree")
    assert answers(cluster) == []
    told(cluster, B, to_b, b"no", ok=False)
    data = {"said": {a: b"tree"}, "refused": {b: b"no"}, "silent": []}
    assert answers(cluster) == [session.Answer(1, ok=True, data=data)]
    assert cluster.core.state.inquiries == {}


def test_some_are_asked(cluster: Driver) -> None:
    """By name or address; nobody is unknown."""
    cluster.client()
    cluster.worker(A)
    b = cluster.worker(B)
    ask(cluster, workers=["w11", b])
    assert asked(cluster, A) == []
    assert len(asked(cluster, B)) == 1
    ask(cluster, workers=["w12"], serial=2)
    assert answers(cluster) == [
        session.Answer(2, ok=False, data={"error": "there is no worker 'w12'"})
    ]
    ask(cluster, workers="w11", serial=3)
    [refused] = answers(cluster)
    assert "a list of names" in refused.data["error"]


def test_nobody_to_ask(cluster: Driver) -> None:
    """Is an answer."""
    cluster.client()
    ask(cluster)
    data: dict[str, Any] = {"said": {}, "refused": {}, "silent": []}
    assert answers(cluster) == [session.Answer(1, ok=True, data=data)]


def test_stacks_of_tasks_are_asked_where_they_run(cluster: Driver) -> None:
    """By attempt; of what does not run there is nothing to ask."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    one, two, _, _, last, *_ = cluster.submit(first, [b"x"] * 40, keys=[f"k{n}" for n in range(40)])
    where = {
        tid: (peer, attempt)
        for peer in (A, B)
        for each in cluster.heard(peer)
        if isinstance(each, words.Run)
        for tid, attempt in zip(each.tids, each.attempts, strict=True)
    }
    ask(cluster, "call_stack", tids=[one], keys=["k1", "k39", "nobody"])
    found = {(peer, *each.params["attempts"]) for peer in (A, B) for each in asked(cluster, peer)}
    wanted = {where[one], where[two]}
    assert found == wanted or {each for peer, *some in found for each in some} == {
        attempt for _, attempt in wanted
    }
    cluster.heard(C)
    ask(cluster, "call_stack", tids=[last + 30], serial=2)
    assert answers(cluster)[0].data["said"] == {}
    ask(cluster, "call_stack", serial=3)
    assert all("attempts" not in each.params for peer in (A, B) for each in asked(cluster, peer))


def test_what_a_task_has_said_is_asked_of_all(cluster: Driver) -> None:
    """By the id that workers know it under: earlier attempts may have been anywhere."""
    first = cluster.client()
    a, b = cluster.worker(A), cluster.worker(B)
    one, two, *_ = cluster.submit(first, [b"x"] * 2, keys=["k", "l"])
    ways: list[dict[str, Any]] = [{"tid": one}, {"key": "k"}, {"tid": one, "key": "l", "n": 3}]
    for serial, named in enumerate(ways):
        ask(cluster, "task_logs", serial=serial, **named)
        [to_a], [to_b] = asked(cluster, A), asked(cluster, B)
        assert to_a.params == to_b.params
        assert to_a.params == {"tid": one, "n": named.get("n"), "bytes_max": SAID_BYTES_MAX}
        told(cluster, A, to_a, b"words")
        told(cluster, B, to_b, b"none")
        [answer] = answers(cluster)
        assert answer.data["said"] == {a: b"words", b: b"none"}
    ask(cluster, "task_logs", tid=two + 7, workers=["w11"])
    assert (asked(cluster, A), asked(cluster, B)[0].params["tid"]) == ([], two + 7)
    ask(cluster, "task_logs", key=auto_key("gone", two + 9))
    assert asked(cluster, A)[0].params["tid"] == two + 9


@pytest.mark.parametrize("named", [{}, {"key": "nobody"}, {"tid": "x"}, {"key": 7}])
def test_what_no_task_has_said(cluster: Driver, named: dict[str, Any]) -> None:
    """Nobody is asked."""
    cluster.client()
    cluster.worker(A)
    ask(cluster, "task_logs", **named)
    [refused] = answers(cluster)
    assert "there is no task" in refused.data["error"]
    assert asked(cluster, A) == []


def test_who_leaves_has_answered(cluster: Driver) -> None:
    """The others' answers count."""
    cluster.client()
    a, b = cluster.worker(A), cluster.worker(B)
    ask(cluster)
    told(cluster, A, asked(cluster, A)[0], b"tree")
    cluster.leave(B)
    [answer] = answers(cluster)
    assert answer.data == {"said": {a: b"tree"}, "refused": {b: b"it has left"}, "silent": []}


def test_who_is_silent_is_named(cluster: Driver) -> None:
    """After a while; what it says later is nobody's business."""
    cluster.client()
    a, b = cluster.worker(A), cluster.worker(B)
    ask(cluster)
    [late] = asked(cluster, B)
    told(cluster, A, asked(cluster, A)[0], b"tree")
    cluster.tick(PATIENCE_S / 2)
    assert answers(cluster) == []
    cluster.tick(PATIENCE_S / 2)
    [answer] = answers(cluster)
    assert answer.data == {"said": {a: b"tree"}, "refused": {}, "silent": [b]}
    told(cluster, B, late, b"late")
    assert answers(cluster) == []
    assert cluster.core.state.inquiries == {}


def test_a_client_that_has_left_is_told_nothing(cluster: Driver) -> None:
    """And what workers say then does no harm."""
    cluster.client()
    cluster.worker(A)
    ask(cluster)
    cluster.leave(C)
    told(cluster, A, asked(cluster, A)[0], b"tree")
    assert answers(cluster) == []
    assert cluster.core.state.inquiries == {}


def test_a_worker_answers_only_what_it_was_asked(cluster: Driver) -> None:
    """Not for another one, not twice."""
    cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    ask(cluster, workers=["w10"])
    [question] = asked(cluster, A)
    told(cluster, B, question, b"forged")
    told(cluster, B, Inquire(99, "profile", {}), b"forged")
    assert answers(cluster) == []
    told(cluster, A, question, b"tree")
    told(cluster, A, question, b"again")
    [answer] = answers(cluster)
    assert list(answer.data["said"].values()) == [b"tree"]


@pytest.mark.parametrize("said", [[], [b"a", b"b"], [bytes(SAID_BYTES_MAX + 1)]])
def test_answers_of_another_shape_are_refused(cluster: Driver, said: list[bytes]) -> None:
    """The worker is let go."""
    cluster.client()
    cluster.worker(A)
    ask(cluster)
    [question] = asked(cluster, A)
    with pytest.raises(Misuse, match="one blob"):
        cluster.tell(A, Told(question.serial, ok=True, said=said))


def test_many_workers_say_less_each(cluster: Driver) -> None:
    """All answers together are bounded, and who says more than was asked for is let go."""
    cluster.client()
    for peer in range(10, 110):
        cluster.worker(peer)
    ask(cluster)
    [question] = asked(cluster, A)
    share = question.params["bytes_max"]
    assert share < SAID_BYTES_MAX
    told(cluster, A, question, bytes(share))
    [other] = asked(cluster, B)
    with pytest.raises(Misuse, match="more than"):
        told(cluster, B, other, bytes(share + 1))


def test_questions_under_way_are_bounded(cluster: Driver) -> None:
    """One more is refused, until some are answered."""
    cluster.client()
    cluster.worker(A)
    for serial in range(INQUIRIES_MAX):
        ask(cluster, serial=serial)
    ask(cluster, serial=500)
    assert [each.ok for each in answers(cluster)] == [False]
    for question in asked(cluster, A):
        told(cluster, A, question, b"x")
    assert len(answers(cluster)) == INQUIRIES_MAX


def log_of(cluster: Driver, serial: int, **params: Any) -> None:
    """The client asks what the scheduler has logged."""
    ask(cluster, "scheduler_logs", serial=serial, **params)


def test_the_scheduler_s_own_log(cluster: Driver) -> None:
    """The process around is asked, once each, and answers as the client in it; nobody else may."""
    cluster.client()
    cluster.core.local_joined(HAND, "dashboard")
    log_of(cluster, 1, n=3)
    log_of(cluster, 2)
    (first, params), (second, _) = asked_here(cluster.core.state, 0)
    assert params == {"n": 3, "bytes_max": SAID_BYTES_MAX}
    assert asked_here(cluster.core.state, first) == [
        (second, {"n": None, "bytes_max": SAID_BYTES_MAX})
    ]
    cluster.tell(C, session.Ask(3, "told_here", {"serial": first, "said": b"lies"}))
    [refused] = answers(cluster)
    assert "only the scheduler's process" in refused.data["error"]
    cluster.tell(HAND, session.Ask(1, "told_here", {"serial": first, "said": b"lines"}))
    data = {"said": {"scheduler": b"lines"}, "refused": {}, "silent": []}
    assert answers(cluster) == [session.Answer(1, ok=True, data=data)]
    cluster.tell(HAND, session.Ask(2, "told_here", {"serial": first, "said": b"again"}))
    assert answers(cluster) == []
    cluster.tick(cluster.now + PATIENCE_S)
    [late] = answers(cluster)
    assert late == session.Answer(
        2, ok=True, data={"said": {}, "refused": {}, "silent": ["scheduler"]}
    )
    assert not cluster.core.state.inquiries.here


def test_questions_about_the_log_are_bounded(cluster: Driver) -> None:
    """Those who ask too much are told so; who is gone waits for nothing."""
    cluster.client()
    log_of(cluster, 1, n="all")
    assert "n must be a number of lines" in answers(cluster)[0].data["error"]
    for serial in range(INQUIRIES_MAX):
        log_of(cluster, serial)
    assert answers(cluster) == []
    log_of(cluster, INQUIRIES_MAX)
    assert "try again later" in answers(cluster)[0].data["error"]
    cluster.core.left(C, "gone")
    cluster.tick(cluster.now + PATIENCE_S)
    assert not cluster.core.state.inquiries.here
