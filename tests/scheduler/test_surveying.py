"""Which values and tasks are where, and how large, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.scheduler.core import surveying

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B = 1, 10, 11


def ask(cluster: Driver, topic: str, **params: Any) -> Any:
    """What is answered."""
    cluster.heard(CLIENT)
    cluster.tell(CLIENT, session.Ask(5, topic, params))
    [answer] = cluster.heard(CLIENT)
    assert isinstance(answer, session.Answer)
    return answer.data if answer.ok else answer.data["error"]


def busy(cluster: Driver) -> tuple[int, str, str]:
    """Two workers: one holds a value and has another task, and one has nothing."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a", b"b"])
    run = cluster.run(A)
    status = [words.OK_HELD, words.OK_INLINE]
    cluster.tell(A, words.Done(run.attempts, status, [0.1] * 2, [900, 4], [b"", b"four"]))
    cluster.submit(first + 2, [b"c"], keys=["named"])
    cluster.run(A)
    return first, a, cluster.worker(B)


def test_what_is_where(cluster: Driver) -> None:
    """By address; a value that is with the scheduler is with no worker."""
    first, a, b = busy(cluster)
    assert ask(cluster, "has_what") == {"keys": {a: [f"inc-{first:x}"], b: []}}
    assert ask(cluster, "processing") == {"keys": {a: ["named"], b: []}}


def test_of_some_workers(cluster: Driver) -> None:
    """By name or address, each once."""
    _, a, b = busy(cluster)
    assert ask(cluster, "processing", workers=["w10", a]) == {"keys": {a: ["named"]}}
    assert ask(cluster, "has_what", workers=[b]) == {"keys": {b: []}}
    assert ask(cluster, "has_what", workers=[]) == {"keys": {}}


def test_how_large_values_are(cluster: Driver) -> None:
    """By function, or by key; what has no value takes nothing."""
    first, _, _ = busy(cluster)
    large, small = f"inc-{first:x}", f"inc-{first + 1:x}"
    assert ask(cluster, "nbytes", summary=True) == {"nbytes": {"inc": 904}}
    assert ask(cluster, "nbytes", summary=False) == {"nbytes": {large: 900, small: 4}}
    some = [small, "named", "unknown"]
    assert ask(cluster, "nbytes", keys=some, summary=False) == {"nbytes": {small: 4}}
    assert ask(cluster, "nbytes", keys=[]) == {"nbytes": {}}


def test_values_that_were_put_have_no_function(cluster: Driver) -> None:
    """They are data."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    assert ask(cluster, "nbytes") == {"nbytes": {"data": 100}}


@pytest.mark.parametrize(
    ("topic", "params", "why"),
    [
        ("has_what", {"workers": "w10"}, "workers must be a list of names or addresses, not 'w10'"),
        ("processing", {"workers": [3]}, "workers must be a list of names or addresses, not [3]"),
        ("processing", {"workers": ["w10", "x"]}, "there is no worker 'x'"),
        ("nbytes", {"keys": "k"}, "keys must be a list of keys, not 'k'"),
    ],
)
def test_questions_that_make_no_sense(
    cluster: Driver, topic: str, params: dict[str, Any], why: str
) -> None:
    """The answer says why."""
    busy(cluster)
    assert ask(cluster, topic, **params) == why


def test_there_may_be_too_many(cluster: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has a limit, and says what to do."""
    busy(cluster)
    monkeypatch.setattr(surveying, "KEYS_MAX", 0)
    assert ask(cluster, "processing") == "more than 0 keys: ask for some of the workers"
    assert ask(cluster, "nbytes", summary=False) == "more than 0 keys: ask for some of them"


@pytest.mark.parametrize("topic", ["processing", "nbytes"])
def test_very_many_take_turns(cluster: Driver, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are looked at in between."""
    monkeypatch.setattr(surveying, "_SLICE", 10)
    first = cluster.client()
    cluster.worker(A, nthreads=50)
    cluster.submit(first, [b"a"] * 50)
    cluster.core.handle(CLIENT, session.Ask(5, topic, {}), 0.0)
    turns = 0
    while cluster.core.busy:
        cluster.core.work()
        turns += 1
    cluster.settle()
    assert turns == 5
