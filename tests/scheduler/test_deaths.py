"""What is kept of deaths, and how it reads when a task is given up."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as some

from trio_dask.errors import KilledWorker
from trio_dask.messages import tasks as words
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core.deaths import KEPT_MAX, Deaths, death_of, told
from trio_dask.scheduler.core.failures import killed

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

A, CLIENT = 10, 1
WHOLE: dict[str, Any] = {
    "host": "vm", "pid": 42, "signal": 9, "reason": "killed by SIGKILL", "oom": True,
    "lasted_s": 61.5, "rss": 5 << 30, "peak_rss": 6 << 30,
    "memory": [[1.5, 4 << 30], [0.5, 5 << 30]], "output": ["one", "two"],
}  # fmt: skip


def test_all_that_makes_sense_is_taken() -> None:
    """And who ran it, as which attempt, and for how long."""
    said = WHOLE | {"running": [[8, 1.0], [7, 2.5]]}
    assert death_of(said, 7, "w") == WHOLE | {"worker": "w", "attempt": 7, "ran_s": 2.5}
    assert "ran_s" not in death_of(said, 9, "w")


@pytest.mark.parametrize(
    "odd",
    [
        {"host": 5, "reason": b"x", "pid": "1", "signal": True, "exit_code": 1 << 60, "oom": 1},
        {"lasted_s": float("nan"), "rss": 1.5, "peak_rss": None, "worker": "me", "attempt": 1},
        {"lasted_s": -1.0, "running": {7: 1}, "memory": [[1], [1, 2, 3], ["a", 1], 5]},
        {"running": [[7, "long"], [7], 7, [[], 1]], "output": "text", "host": ""},
        {"running": [[7, float("inf")]], "memory": [[float("nan"), 1]], "output": [5, b"x"]},
    ],
)
def test_what_makes_no_sense_is_not(odd: dict[str, Any]) -> None:
    """A worker can say anything; nothing of another type, or for ever, gets into a table."""
    assert death_of(odd, 7, "w") == {"worker": "w", "attempt": 7}


def test_lines_are_bounded_and_printable() -> None:
    """A worker may have sent what its own rules forbid."""
    death = death_of({"output": ["x" * 10_000, "\x1b[31m", "é"] + ["y"] * 100}, 7, "w")
    assert len(death["output"]) == 50
    death = death_of({"output": ["x" * 10_000, "\x1b[31m", "é"]}, 7, "w")
    assert death["output"] == ["x" * 500, r"\x1b[31m", "é"]


ODD: tuple[Any, ...] = (
    None, True, 5, -1.5, float("nan"), 1 << 62, "x", "\ud800\n", b"x", [], [[1, 2]], [[1, "a"]],
    [[1.5, 1 << 62]], ["\x1b", b"x"], {"a": 1}, {},
)  # fmt: skip


@given(some.dictionaries(some.sampled_from([*WHOLE, "running", "x"]), some.sampled_from(ODD)))
def test_any_certificate_can_be_told(said: dict[str, Any]) -> None:
    """Whatever it says: it is text, and data that can be sent."""
    deaths = Deaths()
    deaths.add(death_of(said, 1, "w"))
    error = rebuild(Failure.from_bytes(killed("f-1", deaths, "tcp://a:1", 3)))
    assert isinstance(error, KilledWorker)
    assert str(error) == told("f-1", deaths)
    assert error.deaths[0]["worker"] == "w"


def test_only_so_much_is_kept() -> None:
    """Many deaths: the last ones, and the output and samples of the last one."""
    deaths = Deaths()
    for number in range(100):
        deaths.add(death_of(WHOLE | {"oom": False, "pid": number}, number, "w"))
    assert deaths.unexplained == 100
    assert [each["pid"] for each in deaths.kept] == list(range(100 - KEPT_MAX, 100))
    assert [("output" in each, "memory" in each) for each in deaths.kept] == [
        *[(False, False)] * (KEPT_MAX - 1), (True, True)
    ]  # fmt: skip
    lines = told("f-1", deaths).splitlines()
    assert lines[:3] == [
        "f-1 was running each of the 100 times its process died:",
        f"  ({100 - KEPT_MAX} earlier ones are left out)",
        "  93. killed by SIGKILL after 61.5 s on worker w (host vm, pid 92), with 6144.0 MiB at most",
    ]


def test_it_reads_well() -> None:
    """What happened to a task that is given up at its first death, and what it said last."""
    deaths = Deaths()
    said = {"exit_code": 3, "reason": "exited with code 3", "host": "vm", "pid": 42}
    said |= {"running": [[7, 2.0]], "lasted_s": 100.0, "rss": 50 << 20}
    deaths.add(death_of(said | {"output": [f"line {n}" for n in range(20)]}, 7, "w-0"))
    assert told("f-1", deaths).splitlines() == [
        "f-1 was running when its process died:",
        "  1. exited with code 3 after 2.0 s on worker w-0 (host vm, pid 42), last seen with 50.0 MiB",
        "The last lines that it wrote, of 20 in `deaths`:",
        *(f"  | line {n}" for n in range(5, 20)),
    ]


def test_the_error_has_the_deaths_as_data(cluster: Driver) -> None:
    """The certificate that the worker sent, on the exception that the future raises."""
    first = cluster.client()
    address = cluster.worker(A)
    cluster.submit(first, [b"killer"])
    attempt = 0
    for _ in range(4):
        cluster.tell(A, words.Slots(1))
        (attempt,) = cluster.run(A).attempts
        cluster.tell(A, words.Slots(0))
        said = WHOLE | {"oom": False, "running": [[attempt, 0.5]]}
        cluster.tell(A, words.RunnerDied([attempt], [], [], said))
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    error = rebuild(Failure.from_bytes(failed.failures[0]))
    assert isinstance(error, KilledWorker)
    assert len(error.deaths) == 4
    assert error.deaths[-1]["output"] == ["one", "two"]
    assert error.deaths[-1]["attempt"] == attempt
    assert not getattr(error, "__notes__", []), "all of it is in the message"
    assert error.task == str(error).split()[0] != ""
    assert error.last_worker == ("w10", address, "vm")
    assert error.last_worker.address == address
    assert error.allowed_failures == 3
    again = pickle.loads(pickle.dumps(error))
    assert (again.task, again.last_worker) == (error.task, error.last_worker)


def test_the_error_of_odd_deaths() -> None:
    """A failure that a peer has made up is still an error."""
    for deaths in (None, 5, {"a": 1}):
        odd: dict[str, Any] = {"deaths": deaths, "key": 5, "address": [], "allowed": "three"}
        failure = Failure("trio_dask.errors.KilledWorker", "f-1", origin=odd)
        error = rebuild(failure)
        assert isinstance(error, KilledWorker)
        assert error.deaths == ()
        assert (error.task, error.last_worker.address, error.allowed_failures) == ("", "", 0)
