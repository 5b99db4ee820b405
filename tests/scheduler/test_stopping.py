"""Tasks that are stopped by key, whoever wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

C, D, A, HAND = 1, 2, 10, 99


def order(cluster: Driver, *keys: str) -> dict[str, Any]:
    """The dashboard has these cancelled."""
    if HAND not in cluster.core.state.peers:
        cluster.core.local_joined(HAND, "dashboard")
    cluster.heard(HAND)
    cluster.tell(HAND, session.Ask(1, "cancel_keys", {"keys": list(keys)}))
    (answer,) = (each for each in cluster.heard(HAND) if isinstance(each, session.Answer))
    return answer.data


def ends(cluster: Driver, peer: int) -> list[tuple[str, list[int]]]:
    """What a client is told of its tasks."""
    kinds = (words.Cancelled, words.Finished, words.Failed)
    said = cluster.heard(peer)
    return [(type(each).__name__, each.tids) for each in said if isinstance(each, kinds)]


def test_what_waits_is_cancelled_for_everybody(cluster: Driver) -> None:
    """And what waits for it; each client is told."""
    first, other = cluster.client(C), cluster.client(D)
    task, after = cluster.submit(first, [b"x"] * 2, [[], [first]], keys=["one", "two"])
    cluster.tell(D, words.Want([other + 5], [task]))
    assert order(cluster, "one", "nobody") == {
        "stopped": ["one"], "ended": [], "unknown": ["nobody"],
    }  # fmt: skip
    assert ends(cluster, C) == [("Cancelled", [task, after])]
    assert ends(cluster, D) == [("Cancelled", [other + 5])]
    assert order(cluster, "one")["ended"] == ["one"]


def test_what_runs_is_interrupted_and_its_outcome_counts(cluster: Driver) -> None:
    """It may have ended before it could be stopped."""
    first = cluster.client()
    cluster.worker(A)
    one, two = cluster.submit(first, [b"x"] * 2, keys=["one", "two"])
    (run,) = (each for each in cluster.heard(A) if isinstance(each, words.Run))
    assert order(cluster, "one", "two")["stopped"] == ["one", "two"]
    (interrupt,) = (each for each in cluster.heard(A) if isinstance(each, words.Interrupt))
    assert interrupt.attempts == run.attempts
    cluster.tell(
        A,
        words.Done(run.attempts, [words.STOPPED, words.OK_INLINE], [0.1] * 2, [0, 1], [b"", b"v"]),
    )
    assert ends(cluster, C) == [("Cancelled", [one]), ("Finished", [two])]


@pytest.mark.parametrize("keys", [None, "one", [1], ["x"] * 1001])
def test_questions_that_make_no_sense(cluster: Driver, keys: Any) -> None:
    """Are refused."""
    cluster.core.local_joined(HAND, "dashboard")
    cluster.tell(HAND, session.Ask(1, "cancel_keys", {"keys": keys}))
    (answer,) = cluster.heard(HAND)
    assert isinstance(answer, session.Answer)
    assert not answer.ok
